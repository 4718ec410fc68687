// Nothing of a worktree is lost: salvage refs, and removal only after them.
import { chmodSync, mkdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { setAside } from '../../daemon/worktree/aside.ts';
import { commitAll } from '../../daemon/worktree/commit.ts';
import { branchOf, salvageRef } from '../../daemon/worktree/refs.ts';
import { removeWorktree, salvage } from '../../daemon/worktree/salvage.ts';
import { author, commit, has, prepare, problem, read, repository, sh, write } from './helper.ts';

async function started(files?: Record<string, string>) {
  const repo = repository(files);
  const { worktree, branch, head } = await prepare(repo, 't');
  const remove = (attempt = 1) => removeWorktree({ repo, worktree, branch, id: 't', attempt });
  return { repo, top: worktree, branch, head, remove };
}

test('uncommitted, staged and untracked files are kept on a ref, and the tree stays as it is', async () => {
  const { repo, top, head } = await started({ 'a.txt': 'one\n', '.gitignore': 'no\n' });
  expect(await salvage(top, 't', 1)).toBeNull();
  write(top, { 'a.txt': 'changed\n', 'new\nfile': 'n', no: 'ignored', staged: 'first' });
  sh(top, 'add', 'staged');
  write(top, { staged: 'second' });
  const before = sh(top, 'status', '--porcelain', '-z');
  const ref = await salvage(top, 't', 1);
  expect(ref).toBe('refs/towpath/salvage/t/1');
  expect(sh(top, 'status', '--porcelain', '-z')).toBe(before);
  expect(sh(repo, 'show', `${ref}:a.txt`)).toBe('changed');
  expect(sh(repo, 'show', `${ref}:new\nfile`)).toBe('n');
  expect(sh(repo, 'show', `${ref}:staged`)).toBe('second');
  expect(sh(repo, 'show', `${ref}^2:staged`)).toBe('first');
  expect(sh(repo, 'rev-parse', `${ref}^`)).toBe(head);
  expect(() => sh(repo, 'show', `${ref}:no`)).toThrow();
  const sha = sh(repo, 'rev-parse', ref!);
  expect(await salvage(top, 't', 1)).toBe(ref);
  expect(sh(repo, 'rev-parse', ref!)).toBe(sha);
  write(top, { 'a.txt': 'again\n' });
  await salvage(top, 't', 1);
  expect(sh(repo, 'merge-base', sha, ref!)).toBe(sha);
});

test('files that git was told not to look at are kept too', async () => {
  const { repo, top, remove } = await started();
  sh(top, 'update-index', '--assume-unchanged', 'a.txt');
  sh(top, 'update-index', '--skip-worktree', 'b.txt');
  expect(await salvage(top, 't', 1)).toBe(null);
  write(top, { 'a.txt': 'work\n', 'b.txt': 'more\n' });
  expect(await remove()).toEqual({ salvage: 'refs/towpath/salvage/t/1' });
  const kept = ['a.txt', 'b.txt'].map((path) => sh(repo, 'show', `refs/towpath/salvage/t/1:${path}`));
  expect(kept).toEqual(['work', 'more']);
});

test('conflicts of a half-done merge are kept too', async () => {
  const { repo, top } = await started();
  commit(repo, { 'a.txt': 'theirs\n' });
  commit(top, { 'a.txt': 'ours\n' });
  expect(() => sh(top, 'merge', 'main')).toThrow();
  const ref = await salvage(top, 't', 1);
  expect(sh(repo, 'show', `${ref}:a.txt`)).toContain('<<<<<<<');
  expect(sh(top, 'status', '--porcelain')).toBe('UU a.txt');
});

test('a task that begins anew leaves its branch and what was uncommitted on a ref, also when it is killed in between', async () => {
  const { repo, top, branch } = await started();
  const options = { repo, worktree: top, branch, id: 't', attempt: 2 };
  commit(top, { 'a.txt': 'committed\n' });
  const tip = sh(top, 'rev-parse', 'HEAD');
  write(top, { 'b.txt': 'not committed\n' });
  // Killed once the worktree was removed.
  await removeWorktree(options);
  await setAside(options);
  await setAside(options);
  expect(sh(repo, 'show', 'refs/towpath/salvage/t/2:b.txt')).toBe('not committed');
  expect(sh(repo, 'rev-parse', 'refs/towpath/salvage/t/2^')).toBe(tip);
  expect(sh(repo, 'for-each-ref', `refs/heads/${branch}`, 'refs/towpath/start')).toBe('');
  // It is the branch of a new run, which goes on; of the earlier one nothing is overwritten.
  const again = await prepare(repo, 't');
  commit(again.worktree, { 'a.txt': 'of the new run\n' });
  await setAside(options);
  expect(sh(repo, 'show', 'refs/towpath/salvage/t/2-branch:a.txt')).toBe('of the new run');
  expect(sh(repo, 'rev-parse', 'refs/towpath/salvage/t/2^')).toBe(tip);
  sh(repo, 'branch', branch, 'main');
  sh(repo, 'checkout', '-q', branch);
  await problem(setAside(options), 'branch_exists');
});

test('ids become parts of refs that git takes', () => {
  for (const id of ['a', 'a..b', 'a.lock', 'a.', 'A-1_2.3']) {
    expect(() => sh('.', 'check-ref-format', salvageRef(id, 1))).not.toThrow();
    expect(() => sh('.', 'check-ref-format', `refs/heads/${branchOf(id)}`)).not.toThrow();
  }
});

test('removal keeps what is uncommitted, leaves the branch, and may be done again', async () => {
  const { repo, top, branch, remove } = await started();
  write(top, { new: 'n' });
  mkdirSync(join(top, 'read-only'));
  write(top, { 'read-only/file': 'x' });
  chmodSync(join(top, 'read-only'), 0o500);
  expect(await remove()).toEqual({ salvage: 'refs/towpath/salvage/t/1' });
  expect(sh(repo, 'show', 'refs/towpath/salvage/t/1:new')).toBe('n');
  expect([has(top), sh(repo, 'worktree', 'list').split('\n').length]).toEqual([false, 1]);
  expect(sh(repo, 'rev-parse', branch)).toBe(sh(repo, 'rev-parse', 'main'));
  expect(await remove()).toEqual({ salvage: null });
  expect((await prepare(repo, 't', { ours: true })).fresh).toBe(true);
  expect(await remove()).toEqual({ salvage: null });
});

test('commits of a detached HEAD are kept, and a folder that vanished is only forgotten', async () => {
  const { repo, top, remove } = await started();
  sh(top, 'checkout', '-q', '--detach');
  const sha = commit(top, { new: 'n' });
  await remove();
  expect(sh(repo, 'rev-parse', 'refs/towpath/salvage/t/1')).toBe(sha);
  const again = await prepare(repo, 't', { ours: true });
  rmSync(again.worktree, { recursive: true });
  expect(await remove(2)).toEqual({ salvage: null });
  expect(sh(repo, 'worktree', 'list').split('\n')).toHaveLength(1);
});

test('a removal that was cut off after its first step is finished by the next one', async () => {
  const { repo, top, remove } = await started();
  renameSync(top, join(repo, '.worktrees', '.trash-task-t-1-1'));
  await remove();
  expect(has(repo, '.worktrees', '.trash-task-t-1-1')).toBe(false);
  expect(sh(repo, 'worktree', 'list').split('\n')).toHaveLength(1);
});

test('a foreign folder, the main tree and a stale lock', async () => {
  const { repo, top, branch, remove } = await started();
  const place = { repo, branch, id: 't', attempt: 1 };
  await problem(removeWorktree({ ...place, worktree: repo }), 'git_failed');
  write(repo, { '.worktrees/other/file': 'f' });
  await problem(removeWorktree({ ...place, worktree: join(repo, '.worktrees/other') }), 'git_failed');
  expect(read(repo, '.worktrees/other/file')).toBe('f');
  writeFileSync(join(sh(top, 'rev-parse', '--absolute-git-dir'), 'index.lock'), '');
  await remove();
  expect(has(top)).toBe(false);
});

test('a clone inside keeps the worktree; the history of a repository that the agent made is saved', async () => {
  const { repo, top, branch, remove } = await started();
  mkdirSync(join(top, 'app'));
  sh(join(top, 'app'), 'init', '-q', '-b', 'main');
  const inner = commit(join(top, 'app'), { x: 'x' });
  write(top, { 'app/y': 'y' });
  await commitAll(top, { branch, message: 'm', author });
  sh(top, 'clone', '-q', repo, 'clone');
  const error = await problem(remove(), 'git_failed');
  expect(error.message).toContain('clone');
  expect(has(top, 'clone/a.txt')).toBe(true);
  rmSync(join(top, 'clone'), { recursive: true });
  await remove();
  expect(has(top)).toBe(false);
  expect(sh(repo, 'rev-parse', 'refs/towpath/salvage/t/1-nested/1/heads/main')).toBe(inner);
  expect(sh(repo, 'show', `${branch}:app/y`)).toBe('y');
});

test('work in a submodule keeps the worktree', async () => {
  const library = repository({ lib: 'lib' });
  const repo = repository();
  sh(repo, 'submodule', '--quiet', 'add', library, 'lib');
  sh(repo, 'commit', '-q', '-m', 'submodule');
  const { worktree, branch } = await prepare(repo, 's');
  const remove = () => removeWorktree({ repo, worktree, branch, id: 's', attempt: 1 });
  write(worktree, { 'lib/new': 'n' });
  await problem(remove(), 'submodules');
  commit(join(worktree, 'lib'), {});
  await problem(remove(), 'submodules');
  sh(join(worktree, 'lib'), 'reset', '-q', '--hard', 'origin/main');
  await remove();
  expect(has(worktree)).toBe(false);
});
