// Moves a base branch forward to what was merged and checked, together with the tree that has it checked out.
import { exclusive, type Git, git, items } from './git.ts';
import { clearLocks } from './lock.ts';
import { entries } from './objects.ts';
import { GitProblem, nameFiles } from './problem.ts';
import { putIndex, putTree } from './put.ts';
import { shaOf } from './refs.ts';
import { isAbsent, worktrees } from './registry.ts';
import { openRepo, operation, type Repo } from './repo.ts';
import { isIn } from './train.ts';

/** The commit that a base branch is at. Throws `base_missing`. */
export async function tipOf(repoDir: string, branch: string): Promise<string> {
  const { root } = await openRepo(repoDir);
  const tip = await shaOf(git(root), `refs/heads/${branch}`);
  if (tip) return tip;
  throw new GitProblem(
    'base_missing',
    `there is no branch ${branch} in ${root} to merge into`,
    'make it again, or name another base',
  );
}

/**
 * Moves `branch` from one commit to a later one, unless it is elsewhere by now: `moved`. Where it is checked out the files go
 * along, or nothing happens at all: changed ones that are in the way throw `dirty`. May be done again after a kill at any point.
 */
export async function advance(repoDir: string, branch: string, from: string, to: string): Promise<'done' | 'moved'> {
  const repo = await openRepo(repoDir);
  return exclusive(repo.commonDir, async () => {
    const run = git(repo.root);
    const tip = await tipOf(repoDir, branch);
    const tree = await treeOn(repo, branch);
    if (await isIn(run, to, tip)) {
      // Killed between ref and files: finish, unless the user has gone on with those files.
      if (tree && tip === to && tip !== from) await finish(tree, from, to);
      return 'done';
    }
    if (tip !== from) return 'moved';
    if (tree) await putFiles(tree, branch, from, to);
    const moved = await run.attempt(['update-ref', '-m', 'towpath: merged', `refs/heads/${branch}`, to, from]);
    if (moved.code !== 0) {
      if (tree) await putTree(tree, to, from).catch(ignoreConflict);
      if ((await tipOf(repoDir, branch)) !== from) return 'moved';
      const said = moved.stderr.trim().split('\n').at(-1) ?? '';
      throw new GitProblem('git_failed', `git does not let ${branch} in ${repo.root} be moved: ${said}`);
    }
    if (tree) await putIndex(tree, from, to);
    return 'done';
  });
}

/** The tree that has a branch checked out, or null. */
async function treeOn(repo: Repo, branch: string): Promise<string | null> {
  const found = (await worktrees(repo)).find((one) => one.branch === branch);
  return found && !isAbsent(found.path) ? found.path : null;
}

async function putFiles(tree: string, branch: string, from: string, to: string): Promise<void> {
  const why = `${branch} is checked out in ${tree}, where`;
  const next = 'commit them or put them aside';
  await clearLocks(tree, { ours: false, branch });
  const begun = await operation(tree);
  if (begun) throw new GitProblem('dirty', `${why} a ${begun} is under way`, 'finish or abort it');
  const staged = await stagedOf(git(tree), from, to);
  if (staged.length > 0) throw new GitProblem('dirty', `${why} ${nameFiles(staged)} is staged`, next, staged);
  await putTree(tree, from, to).catch(async (thrown: unknown) => {
    if (!(thrown instanceof GitProblem && thrown.kind === 'conflict')) {
      // A filter of the user's failed amid the files: what is written already goes back.
      await putTree(tree, to, from).catch(() => {});
      throw thrown;
    }
    throw new GitProblem(
      'dirty',
      `${why} changed files are in the way (${nameFiles(thrown.files)})`,
      next,
      thrown.files,
    );
  });
}

/** The files to be changed that somebody has staged a change of: the merge would take it out of the index. */
async function stagedOf(run: Git, from: string, to: string): Promise<string[]> {
  const staged = items(await run.run(['diff-index', '--cached', '-z', '--name-only', '--no-renames', from, '--']));
  if (staged.length === 0) return [];
  const touched = new Set((await entries(run, from, to)).map(({ path }) => path));
  return staged.filter((path) => touched.has(path));
}

async function finish(tree: string, from: string, to: string): Promise<void> {
  await putTree(tree, from, to).catch(ignoreConflict);
  await putIndex(tree, from, to);
}

function ignoreConflict(thrown: unknown): void {
  if (!(thrown instanceof GitProblem && thrown.kind === 'conflict')) throw thrown;
}

/**
 * Lets go of a branch whose work is merged as `merged`: commits that are not in there as they are stay on `keep`. One that was
 * moved since stays. May be done again.
 */
export async function dropMerged(
  repoDir: string,
  { branch, commit, merged, keep }: { branch: string; commit: string; merged: string; keep: string },
): Promise<boolean> {
  const repo = await openRepo(repoDir);
  return exclusive(repo.commonDir, async () => {
    const run = git(repo.root);
    const tip = await shaOf(run, `refs/heads/${branch}`);
    if (tip === null) return true;
    if (tip !== commit || (await treeOn(repo, branch)) !== null) return false;
    if (!(await isIn(run, commit, merged))) await run.run(['update-ref', keep, commit]);
    return run.test(['update-ref', '-d', `refs/heads/${branch}`, commit]);
  });
}
