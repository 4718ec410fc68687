// A result that is accepted and not yet where it belongs: it waits in provisional/ for the train, or for its pull request.
import type { Context, Owner } from '../attempt/context.ts';
import { onAcceptOf } from '../attempt/plan.ts';
import { readRun } from '../attempt/record.ts';
import { readWork, writeWork } from '../attempt/work.ts';
import { now } from '../clock.ts';
import { helpOf } from '../queue/files/subtasks.ts';
import type { Task } from '../queue/port.ts';
import type { OnAccept } from '../task/terms.ts';
import { tipOf } from '../worktree/land.ts';
import { takeOff } from './trials/trial.ts';

/** What acceptance leads to: only a branch with work on it can be merged or offered, and a review's never is. */
export function leadsTo({ workspace, settings }: Pick<Context, 'workspace' | 'settings'>, task: Task): OnAccept {
  const work = readWork(workspace, task.id);
  if (work?.kind !== 'worktree' || !task.state.commit || work.merged || helpOf(workspace, task.id)) return 'branch';
  return onAcceptOf(readRun(workspace.run(task.id, task.state.runs ?? 1))?.spec ?? task.spec, settings);
}

/** Hands an accepted branch on. May be done again: who was accepted first is merged first. */
export async function handIn(ctx: Owner, task: Task, to: 'merge' | 'pr'): Promise<Task> {
  await takeOff(ctx, task);
  const work = readWork(ctx.workspace, task.id)!;
  const commit = await tipOf(work.repo, work.branch!);
  const handed = work.handed?.commit === commit ? work.handed : { commit, at: now() };
  writeWork(ctx, task.id, { ...work, accepted: true, handed });
  const onto = work.onto ?? 'its base';
  const reason =
    to === 'merge'
      ? `accepted; waits to be merged into ${onto}`
      : task.state.pr
        ? `accepted; waits for its pull request: ${task.state.pr}`
        : `accepted; its pull request onto ${onto} is about to be opened`;
  // One that is to be tried again later is tried now.
  const { waits_for, not_before } = task.state;
  if (task.queue === 'provisional' && waits_for === to && work.accepted && not_before === undefined) return task;
  const moved = await ctx.queue.move(task.id, ['provisional', 'blocked', 'done'], {
    to: 'provisional',
    state: {
      ...{ outcome: 'ok', reason, waits_for: to },
      ...{ awaits: undefined, not_before: undefined, resolved: undefined, last_error: undefined, last_tree: undefined },
      transients: undefined,
    },
  });
  ctx.events.emit('transition', { task: task.id, from: task.queue, to: 'provisional', reason });
  return moved;
}
