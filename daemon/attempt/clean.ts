// What is left of a task's place to work once it is over: everything saved, then the worktree removed.
import { messageOf } from '../errors.ts';
import { removeWorktree } from '../worktree/salvage.ts';
import type { Context } from './context.ts';
import { readWork } from './work.ts';

/** Removes the worktree of a task, after all in it is on its branch or a salvage ref. False when it had to stay. */
export async function cleanUp(
  ctx: Pick<Context, 'workspace' | 'events'>,
  id: string,
  attempt: number,
): Promise<boolean> {
  const work = readWork(ctx.workspace, id);
  if (work?.kind !== 'worktree') return true;
  try {
    await removeWorktree({ repo: work.repo, worktree: work.worktree, branch: work.branch!, id, attempt });
    return true;
  } catch (thrown) {
    ctx.events.emit('warning', { task: id, message: `its worktree stays at ${work.worktree}: ${messageOf(thrown)}` });
    return false;
  }
}
