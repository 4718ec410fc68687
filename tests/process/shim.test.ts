// The shim: exit codes and signals are kept, the program outlives who started it, and a lost end is told as lost.
import { spawn, spawnSync } from 'node:child_process';
import { rmdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { endTree } from '../../daemon/process/end.ts';
import { identify, isAlive, self } from '../../daemon/process/identity.ts';
import { readExit, readPid, startShim, waitForExit } from '../../daemon/process/shim.ts';
import { env, newMarker, shimmed, tempDir, text, until } from './helpers.ts';

const sh = (script: string): string[] => ['sh', '-c', script];

test.each([
  [sh('exit 0'), { code: 0, signal: null }],
  [sh('exit 3'), { code: 3, signal: null }],
  [sh('exit 143'), { code: 143, signal: null }],
  [sh('exit 255'), { code: 255, signal: null }],
  [sh('kill -TERM $$'), { code: null, signal: 'SIGTERM' }],
  [sh('kill -KILL $$'), { code: null, signal: 'SIGKILL' }],
  [sh('kill -INT $$'), { code: null, signal: 'SIGINT' }],
  [sh('kill -HUP $$'), { code: null, signal: 'SIGHUP' }],
  [['perl', '-e', 'exit 7'], { code: 7, signal: null }],
  [['python3', '-c', 'import sys; sys.exit(9)'], { code: 9, signal: null }],
])('%j ends as %j', async (argv, end) => {
  const run = await shimmed(argv);
  expect(await waitForExit(run)).toEqual({ ...end, lost: false });
  expect(readExit(run.runDir)).toEqual(end);
  await run.exited;
});

test('stdin comes from the file, both outputs go to files, arguments pass untouched', async () => {
  const input = join(tempDir(), 'input');
  writeFileSync(input, 'a prompt\n');
  const args = ['$HOME', 'a b', "'", '"; exit 9; "', '*', '', '-n', 'ü\nü'];
  const run = await shimmed([...sh('cat; echo err >&2; for a; do printf "[%s]" "$a"; done'), 'x', ...args], {}, input);
  expect(await waitForExit(run)).toMatchObject({ code: 0 });
  expect(text(join(run.runDir, 'stdout'))).toBe(`a prompt\n${args.map((arg) => `[${arg}]`).join('')}`);
  expect(text(join(run.runDir, 'stderr'))).toBe('err\n');
});

test('a program that is not there or not executable says so on stderr', async () => {
  for (const [argv, code, why] of [
    [['/no/such/program'], 127, 'cannot start /no/such/program: no such file'],
    [['no-such-program-here'], 127, 'cannot start no-such-program-here: not found in PATH'],
    [['/etc/passwd'], 126, 'cannot start /etc/passwd: not an executable file'],
  ] as const) {
    const run = await shimmed([...argv]);
    expect(await waitForExit(run)).toEqual({ code, signal: null, lost: false });
    expect(text(join(run.runDir, 'stderr'))).toBe(`towpath: ${why}\n`);
  }
});

test('a missing folder is an error, and a folder serves one run', async () => {
  const runDir = join(tempDir(), 'run');
  const start = { runDir, argv: ['true'], cwd: '/no/such/folder', env: env(), stdin: '/dev/null' };
  await expect(startShim(start)).rejects.toThrow('cannot start true: no folder /no/such/folder');
  const { exited } = await startShim({ ...start, cwd: '/' });
  await exited;
  await expect(startShim({ ...start, cwd: '/' })).rejects.toThrow('was started before');
});

test('the agent is known by pid and start time, no signal is ignored, and the shim leaves no trace in its environment', async () => {
  const run = await shimmed(sh('echo $$; env; exec cat /proc/self/status'));
  await run.exited;
  const out = text(join(run.runDir, 'stdout'));
  expect(Number(out.split('\n')[0])).toBe(run.agent?.pid);
  expect(out).toContain(`TOWPATH_RUN=${run.marker}\n`);
  expect(out).not.toContain('TOWPATH_SHIM');
  if (process.platform === 'linux') expect(out).toMatch(/^SigIgn:\s*0+$/m);
});

test('the shim lives through signals that end the program, and keeps its exit', async () => {
  const run = await shimmed(sh('trap "exit 5" TERM; echo up; while :; do sleep 0.01; done'));
  await until(() => text(join(run.runDir, 'stdout')));
  for (const signal of ['SIGHUP', 'SIGINT', 'SIGTERM', 'SIGUSR1'] as const) process.kill(run.shim.pid, signal);
  expect(isAlive(run.agent!)).toBe(true);
  process.kill(run.agent!.pid, 'SIGTERM');
  expect(await waitForExit(run)).toEqual({ code: 5, signal: null, lost: false });
});

test('kill -9 of the shim: the program is waited for, then its end is lost', async () => {
  const run = await shimmed(sh('echo up; until [ -e go ]; do sleep 0.01; done'));
  await until(() => text(join(run.runDir, 'stdout')));
  process.kill(run.shim.pid, 'SIGKILL');
  await run.exited;
  expect(isAlive(run.agent!)).toBe(true);
  const end = waitForExit(run);
  writeFileSync(join(run.dir, 'go'), '');
  expect(await end).toEqual({ code: null, signal: null, lost: true });
  expect(isAlive(run.agent!)).toBe(false);
});

test('kill -9 of who started it: the same program goes on, no output is lost, its exit code is known', async () => {
  const dir = tempDir();
  const runDir = join(dir, 'run');
  const go = join(dir, 'go');
  const script = `i=0; while [ $i -lt 1000 ]; do echo line $i; i=$((i+1)); [ $i = 500 ] && until [ -e ${go} ]; do sleep 0.01; done; done; exit 42`;
  const marker = newMarker();
  onTestFinished(async () => void (await endTree({ marker }, { grace_ms: 0 })));
  const options = { runDir, argv: sh(script), cwd: dir, env: env({ TOWPATH_RUN: marker }), stdin: '/dev/null' };
  const module = new URL('../../daemon/process/shim.ts', import.meta.url).href;
  const starter = `const { startShim } = await import(${JSON.stringify(module)}); const { shim, agent } = await startShim(${JSON.stringify(options)}); console.log(JSON.stringify({ shim, agent })); setInterval(() => {}, 1000);`;
  const daemon = spawn(process.execPath, ['--input-type=module', '-e', starter], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let said = '';
  daemon.stdout.on('data', (chunk) => {
    said += chunk;
  });
  const { shim, agent } = JSON.parse(await until(() => said.includes('\n') && said));
  daemon.kill('SIGKILL');
  await until(() => daemon.signalCode);
  expect(isAlive(agent)).toBe(true);
  expect(readPid(runDir)).toEqual({ agent, shim });
  let ticks = 0;
  const end = waitForExit({ runDir, shim, agent, onTick: () => (ticks += 1) });
  writeFileSync(go, '');
  expect(await end).toEqual({ code: 42, signal: null, lost: false });
  expect(ticks).toBeGreaterThan(0);
  expect(text(join(runDir, 'stdout')).split('\n').slice(0, 1000)).toEqual(
    Array.from({ length: 1000 }, (_, i) => `line ${i}`),
  );
});

test('what nobody wrote down: half an exit file is none, dead processes of another boot are lost', async () => {
  const runDir = tempDir();
  expect(readExit(runDir)).toBeNull();
  expect(readPid(runDir)).toBeUndefined();
  writeFileSync(join(runDir, 'exit'), '{"code":0}');
  writeFileSync(join(runDir, 'pid'), '12');
  expect(readExit(runDir)).toBeNull();
  expect(readPid(runDir)).toBeUndefined();
  const agent = { ...self(), boot_id: 'an earlier boot' };
  expect(await waitForExit({ runDir, agent })).toEqual({ code: null, signal: null, lost: true });
});

test('an exit that cannot be written is written once it can', async () => {
  const run = await shimmed(sh('mkdir run/exit; exit 6'));
  await until(() => text(join(run.runDir, 'notice')).includes('exit'));
  expect(isAlive(run.shim)).toBe(true);
  rmdirSync(join(run.runDir, 'exit'));
  expect(await waitForExit(run)).toEqual({ code: 6, signal: null, lost: false });
});

test('a shim whose folder is gone leaves', async () => {
  const run = await shimmed(sh('rm -r run'));
  await run.exited;
  expect(await waitForExit(run)).toMatchObject({ lost: true });
});

test('a used pid is not taken for the shim that had it', () => {
  const runDir = tempDir();
  const me = self();
  writeFileSync(join(runDir, 'pid'), `999999999 1 ${me.boot_id} ${me.pid}\n`);
  expect(readPid(runDir)?.shim).toBeUndefined();
  writeFileSync(join(runDir, 'pid'), `999999999 ${me.started} ${me.boot_id} ${me.pid}\n`);
  expect(readPid(runDir)?.shim).toEqual(identify(me.pid));
});

test.each(['bash', 'dash', 'ksh'])('the shim keeps exit and signal under %s too', (shell) => {
  if (spawnSync(shell, ['-c', 'exit 0']).status !== 0) return;
  const shim = new URL('../../daemon/process/shim.sh', import.meta.url).pathname;
  for (const [script, end] of [
    ['exit 145', { code: 145, signal: null }],
    ['kill -KILL $$', { code: null, signal: 'SIGKILL' }],
  ] as const) {
    const dir = tempDir();
    spawnSync(shell, [shim, dir, '/dev/null', 'sh', '-c', script]);
    expect(readExit(dir)).toEqual(end);
  }
});

test('many at once', async () => {
  const runDir = tempDir();
  const start = (i: number) =>
    startShim({ runDir: join(runDir, String(i)), argv: sh(`exit ${i}`), cwd: '/', env: env(), stdin: '/dev/null' });
  const ends = await Promise.all(
    Array.from({ length: 60 }, async (_, i) => waitForExit({ runDir: join(runDir, String(i)), ...(await start(i)) })),
  );
  expect(ends.map((end) => end.code)).toEqual(Array.from({ length: 60 }, (_, i) => i));
});
