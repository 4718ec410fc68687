// Faults of the machine: each is one line in `status`, nothing is claimed or lost while it lasts, and all goes on by itself after it.
import { execFileSync, spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { existsSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { DatabaseSync } from 'node:sqlite';
import { afterAll, afterEach, describe, expect, it } from 'vitest';
import type { Status } from '../../daemon/cli/view/status.ts';
import { commitAll } from '../../daemon/worktree/commit.ts';
import { canMount, memoryDisk } from '../helpers/disk.ts';
import { shellTask, TestWorkspace, tempDir, until, workspaces } from '../helpers/workspace.ts';

const workspace = workspaces();
const SETTINGS = 'agent: shell\nretry: {initial: 100ms}\nlimits: {disk_free: 0MB}\n';
const faultsOf = (ws: TestWorkspace) => ws.json<Status>(['status']).faults.map(({ what }) => what);
const shows = (ws: TestWorkspace, words: RegExp) =>
  until(
    () => faultsOf(ws).some((what) => words.test(what)),
    `status shows ${words}`,
    20_000,
    () => ws.output,
  );
const over = (ws: TestWorkspace) =>
  until(
    () => faultsOf(ws).length === 0,
    'the fault is over',
    30_000,
    () => ws.output,
  );

describe.skipIf(!canMount)('on a disk of its own', () => {
  const open: { remove: () => void }[] = [];
  const close: TestWorkspace[] = [];
  afterEach(async () => {
    for (const ws of close.splice(0)) await ws.close().catch(() => {});
    for (const disk of open.splice(0)) disk.remove();
  });
  const onDisk = (megabytes: number) => {
    const disk = memoryDisk(megabytes);
    open.push(disk);
    const ws = new TestWorkspace(SETTINGS, { dir: `${disk.dir}/ws` });
    close.push(ws);
    return { ws, disk };
  };

  it('a full one: told, nothing is claimed or lost, no task is refused half, and all goes on when there is room', async () => {
    const { ws } = onDisk(8);
    const daemon = await ws.start();
    ws.drop('runs', shellTask('touch started; until [ -e ../../go ]; do sleep 0.1; done; echo hi > hi'));
    await until(() => existsSync(ws.path('.worktrees/task-runs/started')), 'it runs');
    ws.drop('waits', shellTask('echo too > too', 'depends_on: [runs]\n'));
    await ws.reaches('waits', 'blocked');
    const fill = () =>
      spawnSync('dd', ['if=/dev/zero', `of=${ws.path('fill')}`, 'bs=1k', 'oflag=append', 'conv=notrunc']);
    fill();
    await shows(ws, /the disk is full/);
    // What the daemon had put away meanwhile has made room again.
    fill();
    const enqueued = ws.run(['enqueue', '-'], { input: shellTask('true') });
    expect(enqueued.code).toBe(1);
    expect(enqueued.stderr).toMatch(/the disk is full/);
    expect(ws.run(['status']).stdout).toMatch(/paused: the disk is full/);
    writeFileSync(ws.path('go'), '');
    await new Promise((done) => setTimeout(done, 2500));
    expect(daemon.exitCode).toBeNull();
    rmSync(ws.path('fill'));
    await ws.reaches('runs', 'done', 40_000);
    await ws.reaches('waits', 'done', 40_000);
    await over(ws);
    expect(ws.git('show', 'towpath/runs:hi')).toBe('hi\n');
  }, 90_000);

  it('a full one, and git finds no room for the work: it is to be tried again, and no person is needed', async () => {
    const { ws } = onDisk(8);
    writeFileSync(ws.path('big'), randomBytes(300_000));
    spawnSync('dd', ['if=/dev/zero', `of=${ws.path('queues/fill')}`, 'bs=1k']);
    const commit = () =>
      commitAll(ws.root, { message: 'big', author: { name: 'a', email: 'a@b.invalid' }, branch: 'main' });
    await expect(commit()).rejects.toMatchObject({ kind: 'busy', message: expect.stringContaining('found no room') });
    rmSync(ws.path('queues/fill'));
    await commit();
    expect(ws.git('cat-file', '-s', 'main:big')).toBe('300000\n');
  });

  it('a bad file that is refused when there is no room for its reason waits in incoming', async () => {
    const { ws } = onDisk(8);
    ws.file('queues/incoming/bad.md', '---\nrole: 7\n---\n# Bad\n');
    spawnSync('dd', ['if=/dev/zero', `of=${ws.path('fill')}`, 'bs=1k', 'count=7000']);
    execFileSync('sh', ['-c', `cat /dev/zero > ${ws.path('fill2')} || true`], { stdio: 'ignore' });
    const cramped = ws.run(['start', '--drain']);
    expect(cramped.code).toBe(1);
    expect(cramped.stderr).toMatch(/cannot write to .*: the disk is full/);
    expect(ws.where('bad')).toBe('incoming');
    rmSync(ws.path('fill2'));
    rmSync(ws.path('fill'));
    ws.drain();
    expect(ws.show('bad').reason).toMatch(/role/);
  }, 60_000);

  it('one that cannot be written at the start: one line that says so', () => {
    const { ws, disk } = onDisk(8);
    execFileSync('mount', ['-o', 'remount,ro', disk.dir]);
    const { code, stderr } = ws.run(['start']);
    expect(code).toBe(1);
    expect(stderr.trim().split('\n')).toHaveLength(1);
    expect(stderr).toMatch(/the disk is read-only.*start again/);
    expect(ws.run(['status']).code).toBe(0);
    execFileSync('mount', ['-o', 'remount,rw', disk.dir]);
    expect(ws.drain().code).toBe(0);
  });
});

it('queues/ taken away and put back: nothing is made in its place, and the running task is done', async () => {
  const ws = workspace(SETTINGS);
  await ws.start();
  ws.drop('runs', shellTask('touch started; until [ -e ../../go ]; do sleep 0.1; done; echo hi > hi'));
  await until(() => existsSync(ws.path('.worktrees/task-runs/started')), 'it runs');
  renameSync(ws.path('queues'), ws.path('away'));
  await shows(ws, /queues are gone/);
  writeFileSync(ws.path('go'), '');
  const refused = ws.run(['enqueue', '-'], { input: shellTask('true') });
  expect(refused.stderr).toMatch(/incoming is gone: put it back/);
  await until(() => ws.output.includes('its work broke off') || ws.output.includes('no longer ours'), 'it ends');
  expect(existsSync(ws.path('queues'))).toBe(false);
  renameSync(ws.path('away'), ws.path('queues'));
  await ws.reaches('runs', 'done', 40_000);
  await over(ws);
  ws.file('queues/incoming/next.md', shellTask('echo hi > hi'));
  await ws.reaches('next', 'done', 60_000);
}, 120_000);

describe('queues/ taken away while a minor task', () => {
  const folder = tempDir();
  afterAll(() => rmSync(folder, { recursive: true }));
  const commits = (ws: TestWorkspace) =>
    ws.git('log', '--format=%s', '--name-only', 'main').trim().split(/\n+/).join(' ');

  it('passes its gate: it is landed once, and not done again', async () => {
    const ws = workspace(SETTINGS);
    await ws.start();
    const go = `${folder}/gate`;
    const front = `complexity: minor\nchecks: ["touch ${go}-here; until [ -e ${go} ]; do sleep 0.1; done"]\n`;
    ws.drop('lands', shellTask(`echo run >> ${go}-runs; echo hi > hi`, front));
    await until(() => existsSync(`${go}-here`), 'its check runs');
    renameSync(ws.path('queues'), ws.path('away'));
    writeFileSync(go, '');
    await until(
      () => ws.output.includes('its work broke off'),
      'it ends',
      20_000,
      () => ws.output,
    );
    renameSync(ws.path('away'), ws.path('queues'));
    await ws.reaches('lands', 'done', 40_000);
    expect(readFileSync(`${go}-runs`, 'utf8')).toBe('run\n');
    expect(commits(ws)).toBe('A task hi first README.md');
  }, 90_000);

  it('works: nobody else gets into the tree before it is settled', async () => {
    const ws = workspace(SETTINGS);
    await ws.start();
    const go = `${folder}/tree`;
    ws.drop(
      'one',
      shellTask(`echo 1 > one; touch ${go}-here; until [ -e ${go} ]; do sleep 0.1; done`, 'complexity: minor\n'),
    );
    await until(() => existsSync(`${go}-here`), 'it runs');
    ws.drop('two', shellTask(`echo run >> ${go}-runs; echo 2 > two; sleep 6`, 'complexity: minor\n'));
    renameSync(ws.path('queues'), ws.path('away'));
    writeFileSync(go, '');
    await until(
      () => /its work broke off|could not be written down|no longer ours/.test(ws.output),
      'it ends',
      20_000,
      () => ws.output,
    );
    renameSync(ws.path('away'), ws.path('queues'));
    await ws.reaches('one', 'done', 90_000);
    await ws.reaches('two', 'done', 90_000);
    expect(readFileSync(`${go}-runs`, 'utf8')).toBe('run\n');
    expect(commits(ws)).toBe('A task two A task one first README.md');
  }, 200_000);
});

it('one queue removed is made again', async () => {
  const ws = workspace(SETTINGS);
  await ws.start();
  rmSync(ws.path('queues/done'), { recursive: true });
  rmSync(ws.path('queues/incoming'), { recursive: true });
  await until(() => existsSync(ws.path('queues/incoming')), 'incoming is there', 20_000);
  ws.file('queues/incoming/next.md', shellTask('echo hi > hi'));
  await ws.reaches('next', 'done', 60_000);
}, 90_000);

it.skipIf(spawnSync('prlimit', ['--version']).status !== 0)(
  'no file descriptors: told, and it goes on when there are some',
  async () => {
    const ws = workspace(SETTINGS);
    const daemon = await ws.start();
    ws.file('queues/incoming/first.md', shellTask('echo hi > hi'));
    await ws.reaches('first', 'done', 30_000);
    execFileSync('prlimit', ['--pid', String(daemon.pid), '--nofile=12:']);
    ws.file('queues/incoming/second.md', shellTask('echo hi > hi'));
    await shows(ws, /does not answer|no file descriptor/);
    await until(() => ws.output.includes('no file descriptor is left'), 'it is told', 20_000);
    expect(ws.where('second')).toBe('incoming');
    execFileSync('prlimit', ['--pid', String(daemon.pid), '--nofile=1024:']);
    await ws.reaches('second', 'done', 60_000);
    await over(ws);
    expect(daemon.exitCode).toBeNull();
  },
  120_000,
);

it.skipIf(spawnSync('unshare', ['-Ur', 'sh', '-c', 'echo 0 > /proc/sys/user/max_inotify_watches']).status !== 0)(
  'no inotify watches: told, and the queues are read instead',
  async () => {
    const ws = workspace(SETTINGS);
    await ws.start([], {}, [
      'unshare',
      '-Ur',
      'sh',
      '-c',
      'echo 0 > /proc/sys/user/max_inotify_watches; exec "$0" "$@"',
    ]);
    await shows(ws, /queues cannot be watched/);
    ws.file('queues/incoming/next.md', shellTask('echo hi > hi'));
    await ws.reaches('next', 'done', 40_000);
  },
  60_000,
);

describe('the ledger', () => {
  it('locked by another: told, tasks go on, and what happened is written when it is free', async () => {
    const ws = workspace(SETTINGS);
    await ws.start();
    const other = new DatabaseSync(ws.path('.towpath/ledger.db'), { timeout: 5000 });
    other.exec('BEGIN EXCLUSIVE');
    ws.drop('one', shellTask('echo hi > hi'));
    await ws.reaches('one', 'done', 40_000);
    await shows(ws, /ledger cannot be written.*locked/);
    other.exec('ROLLBACK');
    other.close();
    await over(ws);
    const told = () => ws.run(['events', '--json', '--task', 'one']).stdout;
    await until(() => told().includes('"to":"done"'), 'the history is there');
  }, 90_000);

  it('deleted or corrupt in the middle: set aside and begun anew, tasks go on', async () => {
    const ws = workspace(SETTINGS);
    await ws.start();
    ws.drop('one', shellTask('echo hi > hi'));
    await ws.reaches('one', 'done', 40_000);
    rmSync(ws.path('.towpath/ledger.db'));
    ws.drop('two', shellTask('echo hi > hi'));
    await ws.reaches('two', 'done', 40_000);
    writeFileSync(ws.path('.towpath/ledger.db'), 'no database at all, '.repeat(500));
    ws.drop('three', shellTask('echo hi > hi'));
    await ws.reaches('three', 'done', 40_000);
    await until(
      () => ws.run(['events', '--json', '--task', 'three']).stdout.includes('"to":"done"'),
      'the history goes on',
    );
  }, 90_000);
});

describe('a person, while its agent runs,', () => {
  const readQueued = (ws: TestWorkspace, queue: string, id: string) =>
    existsSync(ws.path('queues', queue, `${id}.md`)) ? readFileSync(ws.path('queues', queue, `${id}.md`), 'utf8') : '';
  const running = async (id: string, frontmatter = '') => {
    const ws = workspace(SETTINGS);
    await ws.start();
    ws.drop(id, shellTask('touch started; until [ -e ../../go ]; do sleep 0.1; done; echo hi > hi', frontmatter));
    await until(() => existsSync(ws.path(`.worktrees/task-${id}/started`)), 'it runs');
    return ws;
  };

  it('changes the task file: what they wrote stays', async () => {
    const ws = await running('edited');
    const path = ws.path('queues/claimed/edited.md');
    writeFileSync(path, `${readFileSync(path, 'utf8')}\nA note of mine.\n`);
    writeFileSync(ws.path('go'), '');
    await ws.reaches('edited', 'done', 40_000);
    expect(readFileSync(ws.path('queues/done/edited.md'), 'utf8')).toMatch(/\nA note of mine\.\n$/);
  }, 60_000);

  it('breaks its front matter: the result is judged by what was claimed, and the file is not lost', async () => {
    const ws = await running('broken', 'checks: ["test -e hi"]\nreview: human\n');
    const path = ws.path('queues/claimed/broken.md');
    const broken = readFileSync(path, 'utf8').replace('agent: shell', 'agent: [shell');
    writeFileSync(path, broken);
    writeFileSync(ws.path('go'), '');
    await until(() => /waits_for: review/.test(readQueued(ws, 'provisional', 'broken')), 'it waits for review', 40_000);
    expect(readQueued(ws, 'provisional', 'broken')).toContain('agent: [shell');
    expect(ws.run(['accept', 'broken']).code).toBe(0);
    await ws.reaches('broken', 'done');
    expect(ws.git('show', 'towpath/broken:hi')).toBe('hi\n');
  }, 60_000);

  it('removes it: its agent is ended, its work is kept, nothing is left behind', async () => {
    const ws = await running('removed');
    rmSync(ws.path('queues/claimed/removed.md'));
    await until(() => !existsSync(ws.path('queues/claimed/removed.lock.json')), 'the lock is gone', 40_000);
    expect(ws.where('removed')).toBeNull();
    ws.drop('next', shellTask('echo hi > hi'));
    await ws.reaches('next', 'done', 40_000);
  }, 90_000);
});

it('the state folder removed: the daemon holds the workspace again, and no second one gets in', async () => {
  const ws = workspace(SETTINGS);
  const daemon = await ws.start();
  rmSync(ws.path('.towpath/daemon.lock'));
  await until(() => existsSync(ws.path('.towpath/daemon.lock')), 'it is locked again', 20_000);
  const second = ws.run(['start']);
  expect(second.code).toBe(1);
  expect(second.stderr).toContain(`pid ${daemon.pid}`);
});
