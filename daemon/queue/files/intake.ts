// What waits in incoming/: every file looked at once for each of its states, read when it has settled, kept in running order.
import type { BigIntStats } from 'node:fs';
import { join } from 'node:path';
import { monotonic } from '../../clock.ts';
import type { Task } from '../port.ts';
import { Lanes } from './lanes.ts';
import { readTask, statOf, stemOf, taskNames } from './read.ts';
import { openForWriting, QUIET_MS, signature, wasRenamedIn } from './settled.ts';
import type { Snapshot } from './snapshot.ts';
import { before, byOurClock, sameSign, signOf, type Waiting, waitingOf } from './waiting.ts';

/** `admit` gives a fresh file its final id and state, or takes it out of incoming (refused) and returns null. */
export interface IntakeOptions {
  admit: (task: Task, name: string) => Task | null;
  /** What an earlier daemon read; `still` says whether that may be taken as it was. */
  snapshot?: Snapshot | undefined;
  still?: (waiting: Waiting) => boolean;
  /** Told of each task that waits from now on. */
  onWaiting?: ((waiting: Waiting) => void) | undefined;
}

interface Unsettled {
  signature: string;
  since: number;
}

/** Files looked at in one slice; between slices other work goes on. */
const SLICE_MS = 5;
/** How long a look at who has files open for writing is good for, ms. */
const OPEN_MS = 200;
/** A look at every file is repeated after so many times what it took, and after this long at least, ms. */
const FULL_SHARE = 500;
const FULL_MS = 25_000;
/** What was read anew before it is worth to write the snapshot: so many, and this part of all. */
const SAVE = { least: 64, part: 20 };

export class Intake {
  readonly #dir: string;
  readonly #options: IntakeOptions;
  readonly #waiting = new Map<string, Waiting>();
  /** Those whose id is not their file's stem. */
  readonly #named = new Map<string, Waiting>();
  readonly #lanes = new Lanes();
  readonly #unsettled = new Map<string, Unsettled>();
  /** Names that were handed over by a program that had finished writing. */
  readonly #whole = new Set<string>();
  #open = { paths: new Set<string>(), at: Number.NEGATIVE_INFINITY };
  #pass = 0;
  #current: Promise<void> | null = null;
  #next: Promise<void> | null = null;
  #full: { ended: number; took: number; inode?: bigint | undefined } = { ended: 0, took: 0 };
  #folder = '';
  #read = 0;

  constructor(dir: string, options: IntakeOptions) {
    this.#dir = dir;
    this.#options = options;
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

  /** The clock was set back: whoever waits by it is read again. */
  clockSetBack(): void {
    for (const { name, state } of [...this.#lanes.sleepers()]) {
      if (!state.not_before) continue;
      this.forget(name);
      this.look(name);
    }
  }

  get size(): number {
    return this.#waiting.size;
  }

  /** The whole folder is being looked at, or was: whoever is not known here is not there, or came just now. */
  get knows(): boolean {
    return this.#pass > 0;
  }

  byId(id: string): Waiting | undefined {
    const plain = this.#waiting.get(`${id}.md`);
    return plain?.id === id ? plain : this.#named.get(id);
  }

  /** Waiting tasks in running order: priority, then oldest, then name. Sorts all of them. */
  inOrder(): readonly Waiting[] {
    return [...this.#waiting.values()].sort(before);
  }

  /** The first of each kind that may start by now, in running order. */
  heads(now: number): readonly Waiting[] {
    return this.#lanes.heads(now);
  }

  /** The first so many, those whose time has not come last. */
  first(count: number): readonly Waiting[] {
    return this.#lanes.first(count);
  }

  /** Those whose time had not come when they were last asked for. */
  sleepers(): Iterable<Waiting> {
    return this.#lanes.sleepers();
  }

  /** When the next one's time comes, ms. */
  get wakes(): number | null {
    return this.#lanes.wakes;
  }

  /** Its dependencies are done: it may be chosen. */
  release(id: string): void {
    const known = this.byId(id);
    if (!known?.parked) return;
    known.parked = false;
    this.#lanes.add(known);
  }

  forget(name: string): void {
    this.#unsettled.delete(name);
    const known = this.#waiting.get(name);
    if (!known) return;
    this.#waiting.delete(name);
    if (this.#named.get(known.id) === known) this.#named.delete(known.id);
    if (!known.parked) this.#lanes.remove(known);
    known.gone = true;
    // Whoever takes it out may leave its file where it is: the names are worth another look.
    this.#folder = '';
  }

  /** Looks at every file, in slices; `onSlice` is told after each. A second call waits for the first and looks again. */
  scan(onSlice: () => void = () => {}): Promise<void> {
    const begin = () => {
      this.#current = this.#lookAtAll(true, onSlice).finally(() => {
        this.#current = null;
      });
      return this.#current;
    };
    if (!this.#current) return begin();
    this.#next ??= this.#current
      .catch(() => {})
      .then(() => {
        this.#next = null;
        return begin();
      });
    return this.#next;
  }

  /** Looks for what events missed: at the names when the folder has changed, at every file when it is another folder, and now and then. */
  async refresh(): Promise<void> {
    if (this.#current) return this.#current;
    const { ended, took, inode } = this.#full;
    const folder = statOf(this.#dir);
    if (!folder || folder.ino !== inode || Date.now() - ended >= Math.max(FULL_MS, took * FULL_SHARE))
      return this.scan();
    if (signature(folder) !== this.#folder) await this.#lookAtAll(false, () => {});
  }

  async #lookAtAll(every: boolean, onSlice: () => void): Promise<void> {
    const pass = ++this.#pass;
    const folder = statOf(this.#dir);
    const names = taskNames(this.#dir);
    const faults: unknown[] = [];
    // One file that nobody can judge is told, and holds up none of the others.
    const look = (name: string) => {
      try {
        this.look(name, pass);
      } catch (thrown) {
        faults.push(thrown);
      }
    };
    let took = 0;
    let slice = performance.now();
    for (const name of names) {
      const known = this.#waiting.get(name);
      if (known) known.seen = pass;
      if (every || !known) look(name);
      if (performance.now() - slice < SLICE_MS) continue;
      took += performance.now() - slice;
      onSlice();
      await new Promise(setImmediate);
      slice = performance.now();
    }
    for (const [name, { seen }] of this.#waiting) if (seen < pass) look(name);
    for (const name of this.#unsettled.keys()) look(name);
    if (faults.length > 0) throw faults[0];
    this.#folder = folder ? signature(folder) : '';
    if (every) {
      this.#full = { ended: Date.now(), took: took + performance.now() - slice, inode: folder?.ino };
      this.#options.snapshot?.forget();
    }
    if (this.#read > SAVE.least + this.size / SAVE.part) await this.save();
  }

  /** Writes down what was read, for the next daemon. */
  async save(): Promise<void> {
    if (this.#read === 0) return;
    this.#read = 0;
    await this.#options.snapshot?.save(this.#waiting.values());
  }

  /** Looks at one file: reads it when it is new or changed, and whole. */
  look(name: string, pass = this.#pass): void {
    const stat = statOf(join(this.#dir, name));
    if (!stat || stat.isDirectory()) {
      this.forget(name);
      return;
    }
    const sign = signOf(stat);
    const known = this.#waiting.get(name);
    if (known && sameSign(known.sign, sign)) return;
    const restored = known ? null : this.#options.snapshot?.find(name, sign);
    if (restored && !this.byId(restored.id) && (this.#options.still?.(restored) ?? true)) {
      this.#put(restored, pass);
      return;
    }
    const now = signature(stat);
    const quiet = Number(stat.mtimeMs) < Date.now() - QUIET_MS && this.#unsettled.get(name) === undefined;
    if (!this.#whole.has(name) && stat.isFile() && !wasRenamedIn(stat) && !this.#hasSettled(name, now, quiet)) return;
    this.#whole.delete(name);
    this.#unsettled.delete(name);
    this.#take(name, stat, pass);
  }

  /** Looks again at what had not settled; to be called now and then while there is any. */
  recheck(): void {
    if (this.#unsettled.size === 0) return;
    const open = openForWriting(this.#dir);
    for (const [name, seen] of this.#unsettled) {
      if (open.has(join(this.#dir, name))) seen.since = monotonic();
      this.look(name);
    }
  }

  /** Who writes what: looking costs a walk through all processes, so one look serves all files of a moment. */
  #openForWriting(): Set<string> {
    if (monotonic() - this.#open.at > OPEN_MS) this.#open = { paths: openForWriting(this.#dir), at: monotonic() };
    return this.#open.paths;
  }

  #hasSettled(name: string, now: string, longQuiet: boolean): boolean {
    const seen = this.#unsettled.get(name);
    if (longQuiet && !this.#openForWriting().has(join(this.#dir, name))) return true;
    if (!seen || seen.signature !== now) {
      this.#unsettled.set(name, { signature: now, since: monotonic() });
      return false;
    }
    return monotonic() - seen.since >= QUIET_MS;
  }

  #take(name: string, stat: BigIntStats, pass: number): void {
    this.#read++;
    const read = readTask(this.#dir, name, 'incoming', stat);
    let task: Task | null = null;
    try {
      task = read && this.#options.admit(read, name);
    } finally {
      // Only now: until then it holds its id.
      this.forget(name);
    }
    if (!task) return;
    const at = task.path.slice(this.#dir.length + 1);
    const final = at === name ? stat : statOf(task.path);
    if (final) this.#put(byOurClock(waitingOf(task, at, signOf(final)), Number(final.ctimeMs)), pass);
  }

  #put(one: Waiting, pass: number): void {
    one.seen = pass;
    this.#unsettled.delete(one.name);
    this.#waiting.set(one.name, one);
    if (one.id !== stemOf(one.name)) this.#named.set(one.id, one);
    // Its dependencies are to be judged first.
    one.parked = one.spec.depends_on.length > 0;
    if (!one.parked) this.#lanes.add(one);
    this.#options.onWaiting?.(one);
  }
}
