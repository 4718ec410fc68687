// Cgroups: found where they are, and nobody leaves them, whatever trace it leaves behind.
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { makeCgroup, membersOf, ownCgroup, removeCgroup } from '../../daemon/process/cgroup.ts';
import { endTree } from '../../daemon/process/end.ts';
import { identify, startedAt } from '../../daemon/process/identity.ts';
import { run } from '../../daemon/process/run.ts';
import { readCgroup, startShim, waitForExit } from '../../daemon/process/shim.ts';
import { treeOf } from '../../daemon/process/tree.ts';
import { env, GHOST, newMarker, tempDir, text, until } from './helpers.ts';

const mount = (root: string, at: string) =>
  `22 1 0:20 / /sys rw - sysfs sysfs rw\n31 22 0:38 ${root} ${at} rw,relatime shared:4 - cgroup2 cgroup2 rw\n`;

test.each([
  [
    'under systemd',
    mount('/', '/sys/fs/cgroup'),
    '0::/system.slice/a.service\n',
    '/sys/fs/cgroup/system.slice/a.service',
  ],
  ['hybrid', mount('/', '/sys/fs/cgroup/unified'), '9:name=systemd:/x\n0::/\n', '/sys/fs/cgroup/unified'],
  ['in a container', mount('/docker/1', '/sys/fs/cgroup'), '0::/docker/1/in\n', '/sys/fs/cgroup/in'],
  ['with a space', mount('/', '/a\\040b'), '0::/c\n', '/a b/c'],
  ['outside of what is mounted', mount('/docker/1', '/sys/fs/cgroup'), '0::/docker/12\n', null],
  ['above the namespace', mount('/', '/sys/fs/cgroup'), '0::/../x\n', null],
  ['version 1 alone', '', '4:memory:/x\n', null],
])('our own cgroup: %s', (_, mountinfo, cgroups, found) => {
  expect(ownCgroup(mountinfo, cgroups)).toBe(found);
});

const probe = makeCgroup(newMarker());
if (probe) removeCgroup(probe);
else console.error('\n*** NOT RUN: the tests with real cgroups: none can be made here\n');

test.skipIf(!probe)('who ignored SIGTERM, left session, parents and environment is ended all the same', async () => {
  const dir = tempDir();
  const marker = newMarker();
  const cgroup = makeCgroup(marker)!;
  const runDir = join(dir, 'run');
  onTestFinished(async () => void (await endTree({ marker, cgroup }, { grace_ms: 0 })));
  const started = await startShim({
    ...{ runDir, argv: GHOST, cwd: dir, stdin: '/dev/null', cgroup },
    env: env({ TOWPATH_RUN: marker }),
  });
  const ghost = Number(await until(() => text(join(dir, 'up')) && text(join(dir, 'pids')).trim()));
  // Nothing else leads to it.
  expect(treeOf({ root: started.agent, marker })).not.toContain(ghost);
  expect(readCgroup(runDir)).toBe(cgroup);
  expect(membersOf(cgroup)).toContain(ghost);
  const { ended, left } = await endTree({ root: started.agent, marker, cgroup }, { grace_ms: 100 });
  expect(ended).toContain(ghost);
  expect([left, startedAt(ghost), existsSync(cgroup)]).toEqual([[], undefined, false]);
  // The shim stands outside: the exit is kept.
  expect(await waitForExit({ runDir, ...started })).toMatchObject({ lost: false });
});

test.skipIf(!probe)('a hook that is ended by its time-out takes such a child along', async () => {
  const dir = tempDir();
  const [perl, ...rest] = GHOST;
  const done = await run({
    argv: ['sh', '-c', 'sleep 0.5; "$@"', 'sh', perl!, ...rest],
    ...{ cwd: dir, env: env(), timeout_ms: 2000, grace_ms: 100 },
  });
  expect(done).toMatchObject({ timedOut: true, left: [] });
  expect(startedAt(Number(text(join(dir, 'pids'))))).toBeUndefined();
});

// In a process of its own, whose descendants are all that a mistake could reach.
test.skipIf(!probe)(
  'who ends a run whose cgroup it was put into itself lives on, and so does what it started before',
  async () => {
    const marker = newMarker();
    const cgroup = makeCgroup(marker)!;
    const module = (name: string) => JSON.stringify(new URL(`../../daemon/process/${name}.ts`, import.meta.url).href);
    const script = `
    import { spawn } from 'node:child_process';
    import { writeFileSync } from 'node:fs';
    const { endTree } = await import(${module('end')});
    const { identify, startedAt } = await import(${module('identity')});
    const other = spawn('sleep', ['600'], { stdio: 'ignore' });
    await new Promise((done) => setTimeout(done, 100));
    const agent = spawn('sh', ['-c', 'trap "" TERM; while :; do sleep 1; done'], { stdio: 'ignore' });
    for (const pid of [process.pid, agent.pid]) writeFileSync(${JSON.stringify(`${cgroup}/cgroup.procs`)}, String(pid));
    const { left } = await endTree({ root: identify(agent.pid), cgroup: ${JSON.stringify(cgroup)} }, { grace_ms: 50 });
    console.log(JSON.stringify([left, startedAt(agent.pid) ?? null, typeof startedAt(other.pid)]));
    other.kill('SIGKILL');`;
    const child = spawn(process.execPath, ['--input-type=module', '-e', script], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    onTestFinished(() => removeCgroup(cgroup));
    let said = '';
    child.stdout.on('data', (chunk) => {
      said += chunk;
    });
    await until(() => child.exitCode !== null || child.signalCode !== null);
    expect(said).toBe('[[],null,"string"]\n');
  },
);

test('init and all that leads from it to us is in no tree', () => {
  const init = identify(1)!;
  const known = new Map([[1, init.started]]);
  expect(treeOf({ known })).toEqual([]);
  expect(treeOf({ root: init })).toEqual([]);
});

test.skipIf(!probe)('a cgroup that is not ours is left alone', () => {
  const own = ownCgroup()!;
  expect(membersOf(own)).toEqual([]);
  expect(() => removeCgroup(own)).not.toThrow();
  expect(existsSync(own)).toBe(true);
});

test('a cgroup that is gone, or cannot be joined, does not keep a program from running', async () => {
  const dir = tempDir();
  const runDir = join(dir, 'run');
  onTestFinished(async () => void (await endTree({ marker: runDir })));
  const started = await startShim({
    ...{ runDir, argv: ['sh', '-c', 'exit 5'], cwd: dir, stdin: '/dev/null', env: env() },
    cgroup: '/nowhere/towpath-x',
  });
  expect(await waitForExit({ runDir, ...started })).toMatchObject({ code: 5 });
  expect(text(join(runDir, 'stderr'))).toBe('');
});
