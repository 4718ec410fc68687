// Others are killed: the shim, the agent, a hook, a check; many daemons start at once.
import { readFileSync, rmSync } from 'node:fs';
import { expect, it } from 'vitest';
import type { Lock } from '../../daemon/queue/port.ts';
import { until } from '../helpers/workspace.ts';
import { picture, problems } from './invariants.ts';
import { work } from './scenarios.ts';
import { beside, linux, make, ONCE, SETTINGS, slow, world } from './stage.ts';
import type { World } from './world.ts';

const slowPid = () => Number(readFileSync(beside('slow'), 'utf8'));
const alive = (pid: number) => world.processes().some((one) => one.pid === pid);
const lock = (id: string) => JSON.parse(world.read(`queues/claimed/${id}.lock.json`)) as Lock;
const task = (id: string) => picture(world).tasks[id];
const agentOf = async (id: string) => {
  await until(() => {
    try {
      return lock(id).agent !== null;
    } catch {
      return false;
    }
  }, 'the agent runs');
  return lock(id).agent!;
};

async function killed(daemon: ReturnType<World['start']>): Promise<void> {
  daemon.kill('SIGKILL');
  await daemon.ended;
}

linux('a check that outlives a killed daemon is ended before it is run again', async () => {
  const files = make({ settings: `${SETTINGS}checks: ['${ONCE}']\n`, tasks: { t: work('echo > out') } });
  const first = world.start(['start']);
  await slow();
  await killed(first);
  expect(alive(slowPid())).toBe(true);
  expect((await world.drain()).code).toBe(0);
  expect(await problems(world, { originals: files })).toEqual([]);
  expect(task('t')).toMatchObject({ in: 'done', attempts: 1 });
});

linux('a hook that outlives a killed daemon is ended before it is run again', async () => {
  const files = make({ hooks: { pre_task: `#!/bin/sh\n${ONCE}\n` }, tasks: { t: work('echo > out') } });
  const first = world.start(['start']);
  await slow();
  await killed(first);
  expect((await world.drain()).code).toBe(0);
  expect(await problems(world, { originals: files })).toEqual([]);
  expect(task('t')).toMatchObject({ in: 'done', attempts: 1 });
});

linux(
  'a hook that is killed asks the operator, a check that is killed fails, and both leave nothing behind',
  async () => {
    const hook = `#!/bin/sh\n[ "$TOWPATH_TASK_ID" = h ] || exit 0\n${ONCE}\n`;
    const files = make({ hooks: { pre_task: hook }, tasks: { h: work('echo > out') } });
    const daemon = world.start(['start', '--drain']);
    await slow();
    process.kill(slowPid(), 'SIGKILL');
    expect((await daemon.ended).code).toBe(1);
    expect(task('h')).toMatchObject({ in: 'blocked', waits_for: 'hook' });
    expect((await world.run(['resolve', 'h', 'retry'])).code).toBe(0);
    rmSync(beside('slow'));
    world.write('queues/incoming/c.md', work('echo > out', `checks: ['${ONCE}']\n`));
    world.write('hooks/pre_task', '#!/bin/sh\n', 0o755);
    const again = world.start(['start', '--drain']);
    await slow();
    process.kill(slowPid(), 'SIGKILL');
    expect((await again.ended).code).toBe(0);
    expect(await problems(world, { originals: files })).toEqual([]);
    expect(task('h')).toMatchObject({ in: 'done', attempts: 1 });
    expect(task('c')).toMatchObject({ in: 'done', attempts: 2 });
  },
);

for (const [who, attempts] of [
  ['shim', 1],
  ['agent', 2],
  ['both', 1],
] as const)
  linux(
    `${who === 'both' ? 'shim and agent are' : `the ${who} is`} killed: the task is done by a run that comes after`,
    async () => {
      const files = make({ tasks: { t: work(`${ONCE}\necho > out`) } });
      const daemon = world.start(['start', '--drain']);
      await slow();
      const agent = await agentOf('t');
      if (who !== 'agent') process.kill(agent.shim!.pid, 'SIGKILL');
      if (who !== 'shim') process.kill(agent.pid, 'SIGKILL');
      // Without its shim the agent goes on, and is waited for.
      else setTimeout(() => process.kill(agent.pid, 'SIGTERM'), 500);
      expect((await daemon.ended).code).toBe(0);
      expect(await problems(world, { originals: files, mayDie: true })).toEqual([]);
      expect(task('t')).toMatchObject({ in: 'done', attempts });
      expect(world.ledger.filter((line) => line.startsWith('start'))).toHaveLength(2);
    },
  );

it('of many daemons that start at the same instant one holds the workspace, also where the lock file is no database', async () => {
  make({ settings: SETTINGS });
  for (let round = 0; round < 5; round++) {
    if (round % 2 === 1)
      world.write('.towpath/daemon.lock', 'no database, and longer than its header would be: '.repeat(4));
    const daemons = [1, 2, 3, 4].map(() => world.start(['start']));
    const ends: { code: number | null; output: string }[] = [];
    for (const one of daemons) void one.ended.then((end) => ends.push(end));
    await until(() => ends.length === 3, 'three give up', 25_000);
    for (const end of ends)
      expect(end).toMatchObject({ code: 1, output: expect.stringMatching(/a daemon already runs in .* \(pid \d+\)/) });
    for (const one of daemons) one.kill('SIGKILL');
    await Promise.all(daemons.map((one) => one.ended));
  }
}, 90_000);
