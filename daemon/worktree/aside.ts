// A task begins anew: its worktree and branch are taken away once all that was in them is on a salvage ref.
import { git } from './git.ts';
import { dropBranch, salvageRef, shaOf } from './refs.ts';
import { openRepo } from './repo.ts';
import { removeWorktree } from './salvage.ts';

/** May be done again, also after a kill at any point. Throws as removeWorktree does. */
export async function setAside(options: Parameters<typeof removeWorktree>[0]): Promise<void> {
  const { branch, id, attempt } = options;
  await removeWorktree(options);
  const { root } = await openRepo(options.repo);
  const run = git(root);
  const tip = await shaOf(run, `refs/heads/${branch}`);
  const ref = salvageRef(id, attempt);
  const kept = await shaOf(run, ref);
  const within = kept && tip ? await run.test(['merge-base', '--is-ancestor', tip, kept]) : false;
  // What is salvaged already stands on the branch, unless it is of an earlier tip.
  if (tip && !within) await run.run(['update-ref', kept ? salvageRef(id, `${attempt}-branch`) : ref, tip]);
  await dropBranch(root, branch);
}
