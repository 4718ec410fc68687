// A clock that is set, a machine that sleeps or was booted anew: no task is run twice, none is timed out for it.
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import type { Status } from '../../daemon/cli/view/status.ts';
import { self } from '../../daemon/process/identity.ts';
import { afterReboot } from '../helpers/boot.ts';
import { testClock } from '../helpers/clock.ts';
import { canMount } from '../helpers/disk.ts';
import { shellTask, until, workspaces } from '../helpers/workspace.ts';

const workspace = workspaces();
const DAY = 86_400_000;
const SETTINGS =
  'agent: shell\nretry: {initial: 3s, max: 3s}\ntimeouts: {agent: 1m, stuck: 20s, first_output: 20s}\nconcurrency: 3\n';

describe.each([
  ['forward', DAY],
  ['back', -DAY],
])('a clock set %s by a day', (_way, by) => {
  it('blames no agent, runs nothing twice, forgets no wait, and is told', async () => {
    const clock = testClock();
    const ws = workspace(SETTINGS);
    await ws.start([], clock.env);
    ws.drop('works', shellTask('echo begun >> ../../runs; until [ -e ../../go ]; do sleep 0.2; done; echo hi > hi'));
    ws.drop('waits', shellTask('test -e again || { touch again; exit 1; }; echo hi > hi'));
    await until(() => /not_before/.test(readOr(ws.path('queues/incoming/waits.md'))), 'it waits to be tried again');
    await until(() => existsSync(ws.path('runs')), 'it runs');
    clock.set(by);
    ws.file('queues/incoming/dropped.md', shellTask('echo hi > hi'));
    await ws.reaches('dropped', 'done', 30_000);
    await ws.reaches('waits', 'done', 30_000);
    await until(
      () =>
        ws.json<Status>(['status']).faults.some(({ what }) => /clock was set (forward|back) by (1d|24h)/.test(what)),
      'status tells it',
    );
    expect(ws.where('works')).toBe('claimed');
    writeFileSync(ws.path('go'), '');
    await ws.reaches('works', 'done', 30_000);
    expect(ws.show('works')).toMatchObject({ attempts: 1 });
    expect(readFileSync(ws.path('runs'), 'utf8')).toBe('begun\n');
  }, 90_000);
});

it('a daemon that stood still for longer than every time-out blames no agent for it', async () => {
  const ws = workspace(
    SETTINGS.replace('agent: 1m, stuck: 20s, first_output: 20s', 'agent: 10s, stuck: 6s, first_output: 6s'),
  );
  const daemon = await ws.start();
  ws.drop(
    'works',
    shellTask('echo begun; touch started; until [ -e ../../go ]; do echo busy; sleep 0.2; done; echo hi > hi'),
  );
  await until(() => existsSync(ws.path('.worktrees/task-works/started')), 'it runs');
  daemon.kill('SIGSTOP');
  await sleep(12_000);
  writeFileSync(ws.path('go'), '');
  daemon.kill('SIGCONT');
  await ws.reaches('works', 'done', 30_000);
  expect(ws.show('works')).toMatchObject({ attempts: 1 });
}, 60_000);

describe('a lock', () => {
  const held = (pid: number, started: string, boot_id: string) => {
    const who = { host: self().host, boot_id, pid, started };
    return `${JSON.stringify({
      ...{ version: 1, task: 'held', attempt: 1, epoch: 4, phase: 'execute', owner: who },
      agent: { ...who, name: 'shell', session: null },
      ...{
        repo: null,
        worktree: null,
        branch: null,
        claimed_at: '2026-01-01T00:00:00Z',
        heartbeat_at: '2026-01-01T00:00:00Z',
      },
    })}\n`;
  };

  it.each([
    ['of another boot, with the pid of somebody who lives', process.pid, self().started, 'another boot'],
    ['whose pid was given to another process', process.pid, '1', self().boot_id],
  ])('%s: the task is taken over, and that process left alone', async (_what, pid, started, boot) => {
    const ws = workspace(SETTINGS);
    ws.file('queues/claimed/held.md', shellTask('echo hi > hi'));
    ws.file('queues/claimed/held.lock.json', held(pid, started, boot), 0o600);
    await ws.start();
    await ws.reaches('held', 'done', 30_000);
    expect(process.kill(process.pid, 0)).toBe(true);
  });
});

it.skipIf(!canMount)(
  'after a reboot an agent that was at work is run again in its worktree, and no attempt is spent',
  async () => {
    const ws = workspace(SETTINGS);
    const daemon = await ws.start();
    ws.drop('rebooted', shellTask('echo run >> runs; echo $$ > ../../pid; test -e ../../go || sleep 60; echo hi > hi'));
    await until(() => readOr(ws.path('pid')) !== '', 'it runs');
    daemon.kill('SIGKILL');
    // The machine takes all of its processes with it.
    for (const pid of [Number(readFileSync(ws.path('pid'), 'utf8'))]) process.kill(pid, 'SIGKILL');
    await sleep(300);
    writeFileSync(ws.path('go'), '');
    await ws.start([], {}, afterReboot());
    await ws.reaches('rebooted', 'done', 40_000);
    expect(ws.show('rebooted')).toMatchObject({ attempts: 1 });
    expect(ws.git('show', 'towpath/rebooted:runs')).toBe('run\nrun\n');
  },
  60_000,
);

const readOr = (path: string): string => (existsSync(path) ? readFileSync(path, 'utf8') : '');
