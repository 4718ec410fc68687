// What can be cleaned outside the branch of a task: ignored leftovers and empty folders of the own tree, and merged branches.
import { readdirSync } from 'node:fs';
import { basename, join } from 'node:path';
import { entries, git } from '../kit.ts';

/** What a build or a test run makes again. */
const BUILT =
  /^(dist|build|out|target|coverage|htmlcov|\.nyc_output|\.next|\.nuxt|\.svelte-kit|\.turbo|\.parcel-cache|\.cache|__pycache__|\.pytest_cache|\.mypy_cache|\.ruff_cache|\.tox|\.coverage|\.DS_Store|Thumbs\.db|.+\.(pyc|pyo|tsbuildinfo|egg-info|orig|rej|swp))$/;
/** What is never removed, whatever is listed. */
const OURS = /^(\.git|\.towpath|\.worktrees|queues)$/;
/** Folders whose inside is somebody else's. */
const FOREIGN = /^(\.git|\.towpath|\.worktrees|queues|node_modules|\.venv|venv)$/;

/** Ignored files and folders, and nothing that is tracked or that might be: relative to the tree. */
export function ignoredLeftovers(repo: string, listed: readonly string[]): string[] {
  const all = entries(git(repo, 'ls-files', '-z', '--others', '--ignored', '--exclude-standard', '--directory'));
  return all
    .map((path) => path.replace(/\/$/, ''))
    .filter(
      (path) =>
        !path
          .split('/')
          .slice(0, -1)
          .some((part) => FOREIGN.test(part)),
    )
    .filter((path) => !path.split('/').some((part) => OURS.test(part)))
    .filter((path) => listed.includes(basename(path)) || (BUILT.test(basename(path)) && !FOREIGN.test(basename(path))))
    .sort();
}

/** The topmost folders that hold no file at all. */
export function emptyFolders(repo: string): string[] {
  const found: string[] = [];
  const isEmpty = (path: string): boolean => {
    const inside = readdirSync(join(repo, path), { withFileTypes: true });
    const folders = inside.filter((one) => one.isDirectory());
    const foreign = folders.some(({ name }) => FOREIGN.test(name));
    const empty = folders.filter(({ name }) => !FOREIGN.test(name)).filter(({ name }) => isEmpty(join(path, name)));
    if (inside.length === folders.length && !foreign && empty.length === folders.length) return true;
    found.push(...empty.map(({ name }) => join(path, name)));
    return false;
  };
  // The folders of a workspace are there to be empty.
  const own = new Set(['hooks', 'roles', 'workflows', 'patterns', 'schedules', 'skills']);
  isEmpty('.');
  return found.filter((path) => !own.has(path)).sort();
}

/** Branches of tasks whose commits are all in the base, that no worktree has checked out. */
export function mergedBranches(repo: string, base = 'HEAD', own: string | null): { ref: string; sha: string }[] {
  const into = git(repo, 'rev-parse', '--verify', '--end-of-options', `${base}^{commit}`).trim();
  const format = '%(refname) %(objectname) %(worktreepath)';
  const rows = git(repo, 'for-each-ref', `--format=${format}`, `--merged=${into}`, 'refs/heads/towpath/').split('\n');
  return rows.flatMap((row) => {
    const [ref, sha, checkedOut] = row.split(' ');
    return ref && sha && !checkedOut && ref !== `refs/heads/${own}` ? [{ ref, sha }] : [];
  });
}
