// A task's own worktree and branch: made, or found again and mended after whatever stopped an earlier run.
import { lstatSync, mkdirSync, unlinkSync, writeFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { errno } from '../errors.ts';
import { exclusive, failure, git, items } from './git.ts';
import { copyIncluded } from './include.ts';
import { clearLocks } from './lock.ts';
import { GitProblem, nameFiles } from './problem.ts';
import { checkBranch, salvageRef, shaOf, startRef } from './refs.ts';
import {
  canonical,
  emptyTrash,
  forget,
  isAbsent,
  isLinked,
  isThere,
  isWorktreeOf,
  registered,
  repair,
  worktrees,
} from './registry.ts';
import { inspect, openRepo, type Repo, resolveBase } from './repo.ts';
import { salvage } from './salvage.ts';
import { fillSubmodules } from './submodules.ts';
import { relink, withIndexMended } from './torn.ts';
import { unmerged } from './unfinished.ts';

export interface WorktreeRequest {
  /** Any folder of the repository. */
  repo: string;
  /** Where the worktree shall be: absolute. */
  dir: string;
  branch: string;
  /** See resolveBase. */
  base?: string;
  /** An earlier run of this very task made (or began to make) branch and worktree. */
  ours: boolean;
  /** Branches (or whole commit ids) whose work must be in it; one that is merged already costs nothing. */
  dependencies: string[];
  /** They may have gone on since: what is new in them is merged again. */
  again?: boolean;
}

export interface Prepared {
  worktree: string;
  branch: string;
  /** The commit of the base that the branch left from. */
  base: string;
  /** What the base is called, and the commit that it is at now. */
  onto: { name: string; tip: string };
  /** The commit that the agent first begins on: the base with the dependencies merged in. What it changes is measured from here. */
  head: string;
  /** The files were made now: set it up. */
  fresh: boolean;
  /** The dependency branches that were merged now. */
  merged: string[];
  warnings: string[];
}

/**
 * Makes or mends the worktree of a task; doing it again, also after a kill at any point, leads to the same. What an agent left in
 * it (uncommitted files, a half-done merge) stays. Throws `not_a_repo`, `no_commit`, `base_missing`, `bad_branch`,
 * `branch_exists`, `path_in_way`, `conflict` (of dependencies, with the files), `busy`, `git_failed`.
 */
export async function prepareWorktree(request: WorktreeRequest): Promise<Prepared> {
  const repo = await openRepo(request.repo);
  return exclusive(repo.commonDir, async () => {
    const { branch, ours } = request;
    await checkBranch(repo.root, branch);
    const base = await resolveBase(repo, request.base);
    mkdirSync(dirname(request.dir), { recursive: true });
    const dir = canonical(request.dir);
    await keepOutOfGit(dirname(dir));
    await emptyTrash(dir);
    if (repo.kind === 'normal') await clearLocks(repo.root, { ours: false, branch });
    const tip = await shaOf(git(repo.root), `refs/heads/${branch}`);
    // The mark is written last: a branch without it was never handed to an agent.
    const begun = ours && tip ? await shaOf(git(repo.root), startRef(branch)) : null;
    const found = await place(repo, dir, branch, ours, tip !== null);
    if (found) await withIndexMended(dir, () => mend(repo, dir, branch, begun === null ? base.sha : null));
    else await create(repo, dir, branch, tip, base.sha);
    const fresh = !found || begun === null;
    const warnings: string[] = [];
    if (fresh) {
      warnings.push(...(await fillSubmodules(dir, repo.commonDir)));
      if (repo.kind === 'normal') warnings.push(...(await copyIncluded(repo.root, dir)));
    }
    const merged: string[] = [];
    for (const name of begun && !request.again ? [] : request.dependencies) {
      const done = await mergeDependency(dir, name);
      if (done === null) warnings.push(`the branch ${name} of a dependency does not exist: its work is not included`);
      else if (done) merged.push(name);
    }
    // Left where they were they would be committed as a step back.
    if (merged.length > 0) warnings.push(...(await fillSubmodules(dir, repo.commonDir)));
    // A branch that was made here and now is where the base is.
    const untouched = !found && tip === null && merged.length === 0;
    const head =
      begun ?? (untouched ? base.sha : (await git(dir).run(['rev-parse', '--verify', 'HEAD^{commit}'])).trim());
    if (!begun) await git(dir).run(['update-ref', startRef(branch), head]);
    const fork = head === base.sha ? head : await git(dir).ask(['merge-base', base.sha, head]);
    const onto = { name: base.name, tip: base.sha };
    return { worktree: dir, branch, base: fork ?? base.sha, onto, head, fresh, merged, warnings };
  });
}

/**
 * After an agent, or a command that one has named: it may have removed its worktree or the `.git` in it, and git would take what lies above for it. Whether it had to be
 * made or linked anew. Throws as prepareWorktree does.
 */
export async function regainWorktree(repo: string, dir: string, branch: string): Promise<boolean> {
  if (await isWorktreeOf(await openRepo(repo), dir)) return false;
  await prepareWorktree({ repo, dir, branch, ours: true, dependencies: [] });
  return true;
}

/**
 * Makes sure that a finished task's worktree holds the commit that it ended with: after a power cut its files, its index or
 * git's notes of it may be cut off. What was changed in it since is salvaged, and so is what was committed on top: on the ref that is
 * returned. Throws as prepareWorktree does.
 */
export async function restoreWorktree(
  repo: string,
  dir: string,
  branch: string,
  commit?: string,
): Promise<string | null> {
  const run = git(dir);
  const head = isAbsent(dir) || !isLinked(dir) ? null : await run.ask(['rev-parse', '--verify', '-q', 'HEAD^{commit}']);
  if (head !== null && (commit === undefined || head === commit)) return null;
  await prepareWorktree({ repo, dir, branch, ours: true, dependencies: [] });
  if (commit === undefined) return null;
  await salvage(dir, basename(dir), 'restored');
  const on = await shaOf(run, 'HEAD');
  let kept: string | null = null;
  // The branch is moved away from it, and nothing else may hold it.
  if (on && !(await run.test(['merge-base', '--is-ancestor', on, commit]))) {
    kept = salvageRef(basename(dir), `restored-${on.slice(0, 12)}`);
    await run.run(['update-ref', kept, on]);
  }
  // Another branch that somebody is on there is not ours to move.
  await run.run(['symbolic-ref', 'HEAD', `refs/heads/${branch}`]);
  await run.run(['reset', '-q', '--hard', commit]);
  return kept;
}

/** Whether the worktree is there to be used again; clears the way for a new one, or says what is in it. */
async function place(repo: Repo, dir: string, branch: string, ours: boolean, exists: boolean): Promise<boolean> {
  if (exists && !ours)
    throw new GitProblem(
      'branch_exists',
      `the branch ${branch} exists in ${repo.root}`,
      'rename or delete it, or give the task another id',
    );
  const all = await worktrees(repo);
  if (isAbsent(dir)) await forget(repo, dir, all);
  else {
    if (ours && !(await isWorktreeOf(repo, dir))) await repair(repo, dir);
    if (ours && !(await isWorktreeOf(repo, dir))) await relink(repo, dir, branch);
    if (ours && (await isWorktreeOf(repo, dir))) return true;
    throw new GitProblem('path_in_way', `${dir} exists and is not this task's worktree`, 'move it away');
  }
  const holder = all.find((one) => one.branch === branch && canonical(one.path) !== dir);
  if (!holder) return false;
  if (isAbsent(holder.path)) await forget(repo, holder.path, all);
  else
    throw new GitProblem(
      'branch_exists',
      `the branch ${branch} is checked out in ${holder.path}`,
      'switch to another branch there',
    );
  return false;
}

async function create(repo: Repo, dir: string, branch: string, tip: string | null, base: string): Promise<void> {
  const run = git(repo.root);
  const args = ['worktree', 'add', '--no-track', ...(tip ? [dir, branch] : ['-b', branch, dir, base])];
  // Without a new branch there is nothing to track, and git refuses the option.
  const made = await run.attempt(tip ? args.filter((arg) => arg !== '--no-track') : args);
  if (made.code === 0) return;
  // Git takes its folder back after a failure, but not the branch: it would be in the way of the next try.
  if (!tip) await run.attempt(['update-ref', '-d', `refs/heads/${branch}`, base]);
  throw failure(repo.root, args, made);
}

/** Makes an existing worktree usable. One that no agent had yet was half made: it is reset to the tip, or `base`, and what is odd in it saved first. */
async function mend(repo: Repo, dir: string, branch: string, base: string | null): Promise<void> {
  const run = git(dir);
  const locked = (await registered(repo, dir))?.locked;
  // Git's own mark while it makes one; a power cut may leave the mark without its word.
  if (locked === 'initializing' || (locked === '' && base !== null)) await run.run(['worktree', 'unlock', dir]);
  await clearLocks(dir, { ours: true, branch });
  if (base === null) return;
  const ref = `refs/heads/${branch}`;
  if (!(await shaOf(run, ref))) await makeRef(repo, ref, base);
  await run.run(['symbolic-ref', 'HEAD', ref]);
  await run.run(['reset', '-q']);
  const state = items(await run.run(['status', '--porcelain=v1', '-z', '--no-renames', '--untracked-files=all']));
  if (state.length === 0) return;
  // Files that a cut-off checkout has not written yet are no loss; all else is kept before it is thrown away.
  if (state.some((line) => !line.startsWith(' D'))) await salvage(dir, basename(dir), 'half-made');
  await run.run(['reset', '-q', '--hard']);
  await run.run(['clean', '-q', '-fd']);
}

/** A branch that was never handed to an agent and is gone, or was left empty by a power cut. */
async function makeRef(repo: Repo, ref: string, sha: string): Promise<void> {
  const path = join(repo.commonDir, ref);
  if (isThere(path) && lstatSync(path).size < sha.length) unlinkSync(path);
  await git(repo.root).run(['update-ref', ref, sha, '']);
}

/** Merges a branch into a worktree: true when it was, false when it was in already, null when there is no such branch. */
async function mergeDependency(dir: string, name: string): Promise<boolean | null> {
  const run = git(dir);
  const sha = await shaOf(run, /^([0-9a-f]{40}|[0-9a-f]{64})$/.test(name) ? name : `refs/heads/${name}`);
  if (!sha) return null;
  if (await run.test(['merge-base', '--is-ancestor', sha, 'HEAD'])) return false;
  const options = ['-q', '--no-edit', '--no-verify', '--no-verify-signatures', '--no-stat', '--ff'];
  const args = ['merge', ...options, '-m', `Merge branch '${name}'`, sha];
  const result = await run.attempt(args);
  if (result.code === 0) return true;
  const files = await unmerged(dir);
  await run.attempt(['merge', '--abort']);
  if (files.length === 0) throw failure(dir, args, result);
  throw new GitProblem(
    'conflict',
    `the dependency ${name} conflicts in ${nameFiles(files)}`,
    'merge the dependencies into the base first',
    files,
  );
}

/** Keeps a folder of worktrees that lies in a repository out of that repository. */
export async function keepOutOfGit(folder: string): Promise<void> {
  const outer = await inspect(folder);
  if (outer.kind !== 'normal' || outer.root === folder) return;
  if (isThere(join(folder, '.gitignore')) || !lstatSync(folder).isDirectory()) return;
  // A folder of the user's own with tracked files in it must not vanish from their status.
  if ((await git(folder).run(['ls-files', '-z', '--', '.'])) !== '') return;
  try {
    writeFileSync(join(folder, '.gitignore'), '*\n', { flag: 'wx' });
  } catch (error) {
    if (errno(error) !== 'EEXIST') throw error;
  }
}
