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
}

export type Inspected = Repo | { kind: 'none'; root: null; commonDir: null };

const NONE: Inspected = { kind: 'none', root: null, commonDir: null };

/** What was found out, by folder, and the files that it stands on as they were then: a task asks a dozen times. */
const known = new Map<string, { repo: Repo; files: string[]; stamp: string }>();
const KNOWN = 200;

const stampOf = (files: string[]): string =>
  files
    .map((path) => {
      const at = lstatSync(path, { bigint: true, throwIfNoEntry: false });
      // A folder's own times change with every commit.
      return at ? `${at.dev} ${at.ino} ${at.isDirectory() ? '' : at.ctimeNs}` : '';
    })
    .join('|');

/** Looks at any folder. A folder that is missing, in no repository, or inside `.git` is `none`. Throws `git_failed` when git refuses to look. */
export async function inspect(dir: string): Promise<Inspected> {
  const real = existsSync(dir) ? realpathSync(dir) : null;
  const mark = real && repoMark(real);
  if (!mark) return NONE;
  const earlier = known.get(real);
  if (earlier?.files[0] === mark && earlier.stamp === stampOf(earlier.files)) return earlier.repo;
  known.delete(real);
  const found = await ask(real);
  if (!found) return NONE;
  const { gitDir, ...repo } = found;
  const files = [mark, join(repo.commonDir, 'config'), join(gitDir, 'config.worktree')];
  known.set(real, { repo, files, stamp: stampOf(files) });
  for (const oldest of known.keys()) if (known.size > KNOWN) known.delete(oldest);
  return repo;
}

async function ask(dir: string): Promise<(Repo & { gitDir: string }) | null> {
  const repo = git(dir);
  const args = ['rev-parse', '--is-bare-repository'];
  // All in one process; where it fails at the last (a bare repository has no tree) or a path holds a line end, one by one.
  const dirs = ['--path-format=absolute', '--git-common-dir', '--absolute-git-dir'];
  const lines = (await repo.ask([...args, ...dirs, '--show-toplevel']))?.split('\n') ?? [];
  let [bare, commonDir = null, gitDir = null, root = null]: (string | null | undefined)[] = lines;
  if (lines.length !== 4) {
    const told = await repo.attempt(args);
    if (told.code !== 0) {
      if (told.stderr.includes('not a git repository')) return null;
      throw failure(dir, args, told);
    }
    bare = told.stdout.trim();
    commonDir = await repo.ask(['rev-parse', '--path-format=absolute', '--git-common-dir']);
    gitDir = await repo.ask(['rev-parse', '--absolute-git-dir']);
    root = bare === 'true' ? commonDir : await repo.ask(['rev-parse', '--show-toplevel']);
  }
  if (!root || !commonDir || !gitDir) return null;
  const kind = bare === 'true' ? 'bare' : 'normal';
  return { kind, root: realpathSync(root), commonDir: realpathSync(commonDir), gitDir };
}

/** What git would find a repository by from here upwards: a `.git`, or the HEAD of a bare one. Null: no process is spent on asking. */
function repoMark(dir: string): string | null {
  for (let at = dir; ; at = dirname(at)) {
    const found = ['.git', 'HEAD'].map((name) => join(at, name)).find((path) => existsSync(path));
    if (found) return found;
    if (dirname(at) === at) return null;
  }
}

/** What HEAD is in a repository or worktree. */
export interface Head {
  /** Null where there is no commit yet. */
  sha: string | null;
  /** The short name of the checked-out branch; null when HEAD is detached. */
  branch: string | null;
}

export async function headOf(dir: string): Promise<Head> {
  const repo = git(dir);
  const [sha, ref] =
    (await repo.ask(['rev-parse', 'HEAD^{commit}', '--symbolic-full-name', 'HEAD']))?.split('\n') ?? [];
  // Without a commit git says nothing of the branch.
  if (!sha || !ref) return { sha: null, branch: await checkedOut(repo) };
  return { sha, branch: shortName(ref) };
}

const shortName = (ref: string): string | null =>
  ref.startsWith('refs/heads/') ? ref.slice('refs/heads/'.length) : null;

/** The short name of the branch that HEAD is on, or null. */
export async function checkedOut(repo: Git): Promise<string | null> {
  const ref = await repo.ask(['symbolic-ref', '-q', 'HEAD']);
  return ref === null ? null : shortName(ref);
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
  // At the top of a tree it is `.git`, or that is a file that names it: no process is needed to read that.
  const at = lstatSync(link, { throwIfNoEntry: false });
  const named = at?.isFile()
    ? /^gitdir: ([^\n]+)\n?$/.exec(readFileSync(link, 'utf8'))?.[1]
    : at?.isDirectory() && '.git';
  const found = named && resolve(dir, named);
  if (found && existsSync(join(found, 'HEAD'))) return realpathSync(found);
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
    const { sha, branch } = await headOf(repo.root);
    if (sha) return { name: branch ?? sha, branch, sha };
    throw new GitProblem('no_commit', `the repository ${repo.root} has no commit yet`, 'make a first commit');
  }
  if (!base.startsWith('-')) {
    for (const ref of [`refs/heads/${base}`, `refs/remotes/origin/${base}`, base]) {
      const sha = await run.ask(['rev-parse', '--verify', '-q', `${ref}^{commit}`]);
      if (sha) return { name: base, branch: ref === `refs/heads/${base}` ? base : null, sha };
    }
  }
  if (!(await run.ask(['rev-list', '--all', '--max-count=1'])))
    throw new GitProblem('no_commit', `the repository ${repo.root} has no commit yet`, 'make a first commit');
  throw new GitProblem('base_missing', `the base "${base}" is not in ${repo.root}`, 'name a branch that exists');
}

/** Whether a local branch of that name exists; false where there is no repository. */
export async function branchExists(dir: string, branch: string): Promise<boolean> {
  return existsSync(dir) && git(dir).test(['show-ref', '--verify', '-q', '--', `refs/heads/${branch}`]);
}
