// What is left in incoming: why the first of them wait, and whether all wait as they should. One of each kind stands for all of it.
import type { Intake } from '../queue/files/intake.ts';
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

/** Of those whose time has not come each has its own answer. */
export function allWait(intake: Intake, waitOf: WaitOf, as: (wait: Wait | null) => boolean | undefined): boolean {
  if (!intake.heads(Date.now()).every((task) => as(waitOf(task)))) return false;
  for (const task of intake.sleepers()) if (!as(waitOf(task))) return false;
  return true;
}
