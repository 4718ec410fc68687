// What a folder is to git: which repository, which branch, which commit a task starts from.
import { existsSync, lstatSync, readFileSync, realpathSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { failure, type Git, git, items } from './git.ts';
import { GitProblem } from './problem.ts';

/** A repository. `root` is the top of the checked-out tree, or the repository's own folder when it is bare. */
export interface Repo {
  kind: 'bare' | 'normal';
  root: string;
  /** The folder that all worktrees share: `.git` of the main tree. */
  commonDir: string;
  head: string | null;
  /** The short name of the checked-out branch; null when HEAD is detached. */
  branch: string | null;
}

export type Inspected = Repo | { kind: 'none'; root: null; commonDir: null; head: null; branch: null };

const NONE: Inspected = { kind: 'none', root: null, commonDir: null, head: null, branch: null };

/** Looks at any folder. A folder that is missing, in no repository, or inside `.git` is `none`. Throws `git_failed` when git refuses to look. */
export async function inspect(dir: string): Promise<Inspected> {
  if (!existsSync(dir) || !mayHoldRepo(realpathSync(dir))) return NONE;
  const repo = git(dir);
  const args = ['rev-parse', '--is-bare-repository'];
  // All in one process; where it fails at the last (a bare repository has no tree) or a path holds a line end, one by one.
  const all = await repo.ask([...args, '--path-format=absolute', '--git-common-dir', '--show-toplevel']);
  const lines = all?.split('\n') ?? [];
  let [bare, commonDir = null, root = null]: (string | null | undefined)[] = lines;
  if (lines.length !== 3) {
    const told = await repo.attempt(args);
    if (told.code !== 0) {
      if (told.stderr.includes('not a git repository')) return NONE;
      throw failure(dir, args, told);
    }
    bare = told.stdout.trim();
    commonDir = await repo.ask(['rev-parse', '--path-format=absolute', '--git-common-dir']);
    if (commonDir === null) return NONE;
    root = bare === 'true' ? commonDir : await repo.ask(['rev-parse', '--show-toplevel']);
  }
  const isBare = bare === 'true';
  if (!root || !commonDir) return NONE;
  return {
    kind: isBare ? 'bare' : 'normal',
    root: realpathSync(root),
    commonDir: realpathSync(commonDir),
    head: await repo.ask(['rev-parse', '--verify', '-q', 'HEAD^{commit}']),
    branch: await checkedOut(repo),
  };
}

/** Whether git could find a repository from here upwards: a `.git`, or the HEAD of a bare one. Where not, no process is spent on asking. */
function mayHoldRepo(dir: string): boolean {
  for (let at = dir; ; at = dirname(at)) {
    if (existsSync(join(at, '.git')) || existsSync(join(at, 'HEAD'))) return true;
    if (dirname(at) === at) return false;
  }
}

/** The short name of the branch that HEAD is on, or null. */
export async function checkedOut(repo: Git): Promise<string | null> {
  const ref = await repo.ask(['symbolic-ref', '-q', 'HEAD']);
  return ref?.startsWith('refs/heads/') ? ref.slice('refs/heads/'.length) : null;
}

/** Like inspect, but a folder in no repository throws `not_a_repo`. */
export async function openRepo(dir: string): Promise<Repo> {
  const repo = await inspect(dir);
  if (repo.kind === 'none')
    throw new GitProblem('not_a_repo', `${dir} is not in a git repository`, 'run "git init" there or set repo:');
  return repo;
}

/** The tracked files that differ from HEAD, staged or not; what lies inside submodules does not count. */
export async function dirtyFiles(root: string): Promise<string[]> {
  const args = ['status', '--porcelain=v1', '-z', '--no-renames', '--untracked-files=no', '--ignore-submodules=dirty'];
  return items(await git(root).run(args)).map((line) => line.slice(3));
}

/** Whether tracked files differ from HEAD. */
export async function isDirty(root: string): Promise<boolean> {
  return (await dirtyFiles(root)).length > 0;
}

/** The operation that was begun in a tree and not ended, or null. */
export type Operation = 'merge' | 'rebase' | 'am' | 'cherry-pick' | 'revert';

export async function operation(dir: string): Promise<Operation | null> {
  const gitDir = await gitDirOf(dir);
  const has = (name: string) => existsSync(join(gitDir, name));
  if (has('rebase-merge')) return 'rebase';
  if (has('rebase-apply')) return has('rebase-apply/applying') ? 'am' : 'rebase';
  if (has('MERGE_HEAD')) return 'merge';
  if (has('CHERRY_PICK_HEAD')) return 'cherry-pick';
  if (has('REVERT_HEAD')) return 'revert';
  return null;
}

/** The private git folder of a tree: `.git`, or `.git/worktrees/<name>`. */
export async function gitDirOf(dir: string): Promise<string> {
  const link = join(dir, '.git');
  // At the top of a linked worktree `.git` is a file that names it: no process is needed to read that.
  if (lstatSync(link, { throwIfNoEntry: false })?.isFile()) {
    const named = /^gitdir: ([^\n]+)\n?$/.exec(readFileSync(link, 'utf8'))?.[1];
    const found = named && resolve(dir, named);
    if (found && existsSync(join(found, 'HEAD'))) return realpathSync(found);
  }
  return (await git(dir).run(['rev-parse', '--absolute-git-dir'])).replace(/\n$/, '');
}

export interface Base {
  /** What the base is called: a branch, the name that was given, or a commit. */
  name: string;
  /** The local branch, when the base is one: only then can a result be merged back. */
  branch: string | null;
  sha: string;
}

/**
 * The commit that work starts from: `base` (a local branch, else a branch of origin, else a tag or commit), by default the
 * checked-out branch, or HEAD's commit when it is detached. Throws `no_commit`, `base_missing`.
 */
export async function resolveBase(repo: Repo, base?: string): Promise<Base> {
  const run = git(repo.root);
  if (base === undefined || base === '') {
    if (repo.head) return { name: repo.branch ?? repo.head, branch: repo.branch, sha: repo.head };
    throw new GitProblem('no_commit', `the repository ${repo.root} has no commit yet`, 'make a first commit');
  }
  if (!base.startsWith('-')) {
    for (const ref of [`refs/heads/${base}`, `refs/remotes/origin/${base}`, base]) {
      const sha = await run.ask(['rev-parse', '--verify', '-q', `${ref}^{commit}`]);
      if (sha) return { name: base, branch: ref === `refs/heads/${base}` ? base : null, sha };
    }
  }
  if (!repo.head && !(await run.ask(['rev-list', '--all', '--max-count=1'])))
    throw new GitProblem('no_commit', `the repository ${repo.root} has no commit yet`, 'make a first commit');
  throw new GitProblem('base_missing', `the base "${base}" is not in ${repo.root}`, 'name a branch that exists');
}

/** Whether a local branch of that name exists; false where there is no repository. */
export async function branchExists(dir: string, branch: string): Promise<boolean> {
  return existsSync(dir) && git(dir).test(['show-ref', '--verify', '-q', '--', `refs/heads/${branch}`]);
}
