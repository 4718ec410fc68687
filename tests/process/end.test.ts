// Trees: whatever a run left anywhere is found and ended, and nothing else ever is.
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { expect, onTestFinished, test } from 'vitest';
import { endTree } from '../../daemon/process/end.ts';
import { identify, isAlive, self, startedAt } from '../../daemon/process/identity.ts';
import { waitForExit } from '../../daemon/process/shim.ts';
import { collect, treeOf } from '../../daemon/process/tree.ts';
import { treeLoad, treeUsage } from '../../daemon/process/usage.ts';
import { GHOST, newMarker, shimmed, text, until } from './helpers.ts';

/** Each writes the pids that must die, one a line, into `pids` of its working directory, then `up`. */
const ESCAPES: Record<string, string[]> = {
  'a setsid child': ['sh', '-c', 'setsid sh -c "echo \\$\\$ >>pids; echo up >up; exec sleep 600" & wait'],
  'a child that ignores SIGTERM': [
    'sh',
    '-c',
    'sh -c "trap \\"\\" TERM HUP INT; echo \\$\\$ >>pids; echo up >up; while :; do sleep 1; done" & wait',
  ],
  'a double fork, re-parented': [
    'sh',
    '-c',
    '(sh -c "echo \\$\\$ >>pids; echo up >up; exec sleep 600" &) ; exec sleep 600',
  ],
  'nohup in the background, its parent gone': [
    'sh',
    '-c',
    'nohup sh -c "echo \\$\\$ >>pids; echo up >up; exec sleep 600" >/dev/null 2>&1 &',
  ],
  'a daemon in perl': [
    'perl',
    '-MPOSIX',
    '-e',
    'fork and sleep 600; setsid; fork and exit; open F, ">>pids"; print F "$$\n"; close F; open G, ">up"; print G "up"; close G; sleep 600',
  ],
  'a child without the marker': ['sh', '-c', 'env -i sh -c "echo \\$\\$ >>pids; echo up >up; sleep 600; :" & wait'],
  'a stopped child': ['sh', '-c', 'sh -c "echo \\$\\$ >>pids; echo up >up; kill -STOP \\$\\$; sleep 600" & wait'],
};

test.each(Object.entries(ESCAPES))('%s is found and ended', async (_, argv) => {
  const run = await shimmed(argv);
  await until(() => text(join(run.dir, 'up')));
  const left = text(join(run.dir, 'pids')).trim().split('\n').map(Number);
  expect(left.every((pid) => pid > 1 && startedAt(pid))).toBe(true);
  const target = { root: run.agent, marker: run.marker };
  expect(treeOf(target)).toEqual(expect.arrayContaining(left));
  const { ended } = await endTree(target, { grace_ms: 200 });
  expect(ended).toEqual(expect.arrayContaining(left));
  expect(left.filter((pid) => startedAt(pid))).toEqual([]);
  expect(treeOf(target)).toEqual([]);
});

test('the exit is kept when the program had to be killed', async () => {
  const run = await shimmed(['sh', '-c', 'trap "" TERM; echo up >up; while :; do sleep 0.1; done']);
  await until(() => text(join(run.dir, 'up')));
  await endTree({ root: run.agent, marker: run.marker }, { grace_ms: 100 });
  expect(await waitForExit(run)).toEqual({ code: null, signal: 'SIGKILL', lost: false });
  expect(isAlive(run.shim)).toBe(false);
});

test('the signal can be chosen, and who leaves by it is not killed', async () => {
  const run = await shimmed(['sh', '-c', 'trap "exit 4" INT; echo up >up; while :; do sleep 0.01; done']);
  await until(() => text(join(run.dir, 'up')));
  await endTree({ root: run.agent, marker: run.marker }, { signal: 'SIGINT' });
  expect(await waitForExit(run)).toMatchObject({ code: 4 });
});

test('who keeps having children is ended all the same', async () => {
  const run = await shimmed([
    'sh',
    '-c',
    'trap "" TERM; echo up >up; while :; do setsid sleep 600 & sleep 0.005; done',
  ]);
  await until(() => text(join(run.dir, 'up')));
  const { ended } = await endTree({ marker: run.marker }, { grace_ms: 50 });
  expect(ended.length).toBeGreaterThan(1);
  expect(treeOf({ marker: run.marker })).toEqual([]);
});

test('a child whose session leader is gone and that has no marker is still in sight', async () => {
  const run = await shimmed(['sh', '-c', 'env -i sh -c "sleep 600 & echo \\$! >pids; echo up >up; exec sleep 600"']);
  await until(() => text(join(run.dir, 'up')));
  const [orphan] = text(join(run.dir, 'pids')).trim().split('\n').map(Number);
  process.kill(run.agent!.pid, 'SIGKILL');
  expect((await endTree({ root: run.shim, marker: run.marker }, { grace_ms: 100 })).ended).toContain(orphan);
});

test('who left every trace behind is known when it was seen before, and a stranger with its pid is not', async () => {
  const run = await shimmed(GHOST);
  const ghost = Number(await until(() => text(join(run.dir, 'up')) && text(join(run.dir, 'pids')).trim()));
  const target = { root: run.agent, marker: run.marker };
  expect(treeOf(target)).not.toContain(ghost);
  const known = new Map([[ghost, startedAt(ghost)!]]);
  expect(treeOf({ ...target, known: new Map([[ghost, '1']]) })).not.toContain(ghost);
  expect((await endTree({ ...target, known }, { grace_ms: 100 })).ended).toContain(ghost);
  expect(startedAt(ghost)).toBeUndefined();
});

test.skipIf(process.getuid?.() !== 0)(
  'who cannot be killed, as another user, is told',
  async () => {
    const child = spawn('sleep', ['600'], { stdio: 'ignore' });
    onTestFinished(() => void child.kill('SIGKILL'));
    const module = (name: string) => JSON.stringify(new URL(`../../daemon/process/${name}.ts`, import.meta.url).href);
    const script = `
    const root = ${JSON.stringify(identify(child.pid!))};
    const { endTree } = await import(${module('end')});
    process.setgid(65534); process.setgroups([]); process.setuid(65534);
    console.log(JSON.stringify(await endTree({ root }, { grace_ms: 10 })));`;
    const out = spawn(process.execPath, ['--input-type=module', '-e', script], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    let said = '';
    out.stdout.on('data', (chunk) => {
      said += chunk;
    });
    expect(JSON.parse(await until(() => said.includes('\n') && said))).toEqual({ ended: [], left: [child.pid] });
    expect(child.exitCode ?? child.signalCode).toBeNull();
  },
  30_000,
);

test('a marker finds its own run, and the runs below it, alone', async () => {
  const run = await shimmed(['sleep', '600']);
  await until(() => treeOf({ marker: run.marker }).includes(run.agent!.pid));
  expect(treeOf({ marker: run.marker.split('/').slice(0, 2).join('/') })).toContain(run.agent!.pid);
  expect(treeOf({ marker: run.marker.slice(0, -1) })).toEqual([]);
  expect(treeOf({ marker: `${run.marker}/more` })).toEqual([]);
  expect(treeOf({ marker: newMarker() })).toEqual([]);
});

test('a pid that was used again is not touched', async () => {
  const child = spawn('sleep', ['600'], { stdio: 'ignore' });
  onTestFinished(() => void child.kill('SIGKILL'));
  const who = identify(child.pid!)!;
  const stranger = { ...who, started: String(Number(who.started) - 1) };
  expect(treeOf({ root: stranger })).toEqual([]);
  expect(await endTree({ root: stranger }, { grace_ms: 0 })).toEqual({ ended: [], left: [] });
  expect(await endTree({ root: { ...who, pid: -1 } }, { grace_ms: 0 })).toEqual({ ended: [], left: [] });
  const seen = { started: new Map([[who.pid, stranger.started]]), groups: new Set<number>() };
  expect([...collect({}, seen).keys()]).toEqual([]);
  expect(isAlive(who)).toBe(true);
  expect(await endTree({ root: who })).toEqual({ ended: [who.pid], left: [] });
});

test('this process and its ancestors are never in a tree', () => {
  expect(treeOf({ root: self() })).not.toContain(process.pid);
  const parent = identify(process.ppid)!;
  expect(treeOf({ root: parent })).not.toContain(process.ppid);
  expect(treeOf({ root: parent })).not.toContain(process.pid);
});

test('zombies do not count', async () => {
  const run = await shimmed([
    'perl',
    '-e',
    '$pid = fork; exit unless $pid; open F, ">pids"; print F $pid; close F; sleep 600',
  ]);
  const zombie = Number(await until(() => text(join(run.dir, 'pids'))));
  await until(() => startedAt(zombie) === undefined);
  expect(() => process.kill(zombie, 0)).not.toThrow();
  expect(treeOf({ root: run.agent })).toEqual([run.agent!.pid]);
  expect((await endTree({ root: run.agent, marker: run.marker })).ended).not.toContain(zombie);
});

test('usage is summed over the tree and tells work from rest', async () => {
  const run = await shimmed([
    'sh',
    '-c',
    'perl -e \'1 while $i++ < 3e7; print "x" x 1e6\' >big; echo up >up; exec sleep 600',
  ]);
  await until(() => text(join(run.dir, 'up')) && text(`/proc/${run.agent!.pid}/comm`) === 'sleep\n');
  const pids = treeOf({ root: run.agent });
  const first = treeUsage(pids);
  expect(first).toMatchObject({ processes: 1, rss_bytes: expect.any(Number) });
  expect(first.rss_bytes).toBeGreaterThan(10_000);
  // Once it sleeps, nothing changes any more.
  await until(() => isDeepStrictEqual(treeUsage(pids), treeUsage(pids)));
  expect(treeUsage([]).processes + treeUsage([999_999_999]).processes).toBe(0);
  const mine = treeUsage([process.pid]);
  expect(mine.cpu_ms).toBeGreaterThan(0);
  expect(mine.io_bytes).toBeGreaterThan(0);
  expect(mine.switches).toBeGreaterThan(0);
  expect((await treeLoad([process.pid, 999_999_999])).rss_bytes).toBeGreaterThan(1e6);
});
