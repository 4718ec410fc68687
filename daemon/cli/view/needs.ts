// What a task that does not move asks of a person: why, and the command that answers it.
import { readDivided } from '../../attempt/divided.ts';
import { readWork } from '../../attempt/work.ts';
import type { Workspace } from '../../paths.ts';
import type { Task } from '../../queue/port.ts';
import type { Queue } from '../../task/terms.ts';
import { clean, truncate } from './style.ts';
import { shellWord } from './words.ts';

export interface Need {
  id: string;
  title: string;
  queue: Queue;
  why: string;
  next: string;
  since: string | null;
}

/** It waits for a person's answer. */
export const asks = ({ queue, state }: Task): boolean => queue === 'blocked' && state.waits_for === 'answer';

/** Null when nobody has to act: it runs, it is done, or it waits for something that comes by itself. */
export function needOf(workspace: Workspace, task: Task): Need | null {
  const found = whatNext(workspace, task);
  if (!found) return null;
  const { state } = task;
  return {
    id: task.id,
    title: truncate(clean(task.title), 200),
    queue: task.queue,
    why: truncate(clean(found.why), 500),
    next: found.next,
    since: (asks(task) ? state.asked_at : undefined) ?? state.finished_at ?? state.claimed_at ?? null,
  };
}

function whatNext(workspace: Workspace, task: Task): { why: string; next: string } | null {
  const { state, queue } = task;
  const id = shellWord(task.id);
  const why = task.refusal ?? state.reason ?? '';
  if (queue === 'provisional')
    return state.waits_for === 'review' && !state.awaits
      ? { why: why || 'waits for your review', next: `towpath accept ${id}  # or: towpath reject ${id} -m "…"` }
      : null;
  if (queue === 'failed') return { why: why || 'moved to failed/ by hand', next: failedNext(task, id) };
  if (queue !== 'blocked') return null;
  switch (state.waits_for) {
    case 'dependencies':
      return null;
    case 'answer':
      return { why: `asks: ${state.question ?? why}`, next: `towpath answer ${id} -m "…"` };
    case 'hook':
      return { why, next: `towpath resolve ${id} retry  # or: skip, abort` };
    case 'merge':
    case 'pr':
      return { why, next: `towpath ${state.outcome === 'rejected' ? 'retry' : 'accept'} ${id}` };
    case 'paused':
      return { why: why || 'paused', next: `towpath resume ${id}` };
    default:
      return { why: why || 'moved to blocked/ by hand', next: mendJoin(workspace, task) ?? `towpath retry ${id}` };
  }
}

/** What the subtasks made and is no good comes to the same as long as nothing is mended. */
function mendJoin(workspace: Workspace, { id, state: { outcome } }: Task): string | null {
  if (outcome !== 'rejected' && outcome !== 'check_failed' && outcome !== 'conflict') return null;
  const worktree = readDivided(workspace, id) ? readWork(workspace, id)?.worktree : undefined;
  if (worktree === undefined) return null;
  return `cd ${shellWord(worktree)}  # mend it and commit, or retry the subtask at fault; then: towpath retry ${shellWord(id)}`;
}

/** A refused file is the same after another try: it has to be mended first. */
function failedNext(task: Task, id: string): string {
  const refused = task.refusal !== null || task.state.outcome === 'refused';
  return refused ? `$EDITOR ${shellWord(task.path)} && towpath retry ${id}` : `towpath retry ${id}`;
}
