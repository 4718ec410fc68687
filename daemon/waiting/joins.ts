// A divided task among those that wait: for all of its subtasks, whatever its file says.
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { readDivided } from '../attempt/divided.ts';
import type { Workspace } from '../paths.ts';
import { type Readiness, readiness } from '../queue/dependencies.ts';
import { parentOf } from '../queue/files/subtasks.ts';
import type { Queue } from '../task/terms.ts';

const OPEN: readonly Queue[] = ['incoming', 'claimed', 'provisional', 'blocked'];

/** Whether a task's subtasks let it go on, and who they are; null for a task that was never divided. */
export function judgeJoin(
  workspace: Workspace,
  id: string,
  queueOf: (id: string) => Queue | null,
): (Readiness & { on: string[] }) | null {
  const divided = readDivided(workspace, id);
  if (!divided) return null;
  const on = divided.subtasks.map((part) => part.id);
  const failed = on.filter((one) => queueOf(one) === 'failed');
  if (failed.length === 0) return { ...readiness({ depends_on: on, on_dependency_failure: 'hold' }, queueOf), on };
  const them = failed.length > 1 ? 'them' : 'it';
  return {
    kind: 'hold',
    reason: `its subtask${failed.length > 1 ? 's' : ''} ${failed.join(', ')} failed: retry ${them} ("towpath retry ${id}" does), or "towpath cancel ${id}"`,
    on,
  };
}

/** The subtasks of a divided task that are not over: whoever cancels it cancels them too. */
export function openParts(workspace: Workspace, id: string): string[] {
  const parts = readDivided(workspace, id)?.subtasks ?? [];
  const lies = (one: string, queue: Queue) => existsSync(join(workspace.queue(queue), `${one}.md`));
  return parts.map((part) => part.id).filter((one) => OPEN.some((queue) => lies(one, queue)));
}

/** What it means for the others that a subtask was sent back, or is given up; null for a task that is none of a divided one. */
export function restOf(workspace: Workspace, id: string, over: boolean): string | null {
  const parent = parentOf(workspace, id)?.parent;
  const parts = (parent && readDivided(workspace, parent)?.subtasks) || [];
  if (!parent || !parts.some((part) => part.id === id)) return null;
  const after = parts.filter(({ depends_on }) => depends_on.includes(id)).map((part) => part.id);
  const who = [...after, parent].join(', ');
  const rest = `${who} ${after.length > 0 ? 'wait' : 'waits'} for it, and the other subtasks go on`;
  return over ? `${rest}; "towpath retry ${id}" does it again, "towpath cancel ${parent}" gives all up` : rest;
}
