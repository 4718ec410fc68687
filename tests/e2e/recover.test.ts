import { cpSync, existsSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { isAlive } from '../../daemon/process/identity.ts';
import type { Lock } from '../../daemon/queue/port.ts';
import { BIN, shellTask, type TestWorkspace, tempDir, until, workspaces } from '../helpers/workspace.ts';

const workspace = workspaces();

const lockOf = (ws: TestWorkspace, id: string): Lock =>
  JSON.parse(readFileSync(ws.path(`queues/claimed/${id}.lock.json`), 'utf8')) as Lock;
/** The lock when it is there and can be read. */
const tryLock = (ws: TestWorkspace, id: string): Lock | null => {
  try {
    return lockOf(ws, id);
  } catch {
    return null;
  }
};
const running = async (ws: TestWorkspace, id: string): Promise<Lock> => {
  const path = ws.path(`queues/claimed/${id}.lock.json`);
  await until(
    () => existsSync(path) && tryLock(ws, id)?.agent != null,
    `${id} has an agent`,
    15_000,
    () => ws.output,
  );
  return lockOf(ws, id);
};

describe('a daemon that is killed', () => {
  it('leaves its agent running, and the next one goes on with it', async () => {
    const ws = workspace();
    ws.drop(
      'long',
      shellTask('for n in $(seq 1 30); do echo line $n; sleep 0.1; done; echo > out', 'checks: [test -e out]\n'),
    );
    const first = await ws.start();
    const before = await running(ws, 'long');
    first.kill('SIGKILL');
    await new Promise((resolve) => first.once('exit', resolve));
    expect(isAlive(before.agent!)).toBe(true);
    expect(ws.where('long')).toBe('claimed');
    await ws.start();
    await until(
      () => lockOf(ws, 'long').epoch === before.epoch + 1,
      'the claim is adopted',
      5000,
      () => ws.output,
    );
    expect(lockOf(ws, 'long').agent).toMatchObject({ pid: before.agent!.pid, started: before.agent!.started });
    await ws.reaches('long', 'done');
    const lines = readFileSync(ws.path('.towpath/runs/long/1/stdout'), 'utf8')
      .split('\n')
      .filter((line) => line.startsWith('line'));
    expect(lines).toEqual(Array.from({ length: 30 }, (_, n) => `line ${n + 1}`));
    expect(ws.show('long')).toMatchObject({ attempts: 1, outcome: 'ok' });
    expect(readdirSync(ws.path('queues/claimed'))).toEqual([]);
  });

  it('is followed by a newer version, in another place, that goes on with its agent', async () => {
    const ws = workspace();
    ws.drop('long', shellTask('until [ -e ../../go ]; do echo at work; sleep 0.1; done; echo > out'));
    const first = await ws.start();
    const before = await running(ws, 'long');
    const newer = tempDir('towpath-newer-');
    const home = dirname(dirname(BIN));
    for (const part of ['daemon', 'roles', 'hooks', 'systemd', 'package.json'])
      cpSync(join(home, part), join(newer, part), { recursive: true });
    symlinkSync(join(home, 'node_modules'), join(newer, 'node_modules'));
    const manifest = JSON.parse(readFileSync(join(newer, 'package.json'), 'utf8')) as { version: string };
    writeFileSync(join(newer, 'package.json'), JSON.stringify({ ...manifest, version: '99.0.0' }));
    first.kill('SIGKILL');
    await new Promise((resolve) => first.once('exit', resolve));
    await ws.start([], {}, [], join(newer, 'daemon/towpath.js'));
    await until(() => tryLock(ws, 'long')?.epoch === before.epoch + 1, 'the claim is adopted');
    expect(ws.json<{ daemon: { version: string } }>(['status']).daemon.version).toBe('99.0.0');
    expect(lockOf(ws, 'long').agent).toMatchObject({ pid: before.agent!.pid, started: before.agent!.started });
    writeFileSync(ws.path('go'), '');
    await ws.reaches('long', 'done');
    expect(ws.show('long')).toMatchObject({ attempts: 1, outcome: 'ok' });
    rmSync(newer, { recursive: true });
  });

  it('finds the exit code of an agent that ended meanwhile', async () => {
    const ws = workspace();
    ws.drop('short', shellTask('sleep 1; echo > out; exit 0'));
    const first = await ws.start();
    const { agent } = await running(ws, 'short');
    first.kill('SIGKILL');
    await until(() => !isAlive(agent!), 'the agent ends');
    expect(ws.drain().code).toBe(0);
    expect(ws.show('short')).toMatchObject({ queue: 'done', attempts: 1 });
  });

  it('resumes a task whose agent and shim went down too, without spending an attempt', async () => {
    const ws = workspace();
    ws.drop('gone', shellTask('echo $TOWPATH_ATTEMPT >> tries; [ "$TOWPATH_ATTEMPT" = 1 ] && sleep 60; true'));
    const first = await ws.start();
    const { agent } = await running(ws, 'gone');
    await until(() => existsSync(ws.path('.worktrees/task-gone/tries')), 'the first try is at work');
    first.kill('SIGKILL');
    process.kill(agent!.shim!.pid, 'SIGKILL');
    process.kill(agent!.pid, 'SIGKILL');
    await until(() => !isAlive(agent!), 'the agent is dead');
    expect(ws.drain().code).toBe(0);
    expect(ws.show('gone')).toMatchObject({ queue: 'done', attempts: 1 });
    expect(ws.git('show', 'towpath/gone:tries')).toBe('1\n2\n');
  });

  it('takes an unreadable lock for held, and looks closer', async () => {
    const ws = workspace();
    ws.drop('odd', shellTask('until [ -e ../../go ]; do sleep 0.1; done; echo > out'));
    const first = await ws.start();
    const { agent } = await running(ws, 'odd');
    first.kill('SIGKILL');
    writeFileSync(ws.path('queues/claimed/odd.lock.json'), '{"version":1,"ta');
    await ws.start();
    await until(() => (tryLock(ws, 'odd')?.epoch ?? 0) > 0, 'the lock is written anew');
    expect(isAlive(agent!)).toBe(true);
    ws.file('go', '');
    await ws.reaches('odd', 'done');
    expect(ws.show('odd').attempts).toBe(1);
  });
});

describe('one daemon per workspace', () => {
  it('a second names the holder and exits 1', async () => {
    const ws = workspace();
    const first = await ws.start();
    const second = ws.run(['start']);
    expect(second.code).toBe(1);
    expect(second.stderr).toContain(`pid ${first.pid}`);
  });
});

describe('stopping', () => {
  it('stop --now puts a running task back, and ends its whole tree', async () => {
    const ws = workspace();
    ws.drop('slow', shellTask('setsid sleep 300 & sleep 300'));
    await ws.start();
    const { agent } = await running(ws, 'slow');
    const stopped = ws.run(['stop', '--now']);
    expect(stopped.code).toBe(0);
    expect(ws.where('slow')).toBe('incoming');
    expect(isAlive(agent!)).toBe(false);
    expect(leftOf(ws, 'slow')).toEqual([]);
    expect(ws.show('slow').attempts).toBe(0);
    expect(ws.run(['stop']).code).toBe(5);
  });

  it('stop waits for what runs', async () => {
    const ws = workspace();
    ws.drop('quick', shellTask('sleep 1; echo > out'));
    await ws.start();
    await running(ws, 'quick');
    expect(ws.run(['stop']).code).toBe(0);
    expect(ws.where('quick')).toBe('done');
  });
});

describe('watching over agents', () => {
  it('ends one that runs too long, with everything it started', async () => {
    const ws = workspace();
    ws.drop(
      'hang',
      shellTask(
        'trap "" TERM; (trap "" TERM; setsid sh -c "trap \'\' TERM; sleep 77") & sleep 77',
        'timeout: 1s\nmax_attempts: 1\n',
      ),
    );
    ws.drain();
    expect(ws.show('hang')).toMatchObject({ queue: 'failed', outcome: 'timeout' });
    expect(leftOf(ws, 'hang')).toEqual([]);
  });

  it('tells a silent tree from one that computes', () => {
    const ws = workspace(
      'agent: shell\nretry: {initial: 100ms}\ntimeouts: {stuck: 2s, first_output: 30s}\nconcurrency: 2\n',
    );
    ws.drop('dead', shellTask('sleep 100', 'max_attempts: 1\n'));
    ws.drop('busy', shellTask('end=$(($(date +%s) + 6)); while [ $(date +%s) -lt $end ]; do :; done; echo > out', ''));
    ws.drain();
    expect(ws.show('dead')).toMatchObject({ queue: 'failed', outcome: 'stuck' });
    expect(ws.show('busy')).toMatchObject({ queue: 'done' });
  });

  it('ends one that never says anything', () => {
    const ws = workspace('agents:\n  mute: {command: [sleep, "100"]}\ntimeouts: {first_output: 1s}\n');
    ws.drop('mute', '---\nagent: mute\nmax_attempts: 1\n---\nsay something\n');
    ws.drain();
    expect(ws.show('mute')).toMatchObject({ queue: 'failed', outcome: 'stuck' });
  });
});

/** Processes of a task's runs that still live. */
const leftOf = (ws: TestWorkspace, id: string): string[] =>
  readdirSync('/proc').filter((pid) => {
    const env = /^\d+$/.test(pid) ? environ(pid) : '';
    return env.includes(`TOWPATH_RUN=${id}/`) && env.includes(`TOWPATH_WORKSPACE=${ws.root}`);
  });

function environ(pid: string): string {
  try {
    return readFileSync(`/proc/${pid}/environ`, 'utf8');
  } catch {
    return '';
  }
}
