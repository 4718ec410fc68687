// What an agent leaves in its worktree becomes a commit on the task's branch.
import { chmodSync, mkdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { changes, commitAll, diff } from '../../daemon/worktree/commit.ts';
import { failure } from '../../daemon/worktree/git.ts';
import { author, commit, has, hook, prepare, problem, read, repository, sh, write } from './helper.ts';

async function started(id = 't', files?: Record<string, string>) {
  const repo = repository(files);
  const made = await prepare(repo, id);
  const save = () => commitAll(made.worktree, { branch: made.branch, message: 'Title\n\n# kept', author });
  return { repo, top: made.worktree, branch: made.branch, base: made.head, save };
}

const files = (top: string) => sh(top, 'ls-files', '-z').split('\0').filter(Boolean);

test('the agent is the author, towpath the committer, and no hook is asked', async () => {
  const { repo, top, branch, base, save } = await started();
  hook(repo, 'pre-commit', 'exit 1');
  expect(await save()).toEqual({ committed: false, notes: [] });
  expect((await changes(top, base)).changed).toBe(false);
  write(top, { 'a.txt': 'changed\n' });
  expect((await save()).committed).toBe(true);
  const sha = sh(repo, 'rev-parse', branch);
  expect(sh(top, 'log', '-1', '--format=%an %ae %cn %B')).toBe('claude claude@towpath.invalid towpath Title\n\n# kept');
  expect(await save()).toEqual({ committed: false, notes: [] });
  const found = await changes(top, base);
  expect(found).toEqual({ head: sha, tree: sh(top, 'rev-parse', 'HEAD^{tree}'), files: ['a.txt'], changed: true });
});

test('odd names, links, modes, deletions, and ignored files', async () => {
  const { top, base, save } = await started('odd', { 'a.txt': 'x', 'run.sh': 'x', old: 'same', '.gitignore': 'no\n' });
  const names = ['sp ace', 'new\nline', 'ünï', '-rf', ':(top)x', '"q"', 'tab\t', '*'];
  write(top, Object.fromEntries([...names.map((name) => [name, name]), ['no', 'ignored'], ['-d/-f', 'x']]));
  symlinkSync('/nowhere', join(top, 'link'));
  chmodSync(join(top, 'run.sh'), 0o755);
  rmSync(join(top, 'old'));
  write(top, { moved: 'same' });
  expect((await save()).committed).toBe(true);
  const found = await changes(top, base);
  expect(found.files.sort()).toEqual([...names, '-d/-f', 'link', 'run.sh', 'old', 'moved'].sort());
  expect(sh(top, 'ls-files', '-s', 'run.sh')).toMatch(/^100755/);
  expect(sh(top, 'status', '--porcelain')).toBe('');
});

test('everything deleted', async () => {
  const { top, base, save } = await started();
  rmSync(join(top, 'a.txt'));
  rmSync(join(top, 'b.txt'));
  await save();
  expect((await changes(top, base)).files).toEqual(['a.txt', 'b.txt']);
  expect(files(top)).toEqual([]);
});

test('what the agent committed itself counts, and a lock of a killed git is no hindrance', async () => {
  const { top, base, save } = await started();
  const sha = commit(top, { own: 'o' });
  writeFileSync(join(sh(top, 'rev-parse', '--absolute-git-dir'), 'index.lock'), '');
  expect((await save()).committed).toBe(false);
  expect(await changes(top, base)).toMatchObject({ head: sha, files: ['own'] });
});

test('an agent that went to a branch of its own, or off any branch, is brought back', async () => {
  const { repo, top, branch, save } = await started();
  sh(top, 'checkout', '-q', '-b', 'feature');
  commit(top, { one: '1' });
  write(top, { two: '2' });
  const first = await save();
  expect(first.notes[0]).toContain('refs/heads/feature');
  sh(top, 'checkout', '-q', '--detach');
  commit(top, { three: '3' });
  await save();
  sh(top, 'checkout', '-q', '--orphan', 'rootless');
  write(top, { four: '4' });
  await save();
  sh(top, 'branch', '-m', 'renamed');
  await save();
  expect(sh(top, 'symbolic-ref', '--short', 'HEAD')).toBe(branch);
  expect(sh(repo, 'ls-tree', '--name-only', branch).split('\n')).toEqual([
    'a.txt',
    'b.txt',
    'four',
    'one',
    'three',
    'two',
  ]);
});

test('work that was left on an older commit, or beside the branch, is put on top of it', async () => {
  const { top, branch, base, save } = await started();
  commit(top, { one: '1' });
  sh(top, 'checkout', '-q', base);
  write(top, { two: '2' });
  await save();
  expect(files(top)).toEqual(['a.txt', 'b.txt', 'one', 'two']);
  sh(top, 'checkout', '-q', '-b', 'side', base);
  commit(top, { three: '3' });
  await save();
  expect(sh(top, 'symbolic-ref', '--short', 'HEAD')).toBe(branch);
  expect(files(top)).toEqual(['a.txt', 'b.txt', 'one', 'three', 'two']);
});

test('work beside the branch that conflicts with it is reported, and nothing is lost', async () => {
  const { top, base, save } = await started();
  commit(top, { 'a.txt': 'branch\n' });
  sh(top, 'checkout', '-q', base);
  const beside = commit(top, { 'a.txt': 'beside\n' });
  const error = await problem(save(), 'conflict');
  expect(error.files).toEqual(['a.txt']);
  expect(sh(top, 'rev-parse', 'HEAD')).toBe(beside);
  sh(top, 'checkout', '-q', base);
  write(top, { 'a.txt': 'uncommitted\n' });
  await problem(save(), 'conflict');
  expect(read(top, 'a.txt')).toBe('uncommitted\n');
});

test.each(['merge', 'rebase', 'cherry-pick', 'revert'])('a %s left half done', async (verb) => {
  const { repo, top, branch, save } = await started();
  commit(repo, { 'a.txt': 'theirs\n' });
  commit(top, { 'a.txt': 'first\n' });
  commit(top, { 'a.txt': 'ours\n' });
  const target = verb === 'revert' ? 'HEAD~1' : 'main';
  expect(() => sh(top, verb, ...(verb === 'revert' ? ['--no-edit'] : []), target)).toThrow();
  write(top, { extra: 'e' });
  expect((await problem(save(), 'conflict')).files).toEqual(['a.txt']);
  expect(read(top, 'a.txt')).toContain('<<<<<<<');
  write(top, { 'a.txt': 'resolved\n' });
  if (verb === 'rebase') {
    // The next commit of the rebase conflicts too.
    await problem(save(), 'conflict');
    write(top, { 'a.txt': 'resolved again\n' });
  }
  const { notes } = await save();
  expect(notes[0]).toContain(verb);
  expect(sh(top, 'status', '--porcelain')).toBe('');
  expect(sh(top, 'symbolic-ref', '--short', 'HEAD')).toBe(branch);
  expect(files(top)).toEqual(['a.txt', 'b.txt', 'extra']);
  expect(read(top, 'a.txt')).toContain('resolved');
  expect(await save()).toEqual({ committed: false, notes: [] });
});

test('commands in the list of an interrupted rebase are not run', async () => {
  const { top, save } = await started();
  commit(top, { one: '1' });
  expect(() => sh(top, 'rebase', 'HEAD~1', '--exec', 'false', '--exec', `touch ${join(top, '..', 'ran')}`)).toThrow();
  await problem(save(), 'conflict');
  expect(has(top, '..', 'ran')).toBe(false);
});

test('a repository that the agent made is taken as files; a clone is left out and named', async () => {
  const { repo, top, base, save } = await started('n', { '.gitignore': 'node_modules\n' });
  for (const [dir, inner] of [
    ['app', { 'x.js': 'x', 'lib/y.js': 'y', 'node_modules/z': 'z' }],
    ['app/deep', { q: 'q' }],
    ['empty', {}],
  ] as const) {
    mkdirSync(join(top, dir));
    sh(join(top, dir), 'init', '-q');
    write(join(top, dir), inner);
  }
  sh(join(top, 'app'), 'add', 'x.js');
  sh(join(top, 'app'), 'commit', '-q', '-m', 'by a generator');
  sh(top, 'clone', '-q', repo, 'clone');
  const { notes } = await save();
  expect((await changes(top, base)).files).toEqual(['app/deep/q', 'app/lib/y.js', 'app/x.js']);
  expect(notes.filter((note) => note.includes('clone'))).toHaveLength(1);
  // A link that the agent committed itself holds no files: they are put in its place.
  mkdirSync(join(top, 'linked'));
  sh(join(top, 'linked'), 'init', '-q');
  commit(join(top, 'linked'), { w: 'w' });
  sh(top, 'add', 'linked');
  sh(top, 'commit', '-q', '-m', 'gitlink');
  await save();
  expect((await changes(top, base)).files).toContain('linked/w');
});

test('a diff is cut at its limit and shows no colour, pager or prefix of the user', async () => {
  const { repo, top, base, save } = await started();
  sh(repo, 'config', 'color.ui', 'always');
  sh(repo, 'config', 'diff.noprefix', 'true');
  sh(repo, 'config', 'diff.external', 'false');
  write(top, { 'a.txt': 'ü'.repeat(5000) });
  await save();
  const whole = await diff(top, base, 1_000_000);
  expect(whole).toMatchObject({ truncated: false });
  expect(whole.text).toMatch(/^diff --git a\/a.txt b\/a.txt\n/);
  const cut = await diff(top, base, 501);
  expect(cut.truncated).toBe(true);
  expect(Buffer.byteLength(cut.text)).toBeLessThanOrEqual(501);
  expect(cut.text).not.toContain('\uFFFD');
});

test('a disk that is full is told by what git says of it, and is tried again', () => {
  const of = (stderr: string) =>
    failure('/r', ['worktree', 'add'], { code: 128, stdout: '', stderr, bytes: Buffer.alloc(0), cut: false });
  expect(of('error: unable to write file a.txt\nfatal: Could not reset index file to revision').kind).toBe('busy');
  expect(of('fatal: unable to create: No space left on device').kind).toBe('busy');
  expect(of('fatal: a branch named x already exists').kind).toBe('git_failed');
});
