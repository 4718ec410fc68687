// Only what is younger than a run is looked at for its remains, and nothing younger is overlooked.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { afterEach, describe, expect, it } from 'vitest';
import { birth, treeOf } from '../../daemon/process/tree.ts';

const children: ReturnType<typeof spawn>[] = [];
afterEach(() => {
  for (const child of children.splice(0)) child.kill('SIGKILL');
});

async function sleeper(marker: string): Promise<number> {
  const child = spawn('sleep', ['60'], { env: { ...process.env, TOWPATH_RUN: marker }, stdio: 'ignore' });
  children.push(child);
  await once(child, 'spawn');
  return child.pid!;
}

describe.runIf(process.platform === 'linux')('the moment of birth', () => {
  it('keeps the younger in sight and leaves out the older', async () => {
    const marker = `birth-${process.pid}/1/x`;
    const before = await sleeper(marker);
    const since = birth();
    const after = await sleeper(marker);
    expect(since).toBeDefined();
    expect(treeOf({ marker }).sort()).toEqual([before, after].sort());
    expect(treeOf({ marker, since })).toEqual([after]);
  });

  it('looks at all when too many were born since, as numbers are given in a circle', async () => {
    const marker = `birth-${process.pid}/2/x`;
    const pid = await sleeper(marker);
    const { pid: last, forks } = birth()!;
    expect(treeOf({ marker, since: { pid: last, forks } })).toEqual([]);
    expect(treeOf({ marker, since: { pid: last, forks: forks - 20_000 } })).toEqual([pid]);
  });

  it('goes on past the end of the circle', async () => {
    const marker = `birth-${process.pid}/3/x`;
    const pid = await sleeper(marker);
    const { pid: last, forks } = birth()!;
    // As if the numbers had been near their end when the run began.
    expect(treeOf({ marker, since: { pid: last + 1000, forks } })).toEqual([pid]);
  });
});
