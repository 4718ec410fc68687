// What is left of a task's place to work once it is over: everything saved, then the worktree removed.
import { messageOf } from '../errors.ts';
import { helpOf } from '../queue/files/subtasks.ts';
import type { StateChange } from '../task/terms.ts';
import { dropBranch } from '../worktree/refs.ts';
import { removeWorktree } from '../worktree/salvage.ts';
import type { Context } from './context.ts';
import { readWork } from './work.ts';

/**
 * Removes the worktree of a task, after all in it is on its branch or a salvage ref; of a review or a fix nothing is kept. Returns what of
 * the state is no longer so: nothing when the worktree had to stay.
 */
export async function cleanUp(
  ctx: Pick<Context, 'workspace' | 'events'>,
  id: string,
  attempt: number,
): Promise<StateChange> {
  const work = readWork(ctx.workspace, id);
  if (work?.kind !== 'worktree') return { worktree: undefined };
  try {
    await removeWorktree({ repo: work.repo, worktree: work.worktree, branch: work.branch!, id, attempt });
    if (!helpOf(ctx.workspace, id)) return { worktree: undefined };
    await dropBranch(work.repo, work.branch!);
    return { worktree: undefined, branch: undefined, commit: undefined };
  } catch (thrown) {
    ctx.events.emit('warning', { task: id, message: `its worktree stays at ${work.worktree}: ${messageOf(thrown)}` });
    return {};
  }
}

/** Whether what a failed task leaves is to stay for a person to look at. */
export const keepsFailed = ({ workspace, settings }: Pick<Context, 'workspace' | 'settings'>, id: string): boolean =>
  settings.worktrees.keep_failed && helpOf(workspace, id) === null;
