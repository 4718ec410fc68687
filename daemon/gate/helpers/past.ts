// Whether anybody still waits for a task that Towpath has filed, and which of them are held: light, for whoever only looks.
import { isReplaced } from '../../attempt/divided.ts';
import { helpOf } from '../../queue/files/subtasks.ts';
import type { Task } from '../../queue/port.ts';
import type { Place } from './helper.ts';

/** Whether nobody waits any more for a helper, or for a subtask whose plan was made anew: what it came to is told of the task that it was filed for. */
export async function isPast({ workspace, queue }: Place, id: string): Promise<boolean> {
  const help = helpOf(workspace, id);
  if (!help) return isReplaced(workspace, id);
  const parent = await queue.get(help.parent);
  return parent?.queue !== 'provisional' || !parent.state.awaits?.includes(id);
}

/** The helpers that a task waits for and that wait in turn, for a person. */
export async function heldHelpers({ workspace, queue }: Place, { id, state }: Task): Promise<Task[]> {
  const all = (state.awaits ?? []).filter((one) => helpOf(workspace, one)?.parent === id);
  return (await Promise.all(all.map((one) => queue.get(one)))).filter((one) => one?.queue === 'blocked') as Task[];
}
