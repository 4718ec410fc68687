// Whether a task's dependencies let it run: all done, still waiting, failed, or a circle. Pure.
import type { Queue, TaskSpec } from '../task/terms.ts';

type Wants = Pick<TaskSpec, 'depends_on' | 'on_dependency_failure'>;

export type Readiness =
  | { kind: 'ready' }
  | { kind: 'wait'; reason: string }
  /** A dependency failed and the task says what then: hold it, or cancel it. */
  | { kind: 'hold' | 'cancel'; reason: string };

/** Judges by where each dependency lies; `queueOf` says null for an id that is in no queue. */
export function readiness(task: Wants, queueOf: (id: string) => Queue | null): Readiness {
  const found = task.depends_on.map((id) => ({ id, queue: queueOf(id) }));
  const failed = found.filter(({ queue }) => queue === 'failed');
  if (failed.length > 0 && task.on_dependency_failure !== 'run') {
    const names = failed.map(({ id }) => id).join(', ');
    const reason = `the task depends on ${names}, which failed`;
    return task.on_dependency_failure === 'cancel'
      ? { kind: 'cancel', reason }
      : { kind: 'hold', reason: `${reason}: retry it, or take it out of depends_on` };
  }
  const waiting = found.filter(({ queue }) => queue !== 'done' && queue !== 'failed');
  if (waiting.length === 0) return { kind: 'ready' };
  const shown = waiting.slice(0, 5).map(({ id, queue }) => `${id} (${queue ?? 'in no queue'})`);
  const more = waiting.length > 5 ? ` and ${waiting.length - 5} more` : '';
  return { kind: 'wait', reason: `waits for ${shown.join(', ')}${more}` };
}

/** The circle that a task closes, as ids from itself back to itself; null when there is none. */
export function findCycle(start: string, dependsOn: (id: string) => readonly string[]): string[] | null {
  const seen = new Set<string>();
  const path: string[] = [];
  // Depth first with a stack of its own: a chain may be longer than the call stack.
  const stack: { id: string; at: number }[] = [{ id: start, at: 0 }];
  path.push(start);
  while (stack.length > 0) {
    const top = stack.at(-1)!;
    const next = dependsOn(top.id)[top.at++];
    if (next === undefined) {
      stack.pop();
      path.pop();
    } else if (next === start) return [...path, start];
    else if (!seen.has(next)) {
      seen.add(next);
      stack.push({ id: next, at: 0 });
      path.push(next);
    }
  }
  return null;
}
