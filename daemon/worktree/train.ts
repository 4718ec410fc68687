// A worktree of the train's own, in which accepted branches are put on top of the base, one on the other.
import { mkdirSync, readdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { exclusive, failure, type Git, git } from './git.ts';
import { copyIncluded } from './include.ts';
import { GitProblem } from './problem.ts';
import {
  canonical,
  discard,
  emptyTrash,
  forget,
  isAbsent,
  isLinked,
  isThere,
  isWorktreeOf,
  registered,
  repair,
} from './registry.ts';
import { inspect, openRepo } from './repo.ts';
import { fillSubmodules } from './submodules.ts';
import { unmerged } from './unfinished.ts';
import { keepOutOfGit } from './worktree.ts';

const QUIET = ['-q', '--no-verify'];
/** What a user's settings could change about a rebase. */
const PLAIN_REBASE = [
  'updateRefs=false',
  'autoSquash=false',
  'autoStash=false',
  'rebaseMerges=false',
  'forkPoint=false',
];

/** Makes the train's worktree at a commit, on no branch; one that a kill left there is thrown away first. Returns warnings. */
export async function openTrain(dir: string, at: string, repoDir: string): Promise<string[]> {
  const repo = await openRepo(repoDir);
  return exclusive(repo.commonDir, async () => {
    mkdirSync(dirname(dir), { recursive: true });
    await keepOutOfGit(dirname(canonical(dir)));
    await remove(repo, canonical(dir));
    await git(repo.root).run(['worktree', 'add', '--detach', canonical(dir), at]);
    return repo.kind === 'normal' ? copyIncluded(repo.root, canonical(dir)) : [];
  });
}

/** Removes the train's worktree: nothing in it is anybody's work. */
export async function closeTrain(dir: string, repoDir: string): Promise<void> {
  const repo = await openRepo(repoDir);
  await exclusive(repo.commonDir, () => remove(repo, canonical(dir)));
}

async function remove(repo: Awaited<ReturnType<typeof openRepo>>, dir: string): Promise<void> {
  await emptyTrash(dir);
  if (isAbsent(dir)) return forget(repo, dir);
  if (!(await isWorktreeOf(repo, dir)) && !(await registered(repo, dir)))
    throw new GitProblem('path_in_way', `${dir} exists and is no worktree of ${repo.root}`, 'move it away');
  await discard(repo, dir);
}

/** Brings the train's worktree to a commit, whatever checks left in it; what git ignores stays. */
export async function standAt(dir: string, commit: string): Promise<void> {
  const run = git(dir);
  await run.run(['checkout', '-q', '-f', '--detach', commit, '--']);
  await run.run(['clean', '-q', '-fd']);
}

/** The same for who looks at its files: with the submodules that the commit names. Returns warnings. */
export async function standWhole(dir: string, commit: string, repoDir: string): Promise<string[]> {
  const repo = await openRepo(repoDir);
  if (!isLinked(dir)) await repair(repo, dir);
  if (!isLinked(dir))
    throw new GitProblem(
      'git_failed',
      `${dir} is not linked to ${repo.root} any more`,
      'look for what removes its .git',
    );
  await standAt(dir, commit);
  return fillSubmodules(dir, repo.commonDir, true);
}

/** The new top where a commit needs no work to be on top of another one: it left from there, or is in it already. Else null. */
export async function fits(repoDir: string, top: string, commit: string): Promise<string | null> {
  const run = git(repoDir);
  if (await isIn(run, top, commit)) return commit;
  return (await isIn(run, commit, top)) ? top : null;
}

/**
 * Puts the work of a commit on top of another one that it does not fit as it is: rebased, or by a merge where it holds merges
 * itself, or where single commits of it conflict. Returns the new top, or the files that conflict.
 */
export async function couple(
  dir: string,
  top: string,
  commit: string,
  message: string,
): Promise<{ top: string } | { files: string[] }> {
  const run = git(dir);
  const merges = (await run.run(['rev-list', '--merges', '--max-count=1', `${top}..${commit}`])).trim() !== '';
  return (merges ? null : await rebased(run, top, commit)) ?? merged(run, top, commit, message);
}

export const isIn = (run: Git, commit: string, tip: string): Promise<boolean> =>
  run.test(['merge-base', '--is-ancestor', commit, tip]);

async function rebased(run: Git, top: string, commit: string): Promise<{ top: string } | null> {
  await standAt(run.dir, commit);
  const config = PLAIN_REBASE.map((one) => `rebase.${one}`);
  const done = await run.attempt(['rebase', ...QUIET, '--no-stat', '--empty=drop', top], { config });
  if (done.code === 0) return { top: (await run.run(['rev-parse', '--verify', 'HEAD'])).trim() };
  await run.attempt(['rebase', '--abort']);
  if (done.code < 0) throw failure(run.dir, ['rebase'], done);
  return null;
}

async function merged(
  run: Git,
  top: string,
  commit: string,
  message: string,
): Promise<{ top: string } | { files: string[] }> {
  await standAt(run.dir, top);
  const args = [
    'merge',
    ...QUIET,
    '--no-edit',
    '--no-verify-signatures',
    '--no-stat',
    '--no-ff',
    '-m',
    message,
    commit,
  ];
  const done = await run.attempt(args);
  if (done.code === 0) return { top: (await run.run(['rev-parse', '--verify', 'HEAD'])).trim() };
  const files = await unmerged(run.dir);
  await run.attempt(['merge', '--abort']);
  if (files.length === 0) throw failure(run.dir, args, done);
  return { files };
}

/** The newest commits between two that touch some files, a line each. */
export async function touching(repoDir: string, from: string, to: string, files: string[]): Promise<string[]> {
  const fork = (await git(repoDir).ask(['merge-base', from, to])) ?? from;
  const args = ['log', '--no-decorate', '--format=%h %s', '--max-count=10', `${fork}..${to}`, '--', ...files];
  return ((await git(repoDir).ask(args)) ?? '').split('\n').filter(Boolean);
}

export const trainName = (key: string): string => `train-${key}`;

/** Removes what trains that were killed have left in a folder of worktrees; none may run meanwhile. */
export async function sweepTrains(folder: string): Promise<void> {
  for (const name of isThere(folder) ? readdirSync(folder) : []) {
    const own = /^(?:\.trash-)?(train-[0-9a-f]{12})(?:-\d+-\d+)?$/.exec(name)?.[1];
    if (!own) continue;
    const repo = await inspect(join(folder, name));
    const dir = canonical(join(folder, own));
    // Not from within: it is moved away. What its repository no longer knows are mere files.
    if (repo.kind === 'normal' && repo.root === canonical(join(folder, name)))
      await remove({ ...repo, root: repo.commonDir }, dir);
    else await emptyTrash(dir);
  }
}
