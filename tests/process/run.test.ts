// Short programs: output bounded, time bounded, nothing left behind, and a clear word when they cannot start.
import { chmodSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { childEnv } from '../../daemon/process/env.ts';
import { startedAt } from '../../daemon/process/identity.ts';
import { type RunOptions, run } from '../../daemon/process/run.ts';
import { treeOf } from '../../daemon/process/tree.ts';
import { env, newMarker, tempDir, text } from './helpers.ts';

const go = (argv: string[], more: Partial<RunOptions> = {}) =>
  run({ argv, cwd: '/', env: env(), timeout_ms: 20_000, grace_ms: 200, ...more });

test('code, both streams, input and lines', async () => {
  const lines: string[] = [];
  const done = await go(['sh', '-c', 'cat; echo err >&2; printf last; exit 3'], {
    input: 'one\ntwo\n',
    onLine: (line, stream) => lines.push(`${stream}: ${line}`),
  });
  expect(done).toMatchObject({ code: 3, signal: null, stdout: 'one\ntwo\nlast', stderr: 'err\n', timedOut: false });
  expect(lines.toSorted()).toEqual(['stderr: err', 'stdout: last', 'stdout: one', 'stdout: two']);
  expect(done.spawnError).toBeUndefined();
});

test('1000 lines arrive in order', async () => {
  const lines: string[] = [];
  await go(['perl', '-e', 'print "line $_\n" for 0..999'], { onLine: (line) => lines.push(line) });
  expect(lines).toEqual(Array.from({ length: 1000 }, (_, i) => `line ${i}`));
});

test('a signal is told as such', async () => {
  expect(await go(['sh', '-c', 'kill -SEGV $$'])).toMatchObject({ code: null, signal: 'SIGSEGV', timedOut: false });
});

test('stdin that nobody reads is no error, without input it is empty', async () => {
  expect(await go(['true'], { input: 'x'.repeat(5_000_000) })).toMatchObject({ code: 0 });
  expect(await go(['sh', '-c', 'exec <&-; sleep 0.1; exit 2'], { input: 'x'.repeat(5_000_000) })).toMatchObject({
    code: 2,
  });
  expect(await go(['cat'])).toMatchObject({ code: 0, stdout: '' });
});

test('what cannot be started says why', async () => {
  const dir = tempDir();
  writeFileSync(join(dir, 'bad'), '#!/no/such/interpreter\n', { mode: 0o755 });
  for (const [argv, cwd, why] of [
    [['/no/such'], '/', 'cannot start /no/such: not found'],
    [['no-such-program'], '/', 'cannot start no-such-program: not found'],
    [['/etc/passwd'], '/', 'cannot start /etc/passwd: not an executable file'],
    [[join(dir, 'bad')], '/', 'what its first line names'],
    [['true'], '/no/such', 'cannot start true: no folder /no/such'],
    [[], '/', 'cannot start nothing'],
  ] as const)
    expect(await go([...argv], { cwd })).toMatchObject({
      code: null,
      signal: null,
      spawnError: expect.stringContaining(why),
    });
});

test('a script without a first line runs under sh', async () => {
  const path = join(tempDir(), 'plain');
  writeFileSync(path, 'echo plain\n');
  chmodSync(path, 0o755);
  expect(await go([path])).toMatchObject({ code: 0, stdout: 'plain\n' });
});

test('head and tail of much output are kept', async () => {
  const { stdout } = await go(['perl', '-e', 'print "first\n", "é" x 3e6, "\nlast\n"'], { maxOutput: 2000 });
  expect(Buffer.byteLength(stdout)).toBeLessThan(2100);
  expect(stdout).toMatch(/^first\né+\n\[… \d+ bytes left out …\]\né+\nlast\n$/);
});

test('a time-out ends the whole tree, setsid and deaf children too', async () => {
  const dir = tempDir();
  const script = 'trap "" TERM; setsid sh -c "echo \\$\\$ >pid; sleep 600" & sleep 600';
  const done = await go(['sh', '-c', script], { cwd: dir, timeout_ms: 700 });
  expect(done).toMatchObject({ code: null, signal: 'SIGKILL', timedOut: true });
  expect(startedAt(Number(text(join(dir, 'pid'))))).toBeUndefined();
});

test('a background process that holds the pipe is not waited for, and ended', async () => {
  const marker = newMarker();
  const done = await go(['sh', '-c', 'setsid sleep 600 & echo done'], { env: env({ TOWPATH_RUN: marker }) });
  expect(done).toMatchObject({ code: 0, stdout: 'done\n', timedOut: false });
  expect(done.duration_ms).toBeLessThan(15_000);
  expect(treeOf({ marker })).toEqual([]);
});

test('it can be called off', async () => {
  const abort = new AbortController();
  const done = await go(['sh', '-c', 'echo up; sleep 600'], { signal: abort.signal, onLine: () => abort.abort() });
  expect(done).toMatchObject({ code: null, aborted: true, timedOut: false, stdout: 'up\n' });
  expect(await go(['true'], { signal: abort.signal })).toMatchObject({ code: null, aborted: true });
});

test('each run has a marker of its own below the one that it is given', async () => {
  const done = await go(['sh', '-c', 'echo $TOWPATH_RUN'], { env: env({ TOWPATH_RUN: 'fix-date/2' }) });
  expect(done.stdout).toMatch(/^fix-date\/2\/[0-9a-f]{12}\n$/);
});

test('a child sees what is common, named or set, and nothing else', () => {
  const from = { PATH: '/bin', HOME: '/h', LC_ALL: 'C', SECRET: 's', MY_KEY: 'k', AWS_A: '1', AWS_B: '2', '*': 'star' };
  expect(childEnv({ from })).toEqual({ PATH: '/bin', HOME: '/h', LC_ALL: 'C' });
  expect(childEnv({ from, allow: ['MY_KEY', 'NONE', 'AWS_*', '*'], set: { HOME: '/other', X: '1' } })).toEqual({
    PATH: '/bin',
    HOME: '/other',
    LC_ALL: 'C',
    MY_KEY: 'k',
    AWS_A: '1',
    AWS_B: '2',
    '*': 'star',
    X: '1',
  });
});
