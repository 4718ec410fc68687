// What a person, a terminal and a service manager do to `towpath start` by signals, and what `stop` leaves.
import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { missing } from '../helpers/systemd.ts';
import { BIN, shellTask, type TestWorkspace, until, workspaces } from '../helpers/workspace.ts';

const workspace = workspaces();
const PATIENT = shellTask(
  'echo $$ > agent.pid\nuntil [ -e "$TOWPATH_WORKSPACE/go" ]; do sleep 0.1; done; echo done > result',
  'timeout: 5m\n',
);

const ended = (child: ChildProcess) =>
  new Promise<number | null>((resolve) => {
    if (child.exitCode !== null) resolve(child.exitCode);
    else child.once('exit', resolve);
  });
const lives = (pid: number): boolean => {
  try {
    process.kill(pid, 0);
    return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'));
  } catch {
    return false;
  }
};
async function agentOf(ws: TestWorkspace, id = 'patient'): Promise<number> {
  const file = ws.path('.worktrees', `task-${id}`, 'agent.pid');
  const text = () => (existsSync(file) ? readFileSync(file, 'utf8') : '');
  await until(
    () => text().endsWith('\n'),
    'the agent runs',
    20_000,
    () => ws.output,
  );
  return Number(text());
}
const go = (ws: TestWorkspace) => writeFileSync(ws.path('go'), '');

describe('SIGTERM', () => {
  it('ends the agents, puts the tasks back and spends no attempt; a second one changes nothing', async () => {
    const ws = workspace();
    ws.drop('patient', PATIENT);
    const daemon = await ws.start();
    const agent = await agentOf(ws);
    daemon.kill('SIGTERM');
    daemon.kill('SIGTERM');
    expect(await ended(daemon)).toBe(0);
    expect(lives(agent)).toBe(false);
    expect(ws.where('patient')).toBe('incoming');
    expect(ws.show('patient').attempts ?? 0).toBe(0);
    go(ws);
    ws.drain();
    expect(ws.where('patient')).toBe('done');
  });

  it('does not wait for a hook that takes its time', async () => {
    const ws = workspace('agent: shell\nhooks: {timeout: 10m}\n');
    ws.hook('pre_task', '#!/bin/sh\necho $$ > "$TOWPATH_WORKSPACE/hook.pid"\nsleep 300\n');
    ws.drop('one', shellTask('echo 1 > one'));
    const daemon = await ws.start();
    await until(() => existsSync(ws.path('hook.pid')) && readFileSync(ws.path('hook.pid'), 'utf8') !== '', 'the hook');
    const hook = Number(readFileSync(ws.path('hook.pid'), 'utf8'));
    daemon.kill('SIGTERM');
    const code = await Promise.race([ended(daemon), new Promise((resolve) => setTimeout(resolve, 28_000, 'it waits'))]);
    expect(code).toBe(0);
    expect(lives(hook)).toBe(false);
    ws.hook('pre_task', '#!/bin/sh\n');
    expect(ws.drain().code).toBe(0);
    expect(ws.where('one')).toBe('done');
  }, 60_000);
});

describe('stop --keep-agents', () => {
  it('leaves at once, and the next start goes on with the same agent', async () => {
    const ws = workspace();
    ws.drop('patient', PATIENT);
    const daemon = await ws.start();
    const agent = await agentOf(ws);
    const { code, stderr } = ws.run(['stop', '--keep-agents']);
    expect([code, stderr]).toEqual([0, expect.stringMatching(/leaving 1 running/)]);
    expect(await ended(daemon)).toBe(0);
    expect(lives(agent)).toBe(true);
    expect(ws.where('patient')).toBe('claimed');
    await ws.start();
    go(ws);
    await ws.reaches('patient', 'done');
    expect(ws.json<{ runs: unknown[] }>(['show', 'patient']).runs).toHaveLength(1);
  });

  it('breaks off what is between two steps, and leaves no program of it', async () => {
    const ws = workspace('agent: shell\nhooks: {timeout: 10m}\n');
    ws.hook(
      'setup',
      '#!/bin/sh\necho $$ >> "$TOWPATH_WORKSPACE/hook.pid"\n[ -e "$TOWPATH_WORKSPACE/go" ] || sleep 300\n',
    );
    ws.drop('one', shellTask('echo 1 > one'));
    const daemon = await ws.start();
    await until(() => existsSync(ws.path('hook.pid')) && readFileSync(ws.path('hook.pid'), 'utf8') !== '', 'the hook');
    const hook = Number(readFileSync(ws.path('hook.pid'), 'utf8'));
    expect(ws.run(['stop', '--keep-agents']).code).toBe(0);
    expect(await ended(daemon)).toBe(0);
    expect(lives(hook)).toBe(false);
    expect(ws.where('one')).toBe('claimed');
    go(ws);
    expect(ws.drain().code).toBe(0);
    expect(ws.where('one')).toBe('done');
  });

  it('cannot be told together with --now', () => {
    expect(workspace().run(['stop', '--keep-agents', '--now']).code).toBe(2);
  });
});

describe('stop --now without a daemon', () => {
  it('ends what a killed one left, and puts it back', async () => {
    const ws = workspace();
    ws.drop('patient', PATIENT);
    const daemon = await ws.start();
    const agent = await agentOf(ws);
    daemon.kill('SIGKILL');
    await ended(daemon);
    expect(lives(agent)).toBe(true);
    expect(ws.run(['stop']).code).toBe(5);
    expect(ws.json(['stop', '--now'])).toEqual({ stopped: null, put_back: ['patient'] });
    expect(lives(agent)).toBe(false);
    expect(ws.where('patient')).toBe('incoming');
    expect(ws.run(['stop', '--now']).code).toBe(5);
  });
});

describe('SIGHUP', () => {
  it('reloads: for the next claims, not for what runs, and never what is wrong', async () => {
    const ws = workspace('agent: shell\nconcurrency: 1\n');
    ws.drop('patient', PATIENT);
    const daemon = await ws.start();
    await agentOf(ws);
    ws.drop('other', shellTask('echo 1 > other'));
    ws.file('towpath.yaml', 'agent: shell\nconcurrency: none\n');
    daemon.kill('SIGHUP');
    const faults = () => ws.json<{ faults: { what: string }[] }>(['status']).faults;
    await until(
      () => faults().some(({ what }) => what.includes('settings could not be reloaded')),
      'the fault is told',
    );
    expect(ws.run(['validate', ws.file('x.md', 'hello')]).code).toBe(3);
    expect(ws.where('other')).toBe('incoming');
    ws.file('towpath.yaml', 'agent: shell\nconcurrency: 2\nchecks: ["false"]\ndurability: fast\n');
    daemon.kill('SIGHUP');
    await ws.reaches('other', 'failed');
    expect(faults()).toEqual([]);
    expect(ws.output).toMatch(/settings reloaded.*checks.*durability: takes effect after a restart/);
    const told = ws
      .run(['events', '--json'])
      .stdout.split('\n')
      .filter((line) => line.includes('settings_reloaded'));
    expect(JSON.parse(told[0]!)).toMatchObject({
      changed: ['checks', 'concurrency.total'],
      after_restart: ['durability'],
    });
    go(ws);
    await ws.reaches('patient', 'done');
  }, 60_000);

  const tools = missing('script');
  if (tools.length > 0) it.skip(`of a closed terminal is not tried: there is no ${tools}`);
  it.runIf(tools.length === 0)(
    'of a terminal that was closed ends it like SIGTERM',
    async () => {
      const ws = workspace();
      ws.drop('patient', PATIENT);
      const env = { ...process.env, TOWPATH_WORKSPACE: ws.root };
      const terminal = spawn('script', ['-qec', `exec ${BIN} start`, '/dev/null'], {
        env,
        stdio: ['pipe', 'ignore', 'ignore'],
      });
      const agent = await agentOf(ws);
      const daemon = ws.daemonPid()!;
      terminal.kill('SIGKILL');
      await until(() => !lives(daemon), 'the daemon has left', 25_000);
      expect(lives(agent)).toBe(false);
      expect(ws.where('patient')).toBe('incoming');
    },
    60_000,
  );
});

describe('the daemon goes on', () => {
  it('when nobody reads what it shows, and when asked for a debugger', async () => {
    const ws = workspace();
    ws.hook('pre_task', '#!/bin/sh\necho talk; echo more >&2\n');
    const daemon = await ws.start();
    daemon.stdout!.destroy();
    daemon.stderr!.destroy();
    daemon.kill('SIGUSR1');
    for (const id of ['one', 'two']) {
      ws.drop(id, shellTask(`echo 1 > ${id}`));
      await ws.reaches(id, 'done');
    }
    expect(daemon.exitCode).toBe(null);
    expect(ws.output).not.toContain('Debugger listening');
    expect(ws.run(['stop']).code).toBe(0);
    expect(await ended(daemon)).toBe(0);
  });

  it('when its reader stands still', async () => {
    const ws = workspace();
    ws.hook('pre_task', '#!/bin/sh\nyes "a line that nobody reads" | head -c 3000000\n');
    const daemon = await ws.start(['--json']);
    daemon.stdout!.pause();
    ws.drop('one', shellTask('echo 1 > one'));
    await ws.reaches('one', 'done', 60_000);
    expect(ws.run(['stop']).code).toBe(0);
    daemon.stdout!.resume();
    expect(await ended(daemon)).toBe(0);
  }, 90_000);
});
