// What is left in the end: why the first of them wait, whether all wait as they should, and whether any came to a bad end.
import type { Place } from '../gate/helpers/helper.ts';
import { isPast } from '../gate/helpers/past.ts';
import type { Intake } from '../queue/files/intake.ts';
import { someTaskNames, stemOf } from '../queue/files/read.ts';
import type { Choice } from '../queue/port.ts';
import type { Wait } from './terms.ts';

type WaitOf = (task: Choice) => Wait | null;

/** Why the first so many waiting tasks wait, by id; those that only wait for their turn are left out. */
export function whyFirst(intake: Intake, waitOf: WaitOf, count: number): Map<string, Wait> {
  const found = new Map<string, Wait>();
  const ofKind = new Map<string, Wait | null>();
  for (const task of intake.first(count)) {
    const known = task.asleep ? undefined : ofKind.get(task.kind);
    const wait = known === undefined ? waitOf(task) : known;
    if (!task.asleep) ofKind.set(task.kind, wait);
    if (wait) found.set(task.id, wait);
  }
  return found;
}

/** Whether a task has failed or is held; one that Towpath has filed and that nobody waits for any more is no matter. */
export async function anyBad(place: Place): Promise<boolean> {
  for (const queue of ['failed', 'blocked'] as const) {
    const dir = place.workspace.queue(queue);
    // The first one nearly always says it, and a folder may hold very many.
    for (const most of [1, Number.POSITIVE_INFINITY])
      for (const name of someTaskNames(dir, most)) if (!(await isPast(place, stemOf(name)))) return true;
  }
  return false;
}

/** In incoming one of each kind stands for all of it. Of those whose time has not come each has its own answer. */
export function allWait(intake: Intake, waitOf: WaitOf, as: (wait: Wait | null) => boolean | undefined): boolean {
  if (!intake.heads(Date.now()).every((task) => as(waitOf(task)))) return false;
  for (const task of intake.sleepers()) if (!as(waitOf(task))) return false;
  return true;
}
