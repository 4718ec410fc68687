// The watchdog on real trees: silence alone is not death, stirring in idleness is not life, and time that nobody watched does not count.
import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect, onTestFinished, test } from 'vitest';
import { type Health, runTarget } from '../../daemon/agents/kept.ts';
import { Watchdog, type WatchdogOptions } from '../../daemon/agents/watchdog.ts';
import { identify, startedAt } from '../../daemon/process/identity.ts';
import { newMarker, tempDir } from '../process/helpers.ts';

/** A watchdog over a program of its own. */
function over(argv: string[], options: Partial<WatchdogOptions> = {}) {
  const dir = tempDir();
  const child = spawn(argv[0]!, argv.slice(1), { cwd: dir, stdio: 'ignore', detached: true });
  onTestFinished(() => void process.kill(-child.pid!, 'SIGKILL'));
  const warnings: string[] = [];
  const root = identify(child.pid!)!;
  const watchdog = new Watchdog({
    ...{ dir, target: { root, marker: newMarker() }, total_ms: 60_000, stuck_ms: 1000, first_output_ms: 60_000 },
    ...{ elapsed_ms: 0, onSuspect: (what: string) => warnings.push(what) },
    ...options,
  });
  const health = () => JSON.parse(readFileSync(join(dir, 'health.json'), 'utf8')) as Health & { members: unknown[] };
  /** Checks as often as a run does, until there is a verdict or the time is over. */
  const watch = async (ms: number, openTools = 0) => {
    for (const end = performance.now() + ms; performance.now() < end; await sleep(50)) {
      const verdict = watchdog.check(false, openTools);
      if (verdict) return verdict;
    }
    return null;
  };
  return { watchdog, watch, warnings, health, root, dir };
}

test('a tree that sleeps is told first, then it is stuck', async () => {
  const { watch, watchdog, warnings, health, root } = over(['sh', '-c', 'sleep 600; :']);
  watchdog.check(true, 0, 'log');
  expect(await watch(20_000)).toBe('stuck');
  expect(warnings).toEqual([expect.stringContaining('no sign of life for')]);
  expect(health()).toMatchObject({ last_event: 'log', processes: 2, cpu_percent: 0 });
  expect(health().members).toContainEqual([root.pid, root.started]);
});

test.each([
  ['burns the processor', 'while :; do :; done'],
  ['writes to the disk now and then', 'while :; do head -c 100000 /dev/zero >big; sleep 0.2; done'],
  ['starts one short program after the other', 'while :; do sleep 0.1; done'],
])('a silent tree that %s is at work', async (_, script) => {
  const { watch, watchdog, warnings } = over(['sh', '-c', script]);
  watchdog.check(true, 0);
  expect(await watch(4000)).toBeNull();
  expect(warnings).toEqual([]);
});

test('an open tool call is work, as long as it is open', async () => {
  const { watch, watchdog } = over(['sleep', '600']);
  watchdog.check(true, 1);
  expect(await watch(3000, 1)).toBeNull();
  expect(await watch(20_000, 0)).toBe('stuck');
});

test('what an idle runtime does is no sign of life, and more than that is', async () => {
  // Wakes 20 times a second for next to nothing.
  const ticking = ['perl', '-e', 'select undef, undef, undef, 0.05 while 1'];
  const plain = over(ticking);
  const knows = over(ticking, { idle: { cpu_ms: 2, io_bytes: 15, switches: 40 } });
  const busy = over(['sh', '-c', 'while :; do :; done'], { idle: { cpu_ms: 2, io_bytes: 15, switches: 40 } });
  for (const { watchdog } of [plain, knows, busy]) watchdog.check(true, 0);
  const ends = await Promise.all([plain.watch(4000), knows.watch(20_000), busy.watch(4000)]);
  expect(ends).toEqual([null, 'stuck', null]);
});

test('no output at all since the start is stuck, however busy it is, and is told at half of the time', async () => {
  const { watch, warnings } = over(['sh', '-c', 'while :; do :; done'], { first_output_ms: 1000 });
  expect(await watch(20_000)).toBe('stuck');
  expect(warnings).toEqual([expect.stringMatching(/^no output in .*timeouts.first_output/)]);
});

test('a gap in which nobody looked counts for two seconds at most', async () => {
  const { watchdog } = over(['sleep', '600'], { stuck_ms: 5000, total_ms: 5000, first_output_ms: 5000 });
  watchdog.check(true, 0);
  const block = (ms: number) => Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);
  block(4000);
  expect(watchdog.check(false, 0)).toBeNull();
  expect(watchdog.elapsed_ms).toBeLessThan(2500);
});

test('a run that is found again has the time that it took already', () => {
  const { watchdog } = over(['sleep', '600'], { elapsed_ms: 59_990, stuck_ms: 90_000, first_output_ms: 90_000 });
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 50);
  expect(watchdog.check(true, 0)).toBe('timeout');
});

test('a setting of the clock changes nothing', async () => {
  const { watchdog, watch } = over(['sleep', '600'], { stuck_ms: 30_000 });
  watchdog.check(true, 0);
  const real = Date.now;
  onTestFinished(() => {
    Date.now = real;
  });
  for (const days of [1, -1]) {
    Date.now = () => real() + days * 86_400_000;
    expect(await watch(300)).toBeNull();
  }
});

test('members that were seen are known to whoever ends the run later', async () => {
  const { watch, dir, root } = over(['sleep', '600'], { stuck_ms: 30_000 });
  await watch(1000);
  const { known } = runTarget(dir, undefined);
  expect(known?.get(root.pid)).toBe(startedAt(root.pid));
});
