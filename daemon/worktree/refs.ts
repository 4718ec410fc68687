// The names of the refs that Towpath makes: a task's branch, where its work began, what was salvaged.
import { type Git, git } from './git.ts';
import { GitProblem } from './problem.ts';

/** An id as one part of a ref: what ids may hold and refs may not (`..`, a dot or `.lock` at the end) is escaped. */
export function refPart(id: string): string {
  return id.replace(/\.(?=\.|$|lock$)/g, '%2E');
}

/** The branch of a task: `towpath/<id>`. */
export function branchOf(id: string): string {
  return `towpath/${refPart(id)}`;
}

/** Where the uncommitted work of one attempt is kept. */
export function salvageRef(id: string, attempt: number | string): string {
  return `refs/towpath/salvage/${refPart(id)}/${attempt}`;
}

/** Marks the commit that a task's agent began from: written last, so a branch without it was never handed to an agent. */
export function startRef(branch: string): string {
  return `refs/towpath/start/${branch}`;
}

/** Deletes a task's branch and where it began; one that is gone is no matter. Its worktree must be gone. */
export async function dropBranch(repo: string, branch: string): Promise<void> {
  for (const ref of [`refs/heads/${branch}`, startRef(branch)])
    if (await shaOf(git(repo), ref)) await git(repo).run(['update-ref', '-d', ref]);
}

/** The commit of a full ref, or null. */
export function shaOf(repo: Git, ref: string): Promise<string | null> {
  return repo.ask(['rev-parse', '--verify', '-q', `${ref}^{commit}`]);
}

/** Throws `bad_branch` unless git takes the name for a branch. */
export async function checkBranch(root: string, branch: string): Promise<void> {
  // The usual name needs no asking.
  if (/^towpath\/[A-Za-z0-9][A-Za-z0-9_-]*$/.test(branch)) return;
  const fine = !branch.startsWith('-') && (await git(root).test(['check-ref-format', `refs/heads/${branch}`]));
  if (!fine) throw new GitProblem('bad_branch', `"${branch}" cannot be the name of a branch`, 'choose another task id');
}
