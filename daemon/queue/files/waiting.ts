// What is kept of a waiting task: what choosing needs and by what its file is known again; small, for there may be very many.
import type { BigIntStats } from 'node:fs';
import { epochMs } from '../../clock.ts';
import type { Priority, State } from '../../task/terms.ts';
import { kindOf, startOf } from '../kind.ts';
import type { Choice } from '../port.ts';

export interface Waiting extends Choice {
  /** The file's name in incoming. */
  name: string;
  kind: string;
  /** From when it may start, ms. */
  from: number;
  /** By how much that is earlier than its file says, ms: the clock was set back since. */
  shift: number;
  sign: Sign;
  /** Taken out: heaps that still hold it pass over it. */
  gone: boolean;
  asleep: boolean;
  /** It has dependencies that were not judged yet. */
  parked: boolean;
  /** The last pass that saw its file. */
  seen: number;
}

/** What tells one state of a file from another. Two that differ by less than what a number can hold differ in the inode too. */
export interface Sign {
  ino: number;
  size: number;
  mtime: number;
  ctime: number;
}

/** A file that changed so shortly before it was looked at may change again within the same tick of its clock, ms. */
const TICK_MS = 100;

export const signOf = ({ ino, size, mtimeNs, ctimeNs }: BigIntStats): Sign => ({
  ino: Number(ino),
  size: Number(size),
  mtime: Number(mtimeNs),
  ctime: Number(ctimeNs),
});

export const sameSign = (a: Sign, b: Sign): boolean =>
  a.ctime === b.ctime && a.mtime === b.mtime && a.ino === b.ino && a.size === b.size;

/** Whether a later change of the file is sure to show in its sign. */
export const isSettledSign = ({ ctime }: Sign): boolean => {
  const age = Date.now() - ctime / 1e6;
  return age > TICK_MS || age < -TICK_MS;
};

const NO_SIGN: Sign = { ino: 0, size: 0, mtime: 0, ctime: 0 };
const NO_STATE: Choice['state'] = Object.freeze({});

/** Tasks that ask for the same share one object. */
const specs = new Map<string, { spec: Choice['spec']; kind: string }>();
const SPECS = 4096;

export function sharedSpec(from: Choice['spec']): { spec: Choice['spec']; kind: string } {
  const { priority, role, agent, project, repo, complexity, seniority, model } = from;
  const { not_before, depends_on, on_dependency_failure } = from;
  const key = JSON.stringify([
    ...[priority, role, agent, project, repo, complexity, seniority, model, not_before, on_dependency_failure],
    depends_on,
  ]);
  const known = specs.get(key);
  if (known) return known;
  if (specs.size >= SPECS) specs.clear();
  const spec: Choice['spec'] = {
    ...{ priority, complexity, seniority, depends_on, on_dependency_failure },
    ...(role === undefined ? {} : { role }),
    ...(agent === undefined ? {} : { agent }),
    ...(model === undefined ? {} : { model }),
    ...(project === undefined ? {} : { project }),
    ...(repo === undefined ? {} : { repo }),
    ...(not_before === undefined ? {} : { not_before }),
  };
  const made = { spec, kind: kindOf(spec) };
  specs.set(key, made);
  return made;
}

export function heldState({ not_before, outcome, reason }: State): Choice['state'] {
  if (not_before === undefined && outcome === undefined && reason === undefined) return NO_STATE;
  return {
    ...(not_before === undefined ? {} : { not_before }),
    ...(outcome === undefined ? {} : { outcome }),
    ...(reason === undefined ? {} : { reason }),
  };
}

/** A sign that may hide a change is not kept: the next look reads the file again. */
export function waitingOf(task: Choice, name: string, sign: Sign, shared = sharedSpec(task.spec)): Waiting {
  const { spec, kind } = shared;
  const { id, created_at } = task;
  const choice = { id, created_at, spec, state: heldState(task.state) };
  const kept = isSettledSign(sign) ? sign : NO_SIGN;
  const fresh = { shift: 0, gone: false, asleep: false, parked: false, seen: 0 };
  return { ...choice, name, kind, from: startOf(choice), sign: kept, ...fresh };
}

/** A clock that is ahead of ours by more than this is our own before it was set back, ms. */
const AHEAD_MS = 5000;

/** A wait that Towpath wrote down by a clock that was set back since is as long as it was, from now on; a date of the user's stays. */
export function byOurClock(one: Waiting, written: number): Waiting {
  const ahead = written - Date.now();
  const { not_before } = one.state;
  if (!not_before || ahead < AHEAD_MS) return one;
  one.state = { ...one.state, not_before: new Date(epochMs(not_before) - ahead).toISOString() };
  const from = startOf(one);
  one.shift += one.from - from;
  one.from = from;
  return one;
}

/** Whether two readings of one task, now and before, would be chosen alike. */
export const sameChoice = (a: Waiting, b: Waiting): boolean =>
  a.id === b.id &&
  a.kind === b.kind &&
  a.from + a.shift === b.from + b.shift &&
  a.spec.depends_on.join() === b.spec.depends_on.join();

const RANK: Record<Priority, number> = { P0: 0, P1: 1, P2: 2, P3: 3 };

/** Running order: priority, then oldest, then name. */
export const before = (a: Waiting, b: Waiting): number =>
  RANK[a.spec.priority] - RANK[b.spec.priority] ||
  (a.created_at < b.created_at ? -1 : a.created_at > b.created_at ? 1 : a.name < b.name ? -1 : a.name > b.name ? 1 : 0);
