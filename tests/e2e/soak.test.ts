// The soak of `npm run bench -- soak`, short: every sort of task and fault, and what must hold at the end.
import { afterAll, expect, it } from 'vitest';
import { play } from '../../bench/soak/report.ts';
import { removeAll } from '../../bench/workspace.ts';

const SEED = Number(process.env['SOAK_SEED'] ?? 1);

afterAll(removeAll);

it.skipIf(process.platform !== 'linux')(
  'tasks of every sort come through kills, a full disk and lost folders, each once',
  async () => {
    const { problems, picture, ended } = await play({ tasks: 150, seed: SEED, every: 12 });
    expect(problems, `SOAK_SEED=${SEED}`).toEqual([]);
    expect(ended).toBeGreaterThan(150);
    expect(picture).toMatch(/^<svg .*daemon killed.*<\/svg>\n$/s);
    expect(picture).not.toMatch(/NaN|undefined|Infinity/);
  },
  240_000,
);
