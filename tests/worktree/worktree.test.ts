// Making, finding and mending a task's worktree.
import { execFileSync } from 'node:child_process';
import { mkdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { commitAll } from '../../daemon/worktree/commit.ts';
import { branchExists, headOf, inspect, isDirty, openRepo, resolveBase } from '../../daemon/worktree/repo.ts';
import { openTrain, standWhole } from '../../daemon/worktree/train.ts';
import { regainWorktree, restoreWorktree } from '../../daemon/worktree/worktree.ts';
import { author, commit, folder, has, hook, prepare, problem, read, repository, sh, write } from './helper.ts';

test('a fresh worktree is on its branch at the base, and the folder of worktrees is out of git', async () => {
  const repo = repository();
  const made = await prepare(repo, 'one');
  expect(made).toMatchObject({ branch: 'towpath/one', fresh: true, merged: [], warnings: [] });
  expect(made.base).toBe(sh(repo, 'rev-parse', 'main'));
  expect(made.head).toBe(made.base);
  expect(read(made.worktree, 'a.txt')).toBe('one\n');
  expect(sh(made.worktree, 'symbolic-ref', 'HEAD')).toBe('refs/heads/towpath/one');
  expect(sh(repo, 'status', '--porcelain')).toBe('');
  const again = await prepare(repo, 'one', { ours: true });
  expect(again).toEqual({ ...made, fresh: false });
});

test('two repositories at once', async () => {
  const [one, two] = [repository({ f: '1' }), repository({ f: '2' })];
  const made = await Promise.all([prepare(one, 'x'), prepare(two, 'x')]);
  expect(made.map(({ worktree }) => read(worktree, 'f'))).toEqual(['1', '2']);
});

test('six worktrees of one repository in parallel', async () => {
  const repo = repository();
  const made = await Promise.all([1, 2, 3, 4, 5, 6].map((n) => prepare(repo, `p${n}`)));
  expect(made.every(({ worktree }) => has(worktree, 'a.txt'))).toBe(true);
  expect(sh(repo, 'worktree', 'list').split('\n')).toHaveLength(7);
});

test('variables of a parent git, an editor and the hooks of the repository do not reach the work', async () => {
  const repo = repository();
  const marker = join(repo, '.git', 'ran');
  for (const name of ['post-checkout', 'pre-commit', 'commit-msg', 'post-commit', 'reference-transaction'])
    hook(repo, name, `echo ${name} >> "${marker}"; exit 1`);
  const before = { ...process.env };
  Object.assign(process.env, {
    GIT_DIR: '/nowhere',
    GIT_INDEX_FILE: '/nowhere/index',
    EDITOR: 'vi',
    PAGER: 'less',
    GIT_EDITOR: 'vi',
  });
  try {
    const made = await prepare(repo, 'hooks');
    write(made.worktree, { new: 'x' });
    await commitAll(made.worktree, { branch: made.branch, message: 'm', author });
    expect(sh(repo, 'show', `${made.branch}:new`)).toBe('x');
  } finally {
    for (const name of ['GIT_DIR', 'GIT_INDEX_FILE', 'EDITOR', 'PAGER', 'GIT_EDITOR']) delete process.env[name];
    Object.assign(process.env, before);
  }
  expect(has(marker)).toBe(false);
});

test('a bare repository', async () => {
  const bare = join(folder(), 'bare.git');
  sh(repository(), 'clone', '-q', '--bare', '.', bare);
  expect(await inspect(bare)).toMatchObject({ kind: 'bare', root: bare });
  expect(await headOf(bare)).toMatchObject({ branch: 'main' });
  const made = await prepare(bare, 'b', { dir: join(folder(), 'wt', 'task-b') });
  expect(read(made.worktree, 'a.txt')).toBe('one\n');
});

test('not a repository, no commit, a base that is missing, a bad branch', async () => {
  const none = folder();
  expect((await inspect(none)).kind).toBe('none');
  expect((await inspect(join(none, 'missing'))).kind).toBe('none');
  await problem(prepare(none, 'x'), 'not_a_repo');
  sh(none, 'init', '-q');
  expect(await inspect(none)).toMatchObject({ kind: 'normal' });
  expect((await headOf(none)).sha).toBeNull();
  await problem(prepare(none, 'x'), 'no_commit');
  await problem(prepare(none, 'x', { base: 'main' }), 'no_commit');
  const repo = repository();
  await problem(prepare(repo, 'x', { base: 'nope' }), 'base_missing');
  await problem(prepare(repo, 'x', { base: '--all' }), 'base_missing');
  for (const branch of ['-b', 'a..b', 'a b', 'x.lock', '']) await problem(prepare(repo, 'x', { branch }), 'bad_branch');
  expect(sh(repo, 'branch', '--format=%(refname:short)')).toBe('main');
});

test('what was found out of a folder holds only while the repository there is the same', async () => {
  const dir = repository();
  mkdirSync(join(dir, 'sub'));
  const found = await inspect(join(dir, 'sub'));
  expect(found).toMatchObject({ kind: 'normal', root: dir });
  // The same answer, from memory.
  expect(await inspect(join(dir, 'sub'))).toBe(found);
  sh(join(dir, 'sub'), 'init', '-q');
  expect((await inspect(join(dir, 'sub'))).root).toBe(join(dir, 'sub'));
  rmSync(join(dir, 'sub/.git'), { recursive: true });
  rmSync(join(dir, '.git'), { recursive: true });
  expect((await inspect(join(dir, 'sub'))).kind).toBe('none');
  sh(dir, 'init', '-q');
  expect(await inspect(dir)).toMatchObject({ kind: 'normal', root: dir });
  sh(dir, 'config', 'core.bare', 'true');
  expect((await inspect(dir)).kind).toBe('bare');
});

test('a base is a branch, a remote branch, a tag, a commit, or a detached HEAD', async () => {
  const dir = repository();
  const first = sh(dir, 'rev-parse', 'HEAD');
  sh(dir, 'tag', 'v1');
  sh(dir, 'update-ref', 'refs/remotes/origin/far', first);
  const second = commit(dir, { 'a.txt': 'later\n' });
  sh(dir, 'branch', 'v1', second);
  const repo = await openRepo(dir);
  expect(await resolveBase(repo)).toEqual({ name: 'main', branch: 'main', sha: second });
  expect(await resolveBase(repo, 'v1')).toEqual({ name: 'v1', branch: 'v1', sha: second });
  expect(await resolveBase(repo, 'far')).toEqual({ name: 'far', branch: null, sha: first });
  expect((await resolveBase(repo, first.slice(0, 10))).sha).toBe(first);
  sh(dir, 'checkout', '-q', '--detach', first);
  expect(await headOf(dir)).toEqual({ branch: null, sha: first });
  expect(await resolveBase(await openRepo(dir))).toEqual({ name: first, branch: null, sha: first });
  expect((await prepare(dir, 'detached')).base).toBe(first);
});

test('a dirty tree does not matter to a worktree, and stays', async () => {
  const repo = repository();
  write(repo, { 'a.txt': 'mine\n', new: 'n' });
  expect(await isDirty(repo)).toBe(true);
  const made = await prepare(repo, 'd');
  expect(read(made.worktree, 'a.txt')).toBe('one\n');
  expect(read(repo, 'a.txt')).toBe('mine\n');
});

test("a branch, a folder or a file of someone else's is not touched", async () => {
  const repo = repository();
  sh(repo, 'branch', 'towpath/x');
  expect(await branchExists(repo, 'towpath/x')).toBe(true);
  expect(await branchExists(repo, 'towpath/y')).toBe(false);
  await problem(prepare(repo, 'x'), 'branch_exists');
  write(repo, { '.worktrees/task-y/precious': 'p' });
  await problem(prepare(repo, 'y'), 'path_in_way');
  await problem(prepare(repo, 'y', { ours: true }), 'path_in_way');
  expect(read(repo, '.worktrees/task-y/precious')).toBe('p');
  expect(await branchExists(repo, 'towpath/y')).toBe(false);
  write(repo, { '.worktrees/task-z': 'a file' });
  await problem(prepare(repo, 'z'), 'path_in_way');
  symlinkSync(folder(), join(repo, '.worktrees/task-l'));
  await problem(prepare(repo, 'l'), 'path_in_way');
  mkdirSync(join(repo, '.worktrees/task-empty'));
  expect((await prepare(repo, 'empty')).fresh).toBe(true);
});

test('a link that leads to a pipe is no link: it is not waited for', async () => {
  const repo = repository();
  const { worktree } = await prepare(repo, 'pipe');
  mkdirSync(join(worktree, 'x'));
  execFileSync('mkfifo', [join(worktree, 'x/gitdir')]);
  write(worktree, { '.git': 'gitdir: x\n' });
  expect(await regainWorktree(repo, worktree, 'towpath/pipe')).toBe(true);
  expect(sh(worktree, 'symbolic-ref', 'HEAD')).toBe('refs/heads/towpath/pipe');
});

test('a worktree that a check has cut off is linked again before git moves it: the tree above is the user’s', async () => {
  const repo = repository();
  const { worktree, head } = await prepare(repo, 'cut');
  const train = join(repo, '.worktrees/train');
  const top = commit(worktree, { work: 'w' });
  await openTrain(train, head, repo);
  const cut = () => [worktree, train].map((dir) => rmSync(join(dir, '.git')));
  write(repo, { 'a.txt': 'not committed', mine: 'not tracked' });
  cut();
  await standWhole(train, top, repo);
  expect(read(train, 'work')).toBe('w');
  // On the very commit that the tree above is on.
  await restoreWorktree(repo, worktree, 'towpath/cut', head);
  expect(sh(worktree, 'rev-parse', '--show-toplevel', 'HEAD')).toBe(`${worktree}\n${head}`);
  expect([read(repo, 'a.txt'), read(repo, 'mine'), sh(repo, 'rev-parse', 'main')]).toEqual([
    ...['not committed', 'not tracked', head],
  ]);
});

test('a worktree whose folder is gone is made again from its branch; another one that is gone stays known', async () => {
  const repo = repository();
  const made = await prepare(repo, 'gone');
  const other = await prepare(repo, 'other');
  const sha = commit(made.worktree, { work: 'w' });
  rmSync(made.worktree, { recursive: true });
  rmSync(other.worktree, { recursive: true });
  const again = await prepare(repo, 'gone', { ours: true });
  expect(again).toMatchObject({ fresh: true, base: made.base, head: made.head });
  expect(sh(again.worktree, 'rev-parse', 'HEAD')).toBe(sha);
  expect(sh(repo, 'worktree', 'list')).toContain('task-other');
});

test('a left-over registration at the same place is pruned', async () => {
  const repo = repository();
  const made = await prepare(repo, 'l');
  rmSync(made.worktree, { recursive: true });
  sh(repo, 'update-ref', '-d', 'refs/heads/towpath/l');
  expect((await prepare(repo, 'l')).fresh).toBe(true);
});

test('a branch that someone has checked out elsewhere is named', async () => {
  const repo = repository();
  const made = await prepare(repo, 'e');
  sh(repo, 'worktree', 'remove', made.worktree);
  sh(repo, 'checkout', '-q', 'towpath/e');
  const error = await problem(prepare(repo, 'e', { ours: true }), 'branch_exists');
  expect(error.message).toContain(repo);
});

test('what a killed run left is mended: half a checkout, a stale lock, a deleted .git, a half-done dependency merge', async () => {
  const repo = repository();
  const made = await prepare(repo, 'k');
  sh(repo, 'update-ref', '-d', 'refs/towpath/start/towpath/k');
  const admin = sh(made.worktree, 'rev-parse', '--absolute-git-dir');
  writeFileSync(join(admin, 'locked'), 'initializing');
  writeFileSync(join(admin, 'index.lock'), '');
  rmSync(join(admin, 'index'));
  rmSync(join(made.worktree, 'a.txt'));
  const again = await prepare(repo, 'k', { ours: true });
  expect(again).toMatchObject({ fresh: true, head: made.head });
  expect(sh(again.worktree, 'status', '--porcelain')).toBe('');
  expect(has(admin, 'locked')).toBe(false);
  expect(sh(repo, 'for-each-ref', 'refs/towpath/salvage')).toBe('');
  write(again.worktree, { kept: 'k' });
  rmSync(join(again.worktree, '.git'));
  expect((await prepare(repo, 'k', { ours: true })).fresh).toBe(false);
  expect(read(again.worktree, 'kept')).toBe('k');
  sh(repo, 'checkout', '-q', '-b', 'dep');
  commit(repo, { dep: 'd' });
  sh(repo, 'checkout', '-q', 'main');
  sh(repo, 'update-ref', '-d', 'refs/towpath/start/towpath/k');
  write(again.worktree, { dep: 'half', 'a.txt': 'half\n' });
  const third = await prepare(repo, 'k', { ours: true, dependencies: ['dep'] });
  expect(third).toMatchObject({ fresh: true, merged: ['dep'] });
  expect([read(third.worktree, 'dep'), read(third.worktree, 'a.txt')]).toEqual(['d', 'one\n']);
  expect(sh(repo, 'show', 'refs/towpath/salvage/task-k/half-made:kept')).toBe('k');
});

test('work and a half-done merge of an agent stay when its worktree is entered again', async () => {
  const repo = repository();
  const made = await prepare(repo, 'w');
  commit(repo, { 'a.txt': 'theirs\n' });
  commit(made.worktree, { 'a.txt': 'ours\n' });
  expect(() => sh(made.worktree, 'merge', 'main')).toThrow();
  write(made.worktree, { new: 'n' });
  expect(await prepare(repo, 'w', { ours: true })).toMatchObject({ fresh: false, head: made.head });
  expect(sh(made.worktree, 'status', '--porcelain')).toBe('UU a.txt\n?? new');
});

test('dependencies are merged, a diamond once, and what is in the base not at all', async () => {
  const repo = repository();
  const root = await prepare(repo, 'root');
  commit(root.worktree, { root: 'r' });
  const left = await prepare(repo, 'left', { dependencies: ['towpath/root'] });
  const right = await prepare(repo, 'right', { dependencies: ['towpath/root'] });
  expect(left.merged).toEqual(['towpath/root']);
  commit(left.worktree, { left: 'l' });
  commit(right.worktree, { right: 'r' });
  const dependencies = ['towpath/root', 'towpath/left', 'towpath/right', 'towpath/absent'];
  const made = await prepare(repo, 'top', { dependencies });
  expect(made.merged).toEqual(['towpath/root', 'towpath/left', 'towpath/right']);
  expect(made.warnings).toHaveLength(1);
  expect(['root', 'left', 'right'].every((name) => has(made.worktree, name))).toBe(true);
  expect(made.head).toBe(sh(made.worktree, 'rev-parse', 'HEAD'));
  expect(made.base).toBe(sh(repo, 'rev-parse', 'main'));
  sh(repo, 'merge', '-q', 'towpath/root');
  expect((await prepare(repo, 'late', { dependencies: ['towpath/root'] })).merged).toEqual([]);
});

test('dependencies that conflict are named with their files, and the worktree is whole for the next try', async () => {
  const repo = repository();
  for (const name of ['x', 'y']) {
    const made = await prepare(repo, name);
    commit(made.worktree, { 'a.txt': `${name}\n` });
  }
  const dependencies = ['towpath/x', 'towpath/y'];
  const error = await problem(prepare(repo, 'z', { dependencies }), 'conflict');
  expect(error.files).toEqual(['a.txt']);
  expect(sh(join(repo, '.worktrees/task-z'), 'status', '--porcelain')).toBe('');
  await problem(prepare(repo, 'z', { ours: true, dependencies }), 'conflict');
  sh(repo, 'update-ref', 'refs/heads/towpath/y', 'main');
  expect((await prepare(repo, 'z', { ours: true, dependencies })).fresh).toBe(true);
});

test('a worktree that cannot be checked out leaves no branch behind', async () => {
  const repo = repository({ '.gitattributes': '*.bin filter=broken\n', 'x.bin': 'x' });
  sh(repo, 'config', 'filter.broken.smudge', 'false');
  sh(repo, 'config', 'filter.broken.required', 'true');
  await problem(prepare(repo, 'f'), 'git_failed');
  expect(await branchExists(repo, 'towpath/f')).toBe(false);
});

test('submodules are filled from the clone of the main tree, without any remote', async () => {
  const library = repository({ lib: 'lib' });
  const repo = repository();
  sh(repo, 'submodule', '--quiet', 'add', library, 'vendor/lib');
  sh(repo, 'commit', '-q', '-m', 'submodule');
  rmSync(library, { recursive: true });
  const made = await prepare(repo, 's');
  expect(made.warnings).toEqual([]);
  expect(read(made.worktree, 'vendor/lib/lib')).toBe('lib');
  expect(sh(join(made.worktree, 'vendor/lib'), 'config', 'remote.origin.url')).toBe(library);
  rmSync(join(repo, '.git/modules'), { recursive: true });
  const bare = await prepare(repo, 's2');
  expect(bare.warnings).toHaveLength(1);
  expect(has(bare.worktree, 'a.txt')).toBe(true);
});

test('.worktreeinclude copies ignored regular files and nothing else', async () => {
  const outside = folder();
  write(outside, { secret: 's', 'dir/secret': 's' });
  const repo = repository({
    '.gitignore': '.env\nconfig/*\nlinks/\nlinked\nout/\n!config/tracked\nevil\n',
    '.worktreeinclude': '.env\nconfig/**\nlinks/**\nlinked\na.txt\nplain\nnested/.env\nevil/**\n*.worktrees*\n',
    'config/tracked': 'tracked',
  });
  write(repo, {
    '.env': 'KEY=1',
    'config/local': 'l',
    plain: 'not ignored',
    'nested/.env': 'n',
    'config/sp ace\nü': 'odd',
    'evil/x': 'x',
  });
  mkdirSync(join(repo, 'links'));
  symlinkSync(join(outside, 'secret'), join(repo, 'links/secret'));
  symlinkSync(join(outside, 'dir'), join(repo, 'linked'));
  sh(repo, 'checkout', '-q', '-b', 'evil');
  rmSync(join(repo, 'evil'), { recursive: true });
  symlinkSync(outside, join(repo, 'evil'));
  sh(repo, 'add', '-f', 'evil');
  sh(repo, 'commit', '-q', '-m', 'a link where a folder is');
  sh(repo, 'checkout', '-q', 'main');
  write(repo, { 'evil/x': 'x' });
  const made = await prepare(repo, 'inc', { base: 'evil' });
  const top = made.worktree;
  expect(made.warnings).toEqual([]);
  expect([read(top, '.env'), read(top, 'config/local'), read(top, 'nested/.env')]).toEqual(['KEY=1', 'l', 'n']);
  expect(read(top, 'config/sp ace\nü')).toBe('odd');
  expect(read(top, 'config/tracked')).toBe('tracked');
  expect(['plain', 'links', 'linked', '.worktrees'].filter((name) => has(top, name))).toEqual([]);
  expect(has(outside, 'x')).toBe(false);
  expect(sh(top, 'status', '--porcelain')).toBe('');
});

test('what somebody committed on top of a result is kept when the result is restored, and their own branch stays where it is', async () => {
  const repo = repository();
  const { worktree: top, branch } = await prepare(repo, 't');
  const result = commit(top, { new: 'n' });
  const later = commit(top, { mine: 'by a person' });
  const ref = `refs/towpath/salvage/task-t/restored-${later.slice(0, 12)}`;
  expect(await restoreWorktree(repo, top, branch, result)).toBe(ref);
  expect(sh(repo, 'for-each-ref', '--contains', later, '--format=%(refname)')).toBe(ref);
  expect(sh(repo, 'rev-parse', branch)).toBe(result);
  sh(top, 'checkout', '-q', '-b', 'theirs');
  const other = commit(top, { mine: 'once more' });
  write(top, { mine: 'not committed' });
  await restoreWorktree(repo, top, branch, result);
  expect([sh(repo, 'rev-parse', 'theirs'), sh(repo, 'rev-parse', branch)]).toEqual([other, result]);
  expect(sh(top, 'symbolic-ref', 'HEAD')).toBe(`refs/heads/${branch}`);
  expect(sh(repo, 'show', 'refs/towpath/salvage/task-t/restored:mine')).toBe('not committed');
  expect(sh(top, 'status', '--porcelain')).toBe('');
});
