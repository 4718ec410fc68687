// Minor tasks in the repository's own tree: opened, captured, taken back, put in again, accepted; the user's files stay.
import { mkdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { acceptTree, applyTree, captureTree, openTree, restoreTree, unapplyTree } from '../../daemon/worktree/tree.ts';
import { author, commit, folder, has, problem, read, repository, sh, write } from './helper.ts';

const options = { id: 'm', attempt: 1, message: 'Minor work', author };
const status = (dir: string) => sh(dir, 'status', '--porcelain', '-z').split('\0').filter(Boolean);

/** A repository with untracked, ignored and odd files of the user, and an agent's changes of all kinds. */
async function worked() {
  const repo = repository({ 'a.txt': 'one\n', 'b.txt': 'two\n', 'dir/c': 'c', '.gitignore': '*.log\nsecrets/\n' });
  write(repo, { mine: 'mine', 'my dir/mine\ntoo': 'mine', 'x.log': 'log', 'secrets/key': 'k' });
  const before = status(repo);
  const open = await openTree(repo);
  write(repo, { 'a.txt': 'agent\n', 'new/-file ü': 'new', dir2: 'd' });
  rmSync(join(repo, 'b.txt'));
  rmSync(join(repo, 'dir'), { recursive: true });
  symlinkSync('a.txt', join(repo, 'dir'));
  return { repo, open, before };
}

const users = (repo: string) => [
  read(repo, 'mine'),
  read(repo, 'my dir/mine\ntoo'),
  read(repo, 'x.log'),
  read(repo, 'secrets/key'),
];
const USERS = ['mine', 'mine', 'log', 'k'];
const WORK = ['a.txt', 'b.txt', 'dir', 'dir/c', 'dir2', 'new/-file ü'];

test('a tree that cannot be worked in is refused with its reason', async () => {
  const none = folder();
  await problem(openTree(none), 'not_a_repo');
  sh(none, 'init', '-q');
  await problem(openTree(none), 'no_commit');
  const repo = repository();
  const bare = join(folder(), 'bare');
  sh(repo, 'clone', '-q', '--bare', '.', bare);
  await problem(openTree(bare), 'bare');
  sh(repo, 'checkout', '-q', '--detach');
  await problem(openTree(repo), 'detached');
  sh(repo, 'checkout', '-q', 'main');
  write(repo, { 'a.txt': 'mine\n', untracked: 'u' });
  expect((await problem(openTree(repo), 'dirty')).files).toEqual(['a.txt']);
  sh(repo, 'checkout', 'a.txt');
  expect(await openTree(repo)).toEqual({
    root: repo,
    branch: 'main',
    head: sh(repo, 'rev-parse', 'main'),
    untracked: ['untracked'],
  });
});

test('capture leaves the tree alone, restore brings back the state before, and the user keeps every file', async () => {
  const { repo, open, before } = await worked();
  const during = status(repo);
  const captured = await captureTree(open, options);
  expect(status(repo)).toEqual(during);
  expect(captured?.files.sort()).toEqual(WORK);
  expect(sh(repo, 'rev-parse', 'refs/towpath/salvage/m/1', `${captured?.commit}^`)).toBe(
    `${captured?.commit}\n${open.head}`,
  );
  expect(sh(repo, 'log', '-1', '--format=%an %cn %s', captured!.commit)).toBe('claude towpath Minor work');
  expect(await captureTree(open, options)).toEqual(captured);
  expect(await restoreTree(open)).toBeNull();
  expect(status(repo)).toEqual(before);
  expect([read(repo, 'a.txt'), read(repo, 'b.txt'), read(repo, 'dir/c'), has(repo, 'new')]).toEqual([
    'one\n',
    'two\n',
    'c',
    false,
  ]);
  expect(users(repo)).toEqual(USERS);
  expect(await restoreTree(open)).toBeNull();
  expect(await captureTree(open, options)).toEqual(captured);
  // Killed in the middle of a restore: half of it is there again.
  write(repo, { 'a.txt': 'agent\n' });
  expect(await captureTree(open, options)).toEqual(captured);
});

test('commits, a branch and an index full of everything that the agent made are taken back too', async () => {
  const { repo, open, before } = await worked();
  commit(repo, { more: 'm' }, 'by the agent, with the files of the user');
  sh(repo, 'checkout', '-q', '-b', 'agents');
  sh(repo, 'add', '-f', 'x.log');
  const tip = sh(repo, 'rev-parse', 'HEAD');
  const captured = await captureTree(open, options);
  expect(captured?.files.sort()).toEqual([...WORK, 'more'].sort());
  await restoreTree(open);
  expect(sh(repo, 'symbolic-ref', '--short', 'HEAD')).toBe('main');
  expect(sh(repo, 'rev-parse', 'main')).toBe(open.head);
  expect(status(repo)).toEqual(before);
  expect(users(repo)).toEqual(USERS);
  expect(sh(repo, 'for-each-ref', '--contains', tip, 'refs/towpath')).not.toBe('');
});

test('files that were ignored stay the user’s when the agent stops ignoring them', async () => {
  const { repo, open } = await worked();
  write(repo, { '.gitignore': '' });
  const captured = await captureTree(open, options);
  expect(captured?.files.sort()).toEqual([...WORK, '.gitignore'].sort());
  await restoreTree(open);
  expect(users(repo)).toEqual(USERS);
});

test('nothing changed is null, and a lock of a killed git is removed', async () => {
  const repo = repository();
  const open = await openTree(repo);
  writeFileSync(join(repo, '.git/index.lock'), '');
  expect(await captureTree(open, options)).toBeNull();
  await restoreTree(open);
  expect(status(repo)).toEqual([]);
});

test('a merge that the agent left half done does not stay in the tree of the user', async () => {
  const repo = repository();
  sh(repo, 'checkout', '-q', '-b', 'other');
  commit(repo, { 'a.txt': 'other\n' });
  sh(repo, 'checkout', '-q', 'main');
  commit(repo, { 'a.txt': 'main\n' });
  const open = await openTree(repo);
  expect(() => sh(repo, 'merge', 'other')).toThrow();
  expect((await captureTree(open, options))?.files).toEqual(['a.txt']);
  await restoreTree(open);
  expect([read(repo, 'a.txt'), has(repo, '.git/MERGE_HEAD'), status(repo).length]).toEqual(['main\n', false, 0]);
});

test('restore without a capture keeps what it takes away', async () => {
  const { repo, open, before } = await worked();
  const ref = await restoreTree(open);
  expect(status(repo)).toEqual(before);
  expect(sh(repo, 'show', `${ref}:a.txt`)).toBe('agent');
});

test('apply puts the work back unstaged, twice is once, and restore takes it out again', async () => {
  const { repo, open, before } = await worked();
  const during = status(repo);
  const { commit: sha } = (await captureTree(open, options))!;
  await restoreTree(open);
  await applyTree(repo, sha);
  await applyTree(repo, sha);
  expect(status(repo)).toEqual(during);
  expect(await restoreTree(open)).toBeNull();
  expect(status(repo)).toEqual(before);
});

test('what was applied is taken out again without touching what the user edits meanwhile', async () => {
  const { repo, open } = await worked();
  const { commit: sha } = (await captureTree(open, options))!;
  await restoreTree(open);
  commit(repo, { other: 'o' });
  await applyTree(repo, sha);
  write(repo, { other: 'edited', note: 'n' });
  await unapplyTree(repo, sha);
  await unapplyTree(repo, sha);
  expect(status(repo)).toEqual([' M other', '?? note']);
  await applyTree(repo, sha);
  write(repo, { 'a.txt': 'edited\n' });
  expect((await problem(unapplyTree(repo, sha), 'conflict')).files).toEqual(['a.txt']);
  expect(read(repo, 'a.txt')).toBe('edited\n');
});

test('apply that does not fit leaves the tree as it was', async () => {
  const { repo, open } = await worked();
  const { commit: sha } = (await captureTree(open, options))!;
  await restoreTree(open);
  write(repo, { 'a.txt': 'user\n', 'b.txt': 'two\nuser\n' });
  const before = status(repo);
  expect((await problem(applyTree(repo, sha), 'conflict')).files).toEqual(['a.txt', 'b.txt']);
  expect(status(repo)).toEqual(before);
  sh(repo, 'commit', '-q', '-am', 'user');
  expect((await problem(applyTree(repo, sha), 'conflict')).files).toContain('a.txt');
  expect(status(repo)).toEqual(before.filter((line) => line.startsWith('??')));
  write(repo, { dir2: 'an untracked file in the way' });
  sh(repo, 'reset', '-q', '--hard', open.head);
  expect((await problem(applyTree(repo, sha), 'conflict')).files).toEqual(['dir2']);
  expect(read(repo, 'a.txt')).toBe('one\n');
});

test('accept moves the branch to the commit, from a restored tree or from one that still has the work', async () => {
  for (const restored of [true, false]) {
    const { repo, open, before } = await worked();
    const { commit: sha } = (await captureTree(open, options))!;
    if (restored) await restoreTree(open);
    expect(await acceptTree(open, sha)).toBe(sha);
    expect(await acceptTree(open, sha)).toBe(sha);
    expect(sh(repo, 'rev-parse', 'HEAD')).toBe(sha);
    expect(status(repo)).toEqual(before);
    expect(users(repo)).toEqual(USERS);
    expect(read(repo, 'a.txt')).toBe('agent\n');
  }
});

test('accept after a kill between the branch and the files', async () => {
  const { repo, open, before } = await worked();
  const { commit: sha } = (await captureTree(open, options))!;
  await restoreTree(open);
  sh(repo, 'update-ref', 'refs/heads/main', sha);
  expect(await acceptTree(open, sha)).toBe(sha);
  expect(status(repo)).toEqual(before);
  expect(has(repo, 'new/-file ü')).toBe(true);
});

test('accept of work of which the agent made commits keeps one commit', async () => {
  const repo = repository();
  const open = await openTree(repo);
  commit(repo, { one: '1' });
  commit(repo, { two: '2' });
  const { commit: sha } = (await captureTree(open, options))!;
  expect(await acceptTree(open, sha)).toBe(sha);
  expect(sh(repo, 'rev-list', '--count', 'HEAD')).toBe('2');
  expect(status(repo)).toEqual([]);
});

test('when the user has gone on, accept puts the work on top and keeps what is staged', async () => {
  const { repo, open } = await worked();
  const { commit: sha } = (await captureTree(open, options))!;
  await restoreTree(open);
  commit(repo, { user: 'u' }, 'of the user');
  const tip = sh(repo, 'rev-parse', 'HEAD');
  expect(await restoreTree(open)).toBeNull();
  expect(sh(repo, 'rev-parse', 'HEAD')).toBe(tip);
  write(repo, { user: 'more', staged: 's' });
  sh(repo, 'add', 'user', 'staged');
  const landed = await acceptTree(open, sha);
  expect(sh(repo, 'rev-parse', `${landed}^`, 'main')).toBe(`${tip}\n${landed}`);
  expect(sh(repo, 'log', '-1', '--format=%an %cn %s')).toBe('claude towpath Minor work');
  expect(await acceptTree(open, sha)).toBe(landed);
  expect(status(repo)).toEqual(['A  staged', 'M  user']);
  commit(repo, { late: 'l' });
  expect(await acceptTree(open, sha)).toBe(landed);
});

test('accept that conflicts leaves branch and tree as they were', async () => {
  const { repo, open } = await worked();
  const { commit: sha } = (await captureTree(open, options))!;
  await restoreTree(open);
  write(repo, { 'a.txt': 'user\n' });
  expect((await problem(acceptTree(open, sha), 'conflict')).files).toEqual(['a.txt']);
  expect(sh(repo, 'rev-parse', 'HEAD')).toBe(open.head);
  sh(repo, 'commit', '-q', '-am', 'user');
  const tip = sh(repo, 'rev-parse', 'HEAD');
  expect((await problem(acceptTree(open, sha), 'conflict')).files).toContain('a.txt');
  expect([sh(repo, 'rev-parse', 'HEAD'), read(repo, 'a.txt')]).toEqual([tip, 'user\n']);
});

test('accept while another branch is checked out moves only the branch', async () => {
  const { repo, open } = await worked();
  const { commit: sha } = (await captureTree(open, options))!;
  await restoreTree(open);
  sh(repo, 'checkout', '-q', '-b', 'elsewhere');
  expect(await acceptTree(open, sha)).toBe(sha);
  expect([sh(repo, 'rev-parse', 'main'), read(repo, 'a.txt')]).toEqual([sha, 'one\n']);
});

test('a repository of the user inside the tree is not looked into', async () => {
  const repo = repository();
  mkdirSync(join(repo, 'inner'));
  sh(join(repo, 'inner'), 'init', '-q');
  write(repo, { 'inner/x': 'x' });
  const open = await openTree(repo);
  write(repo, { 'a.txt': 'agent\n', 'inner/x': 'y' });
  expect((await captureTree(open, options))?.files).toEqual(['a.txt']);
  await restoreTree(open);
  expect([read(repo, 'inner/x'), status(repo)]).toEqual(['y', ['?? inner/']]);
});
