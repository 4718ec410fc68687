// Git is killed amid its work, alone and with the daemon; its lock files are left behind; a live git of the user holds one.
import { spawn } from 'node:child_process';
import { existsSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { until } from '../helpers/workspace.ts';
import { picture, problems } from './invariants.ts';
import { work } from './scenarios.ts';
import { linux, make, ONCE, SETTINGS, slow, world } from './stage.ts';
import type { Made, World } from './world.ts';

const task = (id: string) => picture(world).tasks[id];
async function killed(daemon: ReturnType<World['start']>): Promise<void> {
  daemon.kill('SIGKILL');
  await daemon.ended;
}

/** A repository in which files named *.slow pass a filter that waits for long the first time. */
const filtered = (way: 'smudge' | 'clean'): Partial<Made> => ({
  files: {
    'x.slow': 'x\n',
    '.gitattributes': '*.slow filter=slow\n',
    'filter.sh': `#!/bin/sh\n${ONCE.replaceAll('$TOWPATH_WORKSPACE/..', '$(dirname "$0")/..')}\ncat\n`,
  },
  ...{ way },
});

for (const [what, way] of [
  ['worktree add', 'smudge'],
  ['add', 'clean'],
] as const)
  for (const daemonToo of [false, true])
    linux(
      `git ${what} is killed${daemonToo ? ' together with the daemon' : ''}: it is done again, and no lock stays`,
      async () => {
        const files = make({ ...filtered(way), tasks: { t: work('echo y > y.slow') } });
        world.git('config', `filter.slow.${way}`, world.path('filter.sh'));
        const daemon = world.start(['start', '--drain']);
        await slow();
        const gits = world.processes().filter((one) => /^git .*\badd\b/.test(one.what));
        expect(gits.length).toBeGreaterThan(0);
        if (daemonToo) await killed(daemon);
        for (const { pid } of gits) process.kill(pid, 'SIGKILL');
        // What git had started holds its pipes, and is nobody's when git is dead.
        const filters = world.processes().filter((one) => /filter\.sh|^sleep/.test(one.what));
        setTimeout(() => filters.map(({ pid }) => daemonToo || process.kill(pid, 'SIGKILL')), 6000);
        const ended = daemonToo ? await world.drain() : await daemon.ended;
        expect(ended.code, ended.output).toBe(0);
        expect(await problems(world, { originals: files }), ended.output).toEqual([]);
        expect(task('t')).toMatchObject({ in: 'done', attempts: 1, commits: 'A task' });
      },
    );

linux('a git that outlives a killed daemon is ended before its work is done again', async () => {
  const files = make({ ...filtered('smudge'), tasks: { t: work('echo > out') } });
  world.git('config', 'filter.slow.smudge', world.path('filter.sh'));
  const daemon = world.start(['start', '--drain']);
  await slow();
  await killed(daemon);
  const ended = await world.drain();
  expect(ended.code, ended.output).toBe(0);
  expect(await problems(world, { originals: files })).toEqual([]);
});

it('lock files that a dead git left behind are cleared', async () => {
  const tasks = { major: work('echo > out'), minor: work('echo > own', 'complexity: minor\n') };
  const files = make({ settings: `${SETTINGS}concurrency: 1\n`, tasks });
  world.write('.git/refs/towpath/start/towpath/major.lock', '');
  for (const name of ['index', 'HEAD', 'config', 'packed-refs', 'refs/heads/towpath/major'])
    world.write(`.git/${name}.lock`, '');
  const ended = await world.drain();
  expect(ended.code, ended.output).toBe(0);
  expect(await problems(world, { originals: files }), ended.output).toEqual([]);
});

linux(
  'a lock that a live git of the user holds is waited for, with the reason, and the work is not done again',
  async () => {
    const files = make({ tasks: { t: work('touch ../took; echo > own', 'complexity: minor\n') } });
    const user = spawn('git', ['cat-file', '--batch'], { cwd: world.root, stdio: ['pipe', 'ignore', 'ignore'] });
    const daemon = world.start(['start', '--drain']);
    // Taken once the agent is at work: what comes is the capture of its result.
    await until(() => world.ledger.some((line) => line.startsWith('start')), 'the agent runs');
    writeFileSync(world.path('.git/index.lock'), '');
    await until(
      () => /index\.lock is held by process/.test(world.read('.towpath/daemon.log')),
      'it says who holds it',
      30_000,
    );
    expect(existsSync(world.path('.git/index.lock'))).toBe(true);
    rmSync(world.path('.git/index.lock'));
    user.kill();
    const ended = await daemon.ended;
    expect(ended.code, ended.output).toBe(0);
    expect(await problems(world, { originals: files }), ended.output).toEqual([]);
    expect(task('t')).toMatchObject({ in: 'done', attempts: 1 });
    expect(readdirSync(world.path('.towpath/runs/t')).filter((name) => /^\d+$/.test(name))).toEqual(['1']);
  },
);
