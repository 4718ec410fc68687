import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { gitIn, makeRepo, shellTask, tempDir, workspaces } from '../helpers/workspace.ts';

const workspace = workspaces();

describe('repositories', () => {
  it('two at once, and six tasks in one', () => {
    const ws = workspace('agent: shell\nconcurrency: 6\n');
    const other = makeRepo();
    for (let n = 0; n < 6; n++) ws.drop(`here-${n}`, shellTask(`echo ${n} > f${n}`));
    for (let n = 0; n < 2; n++) ws.drop(`there-${n}`, shellTask(`echo ${n} > g${n}`, `repo: ${other}\n`));
    expect(ws.drain().code).toBe(0);
    for (let n = 0; n < 6; n++) expect(ws.git('show', `towpath/here-${n}:f${n}`)).toBe(`${n}\n`);
    for (let n = 0; n < 2; n++) expect(gitIn(other, 'show', `towpath/there-${n}:g${n}`)).toBe(`${n}\n`);
    expect(readdirSync(ws.path('.worktrees')).filter((name) => !name.startsWith('.'))).toEqual([]);
    expect(ws.git('worktree', 'list').trim().split('\n')).toHaveLength(1);
  });

  it('a bare one gives a branch; one without a commit, and none at all, give a clear reason', () => {
    const ws = workspace();
    const bare = tempDir();
    gitIn(bare, 'clone', '-q', '--bare', makeRepo(), join(bare, 'b.git'));
    const empty = tempDir();
    gitIn(empty, 'init', '-q');
    const none = tempDir();
    ws.drop('bare', shellTask('echo > f', `repo: ${bare}/b.git\n`));
    ws.drop('bare-minor', shellTask('echo > f', `repo: ${bare}/b.git\ncomplexity: minor\n`));
    ws.drop('empty', shellTask('echo > f', `repo: ${empty}\n`));
    ws.drop('none', shellTask('echo > f', `repo: ${none}\n`));
    expect(ws.drain().code).toBe(1);
    expect(ws.show('bare')).toMatchObject({ queue: 'done' });
    expect(gitIn(join(bare, 'b.git'), 'rev-parse', 'towpath/bare').trim()).toBe(ws.show('bare').commit);
    expect(ws.show('bare-minor').reason).toMatch(/bare repository/);
    expect(ws.show('empty').reason).toMatch(/no commit yet/);
    expect(ws.show('none')).toMatchObject({
      queue: 'failed',
      outcome: 'refused',
      reason: expect.stringContaining('is not a git repository'),
    });
  });

  it('a folder without git does for a minor task', () => {
    const ws = workspace('agent: shell\n', { repo: false });
    ws.drop('run', shellTask('pwd > where', 'complexity: minor\n'));
    expect(ws.drain().code).toBe(0);
    expect(readFileSync(ws.path('where'), 'utf8').trim()).toBe(ws.root);
  });

  it('a detached head and a dirty tree do for major tasks; minor ones say what to do, and lose nothing', () => {
    const ws = workspace();
    ws.file('README.md', 'my edit, not committed\n');
    ws.drop('major', shellTask('cat README.md > seen'));
    ws.drop('minor', shellTask('echo > f', 'complexity: minor\n'));
    ws.drain();
    expect(ws.git('show', 'towpath/major:seen')).toBe('# test\n');
    expect(ws.show('minor')).toMatchObject({
      queue: 'blocked',
      attempts: 0,
      reason: expect.stringMatching(/README\.md/),
    });
    expect(readFileSync(ws.path('README.md'), 'utf8')).toBe('my edit, not committed\n');
    ws.git('checkout', '-q', '--', 'README.md');
    ws.git('checkout', '-q', '--detach');
    ws.drop('loose', shellTask('echo > g'));
    ws.run(['retry', 'minor']);
    ws.drain();
    expect(ws.show('loose').queue).toBe('done');
    expect(ws.show('minor').reason).toMatch(/no branch is checked out/);
  });

  it('a branch that exists and a folder in the way are not touched', () => {
    const ws = workspace();
    ws.git('branch', 'towpath/taken');
    const before = ws.git('rev-parse', 'towpath/taken');
    mkdirSync(ws.path('.worktrees/task-inway'), { recursive: true });
    writeFileSync(ws.path('.worktrees/task-inway/mine'), 'mine');
    ws.drop('taken', shellTask('echo > f'));
    ws.drop('inway', shellTask('echo > f'));
    ws.drop('badbase', shellTask('echo > f', 'base: nowhere\n'));
    ws.drain();
    expect(ws.show('taken')).toMatchObject({ queue: 'blocked', reason: expect.stringMatching(/towpath\/taken/) });
    expect(ws.git('rev-parse', 'towpath/taken')).toBe(before);
    expect(ws.show('inway')).toMatchObject({ queue: 'blocked', reason: expect.stringMatching(/task-inway/) });
    expect(readFileSync(ws.path('.worktrees/task-inway/mine'), 'utf8')).toBe('mine');
    expect(ws.show('badbase')).toMatchObject({ queue: 'blocked', reason: expect.stringMatching(/nowhere/) });
    ws.git('branch', '-D', 'towpath/taken');
    ws.run(['retry', 'taken']);
    ws.drain();
    expect(ws.show('taken').queue).toBe('done');
  });

  it('an agent that breaks its worktree is not taken to work in the tree above', () => {
    const ws = workspace();
    ws.file('mine', 'staged');
    ws.git('add', 'mine');
    const state = () => [
      ws.git('status', '--porcelain', 'mine'),
      ws.git('symbolic-ref', 'HEAD'),
      ws.git('rev-parse', 'HEAD'),
    ];
    const before = state();
    ws.drop('unlinked', shellTask('echo > f; rm .git'));
    ws.drop('removed', shellTask('if [ "$TOWPATH_ATTEMPT" = 1 ]; then rm -rf "$PWD"; else echo > f; fi'));
    ws.drop('elsewhere', shellTask('echo > f; echo "gitdir: $TOWPATH_WORKSPACE/.git" > .git'));
    ws.drop('anew', shellTask('echo > f; rm .git; git init -q', 'max_attempts: 1\n'));
    ws.drain();
    for (const id of ['unlinked', 'removed', 'elsewhere']) {
      expect(ws.show(id), id).toMatchObject({ queue: 'done' });
      expect(ws.git('ls-tree', '--name-only', `towpath/${id}`), id).toMatch(/^f$/m);
    }
    expect(ws.show('anew')).toMatchObject({ queue: 'blocked', reason: expect.stringContaining('move it away') });
    expect(state()).toEqual(before);
  });

  it('a base of its own, .worktreeinclude, and hooks of the repository that do not run', () => {
    const ws = workspace();
    ws.git('checkout', '-q', '-b', 'release');
    ws.file('only-here', 'release\n');
    ws.file('.gitignore', '.env\n');
    ws.file('.worktreeinclude', '.env\n');
    ws.git('add', '-A');
    ws.git('commit', '-qm', 'release');
    ws.git('checkout', '-q', 'main');
    ws.file('.worktreeinclude', '.env\n');
    ws.file('.gitignore', '.env\n');
    ws.file('.env', 'SECRET=1\n');
    ws.file('.git/hooks/pre-commit', '#!/bin/sh\ntouch "$(git rev-parse --show-toplevel)/ran"; exit 1\n', 0o755);
    ws.drop('t', shellTask('cat only-here .env > out', 'base: release\n'));
    expect(ws.drain().code).toBe(0);
    expect(ws.git('show', 'towpath/t:out')).toBe('release\nSECRET=1\n');
    expect(ws.git('ls-tree', '--name-only', 'towpath/t')).not.toContain('.env\n');
    expect(existsSync(ws.path('ran'))).toBe(false);
  });

  it('a conflict between dependencies goes back as feedback, and is told', () => {
    const ws = workspace('agent: shell\nretry: {initial: 100ms, max_attempts: 2}\n');
    ws.drop('a', shellTask('echo a > same'));
    ws.drop('b', shellTask('echo b > same'));
    ws.drop('c', shellTask('echo > c', 'depends_on: [a, b]\n'));
    ws.drain();
    expect(ws.show('c')).toMatchObject({
      queue: 'failed',
      outcome: 'conflict',
      reason: expect.stringContaining('same'),
    });
  });

  it('worktrees of failed tasks go when told, and what is in them is kept', () => {
    const ws = workspace('agent: shell\nretry: {initial: 100ms, max_attempts: 1}\nworktrees: {keep_failed: false}\n');
    ws.drop('t', shellTask('echo work > f; exit 1'));
    ws.drain();
    expect(existsSync(ws.path('.worktrees/task-t'))).toBe(false);
    expect(ws.git('show', 'towpath/t:f')).toBe('work\n');
  });
});

describe('a workspace in its own repository that git does not ignore', () => {
  it('loses no task to the clean-up of a minor one', () => {
    const ws = workspace('agent: shell\nconcurrency: 3\nretry: {initial: 100ms}\n');
    rmSync(ws.path('queues/.gitignore'));
    rmSync(ws.path('.towpath/.gitignore'));
    ws.drop(
      'minor',
      shellTask(
        'echo m > m; rm -f queues/.gitignore .towpath/.gitignore .worktrees/.gitignore; sleep 1.5',
        'complexity: minor\n',
      ),
    );
    for (const n of [1, 2, 3]) ws.drop(`major-${n}`, shellTask(`sleep 0.${n}; echo ${n} > f`));
    const drained = ws.drain();
    expect(drained.code, drained.stderr).toBe(0);
    for (const id of ['minor', 'major-1', 'major-2', 'major-3'])
      expect(ws.show(id)).toMatchObject({ queue: 'done', attempts: 1 });
    expect(ws.git('show', '--name-only', '--format=', 'HEAD').trim()).toBe('m');
    expect(existsSync(ws.path('queues/provisional'))).toBe(true);
  });
});

it('a file of the user in the way of a minor result is kept, and the task says so instead of being done', async () => {
  const ws = workspace('agent: shell\nretry: {initial: 100ms}\n');
  ws.drop('m', shellTask('echo agent > shared', 'complexity: minor\nchecks: [sleep 1]\n'));
  await ws.start();
  await ws.reaches('m', 'provisional');
  ws.file('shared', 'mine\n');
  await ws.reaches('m', 'blocked');
  expect(ws.show('m')).toMatchObject({ attempts: 1, reason: expect.stringContaining('shared') });
  expect(readFileSync(ws.path('shared'), 'utf8')).toBe('mine\n');
  rmSync(ws.path('shared'));
  ws.run(['retry', 'm']);
  await ws.reaches('m', 'done');
  expect(ws.git('show', 'main:shared')).toBe('agent\n');
});
