// A task begins anew: its worktree and branch are taken away once all that was in them is on a salvage ref.
import { git } from './git.ts';
import { GitProblem } from './problem.ts';
import { dropBranch, salvageRef, shaOf } from './refs.ts';
import { isAbsent, worktrees } from './registry.ts';
import { openRepo } from './repo.ts';
import { removeWorktree } from './salvage.ts';

/** May be done again, also after a kill at any point. Throws `branch_exists` where somebody else works on it, and as removeWorktree does. */
export async function setAside(options: Parameters<typeof removeWorktree>[0]): Promise<void> {
  const { branch, id, attempt } = options;
  await removeWorktree(options);
  const repo = await openRepo(options.repo);
  const holder = (await worktrees(repo)).find((one) => one.branch === branch && !isAbsent(one.path));
  if (holder)
    throw new GitProblem(
      'branch_exists',
      `the branch ${branch} is checked out in ${holder.path}`,
      'switch to another branch there',
    );
  const run = git(repo.root);
  const tip = await shaOf(run, `refs/heads/${branch}`);
  const ref = salvageRef(id, attempt);
  const kept = await shaOf(run, ref);
  const within = kept && tip ? await run.test(['merge-base', '--is-ancestor', tip, kept]) : false;
  // What is salvaged already stands on the branch, unless it is of an earlier tip.
  if (tip && !within) await run.run(['update-ref', kept ? salvageRef(id, `${attempt}-branch`) : ref, tip]);
  await dropBranch(repo.root, branch);
}
