// Random kills as part of the whole suite: one seed, a few kills in a row. `npm run test:crash` plays many.
import { expect, it } from 'vitest';
import { playSeed } from './random.ts';

it('a daemon that is killed at random, again and again, does each task once and leaves nothing behind', async () => {
  const seed = Number(process.env['CRASH_SEED'] ?? 1);
  expect(await playSeed(seed, 4), `CRASH_SEED=${seed}`).toEqual([]);
}, 120_000);
