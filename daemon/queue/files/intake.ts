// What waits in incoming/: every file looked at once for each of its states, read when it has settled, kept in running order.
import { join } from 'node:path';
import type { Priority } from '../../task/terms.ts';
import type { Task } from '../port.ts';
import { readTask, statOf, taskNames } from './read.ts';
import { openForWriting, QUIET_MS, signature, wasRenamedIn } from './settled.ts';

/** A waiting task without its body: what choosing needs. */
export type Waiting = Omit<Task, 'body'> & { name: string };

interface Unsettled {
  signature: string;
  since: number;
}

/** Files looked at in one slice; between slices other work goes on. */
const SLICE_MS = 15;
/** How long a look at who has files open for writing is good for, ms. */
const OPEN_MS = 200;

export class Intake {
  readonly #dir: string;
  readonly #admit: (task: Task, name: string) => Task | null;
  readonly #waiting = new Map<string, Waiting>();
  readonly #ids = new Map<string, Waiting>();
  readonly #signatures = new Map<string, string>();
  readonly #unsettled = new Map<string, Unsettled>();
  /** Names that were handed over by a program that had finished writing. */
  readonly #whole = new Set<string>();
  #order: Waiting[] | null = null;
  #open = { paths: new Set<string>(), at: 0 };

  /** `admit` gives a fresh file its final id and state, or takes it out of incoming (refused) and returns null. */
  constructor(dir: string, admit: (task: Task, name: string) => Task | null) {
    this.#dir = dir;
    this.#admit = admit;
  }

  /** The writer of this file says that it is whole. */
  handedOver(name: string): void {
    this.#whole.add(name);
    this.look(name);
  }

  /** Files that are there but not yet taken for whole. */
  get unsettled(): number {
    return this.#unsettled.size;
  }

  get size(): number {
    return this.#waiting.size;
  }

  byId(id: string): Waiting | undefined {
    return this.#ids.get(id);
  }

  /** Waiting tasks in running order: priority, then oldest, then name. */
  inOrder(): readonly Waiting[] {
    this.#order ??= [...this.#waiting.values()].sort(before);
    return this.#order;
  }

  forget(name: string): void {
    this.#signatures.delete(name);
    this.#unsettled.delete(name);
    const task = this.#waiting.get(name);
    if (!task) return;
    this.#waiting.delete(name);
    this.#ids.delete(task.id);
    if (this.#order) this.#order.splice(place(this.#order, task), 1);
  }

  /** Looks at the whole folder, in slices. */
  async scan(): Promise<void> {
    const names = new Set(taskNames(this.#dir));
    for (const known of [...this.#signatures.keys(), ...this.#unsettled.keys()])
      if (!names.has(known)) this.forget(known);
    let slice = Date.now();
    for (const name of names) {
      this.look(name);
      if (Date.now() - slice > SLICE_MS) {
        await new Promise(setImmediate);
        slice = Date.now();
      }
    }
  }

  /** Looks at one file: reads it when it is new or changed, and whole. */
  look(name: string): void {
    const stat = statOf(join(this.#dir, name));
    if (!stat || stat.isDirectory()) {
      this.forget(name);
      return;
    }
    const now = signature(stat);
    if (this.#signatures.get(name) === now) return;
    const quiet = Number(stat.mtimeMs) < Date.now() - QUIET_MS && this.#unsettled.get(name) === undefined;
    if (!this.#whole.has(name) && stat.isFile() && !wasRenamedIn(stat) && !this.#hasSettled(name, now, quiet)) return;
    this.#whole.delete(name);
    this.#unsettled.delete(name);
    this.#take(name, stat);
  }

  /** Looks again at what had not settled; to be called now and then while there is any. */
  recheck(): void {
    if (this.#unsettled.size === 0) return;
    const open = openForWriting(this.#dir);
    for (const [name, seen] of this.#unsettled) {
      if (open.has(join(this.#dir, name))) seen.since = Date.now();
      this.look(name);
    }
  }

  /** Who writes what: looking costs a walk through all processes, so one look serves all files of a moment. */
  #openForWriting(): Set<string> {
    if (Date.now() - this.#open.at > OPEN_MS) this.#open = { paths: openForWriting(this.#dir), at: Date.now() };
    return this.#open.paths;
  }

  #hasSettled(name: string, now: string, longQuiet: boolean): boolean {
    const seen = this.#unsettled.get(name);
    if (longQuiet && !this.#openForWriting().has(join(this.#dir, name))) return true;
    if (!seen || seen.signature !== now) {
      this.#unsettled.set(name, { signature: now, since: Date.now() });
      return false;
    }
    return Date.now() - seen.since >= QUIET_MS;
  }

  #take(name: string, stat: NonNullable<ReturnType<typeof statOf>>): void {
    this.forget(name);
    const read = readTask(this.#dir, name, 'incoming', stat);
    const task = read && this.#admit(read, name);
    if (!task) return;
    const at = task.path.slice(this.#dir.length + 1);
    const { body: _, ...waiting } = task;
    const final = at === name ? stat : statOf(task.path);
    if (!final) return;
    this.#signatures.set(at, signature(final));
    const entry = { ...waiting, name: at };
    this.#waiting.set(at, entry);
    this.#ids.set(entry.id, entry);
    if (this.#order) this.#order.splice(place(this.#order, entry), 0, entry);
  }
}

const RANK: Record<Priority, number> = { P0: 0, P1: 1, P2: 2, P3: 3 };
const before = (a: Waiting, b: Waiting): number =>
  RANK[a.spec.priority] - RANK[b.spec.priority] ||
  (a.created_at < b.created_at ? -1 : a.created_at > b.created_at ? 1 : a.name < b.name ? -1 : 1);

/** Where a task stands, or would stand, in the order. */
function place(order: readonly Waiting[], task: Waiting): number {
  let low = 0;
  let high = order.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (before(order[middle]!, task) < 0) low = middle + 1;
    else high = middle;
  }
  return low;
}
