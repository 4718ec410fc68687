// The history of a workspace in SQLite: a listener of events that writes them in batches, and answers what happened.
import type { DatabaseSync } from 'node:sqlite';
import { messageOf } from '../errors.ts';
import type { Events, TowpathEvent } from '../events.ts';
import type { Workspace } from '../paths.ts';
import type { Queue } from '../task/terms.ts';
import { closeQuietly, fileKey, isDamage, isMisfit, openForReading, openForWriting, setAside } from './file.ts';
import { attemptRows, checkRows, eventRows, lastEventId } from './query.ts';
import { Recorder } from './record.ts';
import { letGo } from './retain.ts';
import { SQLITE_AT_LEAST } from './schema.ts';
import { costsOf, endedSince, lastEnded } from './spent.ts';
import { computeStats, emptyStats, latest, reached, spent } from './stats.ts';
import type { Attempt, CheckRow, LedgerEvent, RunCost, Stats } from './terms.ts';

export type { AcceptedTask, Attempt, CheckRow, LedgerEvent, RunCost, Stats, StatsGroup } from './terms.ts';

/** Events that wait for a ledger that cannot be written; beyond this the oldest are let go. */
const PENDING_MAX = 20_000;
const RETRY_MS = 1000;
/** How long events are gathered for one transaction, ms. */
const TOGETHER_MS = 10;

export interface LedgerOptions {
  /** For those who look: no file is made, and nothing is written. */
  readonly?: boolean;
  /** Told once when writing begins to fail, and of every file that was set aside. Default: kept in `warnings` alone. */
  onProblem?: (message: string) => void;
}

/** Opens the history; never throws: what is wrong is told through `warnings` and `onProblem`, and tried again. */
export function openLedger(workspace: Workspace, options: LedgerOptions = {}): Ledger {
  return new Ledger(workspace.ledger, options);
}

export class Ledger {
  /** What a person should know of the file since it was opened. */
  readonly warnings: string[] = [];
  readonly #path: string;
  readonly #options: LedgerOptions;
  #db: DatabaseSync | null = null;
  #recorder: Recorder | null = null;
  /** The file that `#db` is: another one at the path means ours was deleted or replaced. */
  #key: string | null = null;
  #pending: TowpathEvent[] = [];
  #tick: NodeJS.Timeout | null = null;
  #retry: NodeJS.Timeout | null = null;
  #failure: string | null = null;
  #closed = false;
  #unsubscribe: (() => void)[] = [];

  constructor(path: string, options: LedgerOptions = {}) {
    this.#path = path;
    this.#options = options;
    this.#use((db) => {
      const { v } = db.prepare('SELECT sqlite_version() AS v').get() as { v: string };
      if (!options.readonly && older(v, SQLITE_AT_LEAST))
        this.#tell(`SQLite ${v} is older than ${SQLITE_AT_LEAST}: a crash may cost the last lines of the ledger`);
    });
  }

  /** Records every event from now on, but what agents print. Returns the function that ends it. */
  attach(events: Events): () => void {
    const off = events.on((event) => this.record(event));
    this.#unsubscribe.push(off);
    return off;
  }

  /** Takes one event; it is written a moment later, together with the others: a commit costs a sync. */
  record(event: TowpathEvent): void {
    if (event.event === 'agent_output' || this.#options.readonly || this.#closed) return;
    this.#pending.push(event);
    if (this.#pending.length > PENDING_MAX) this.#pending.splice(0, this.#pending.length - PENDING_MAX);
    // While writing fails the timer alone tries: each try may stand still for the busy time.
    if (this.#failure !== null) this.#later();
    else this.#tick ??= setTimeout(() => this.flush(), TOGETHER_MS);
  }

  /** Writes what waits, in one transaction. Never throws; what cannot be written waits on. Returns whether all is written. */
  flush(): boolean {
    if (this.#tick) clearTimeout(this.#tick);
    this.#tick = null;
    if (this.#pending.length === 0 || this.#options.readonly) return true;
    const batch = this.#pending;
    const done = this.#use((db) => {
      this.#recorder ??= new Recorder(db);
      db.exec('BEGIN IMMEDIATE');
      try {
        for (const event of batch) this.#write(this.#recorder, event);
        db.exec('COMMIT');
      } catch (thrown) {
        if (db.isTransaction) db.exec('ROLLBACK');
        throw thrown;
      }
      return true;
    });
    if (done) {
      this.#pending = this.#pending.slice(batch.length);
      this.#failure = null;
    } else this.#later();
    return done === true;
  }

  close(): void {
    if (this.#closed) return;
    for (const off of this.#unsubscribe) off();
    this.#closed = true;
    this.flush();
    if (this.#retry) clearTimeout(this.#retry);
    this.#drop();
  }

  /** Why it cannot be written just now, for a person; null when it can. */
  get problem(): string | null {
    return this.#failure === null ? null : `the ledger cannot be written: ${this.#failure}`;
  }

  /** Events in order of their ids, from the one after `after`. Without `after`, `limit` takes the latest. */
  events(filter: { after?: number; task?: string; limit?: number } = {}): LedgerEvent[] {
    return this.#ask((db) => eventRows(db, filter)) ?? [];
  }

  /** The latest id, 0 when there is none: it falls when the ledger was begun anew. */
  lastId(): number {
    return this.#ask(lastEventId) ?? 0;
  }

  attempts(filter: { task?: string; since?: string } = {}): Attempt[] {
    return this.#ask((db) => attemptRows(db, filter)) ?? [];
  }

  checks(filter: { task: string; attempt?: number }): CheckRow[] {
    return this.#ask((db) => checkRows(db, filter)) ?? [];
  }

  stats(filter: { since?: string } = {}): Stats {
    return this.#ask((db) => computeStats(db, filter.since ?? null)) ?? emptyStats(filter.since ?? null);
  }

  /** How many tasks arrived in a queue at or after `since`. */
  reached(queue: Queue, since: string): number {
    return this.#ask((db) => reached(db, queue, since)) ?? 0;
  }

  /** The tasks that arrived in a queue last, the latest first. */
  latest(queue: Queue, limit: number): string[] {
    return this.#ask((db) => latest(db, queue, limit)) ?? [];
  }

  /** Dollars of runs that ended at or after `since`; also those that could not be written yet. */
  spent(filter: { task?: string; since: string }): number {
    const written = this.#ask((db) => spent(db, filter.task ?? null, filter.since)) ?? 0;
    return this.#pending.reduce((sum, e) => {
      const counts = e.event === 'attempt_finished' && e.at >= filter.since && (filter.task ?? e.task) === e.task;
      return counts ? sum + (e.cost_usd ?? 0) : sum;
    }, written);
  }

  /** What runs that ended at or after `since` used, summed by agent, role and project, with those that could not be written yet; null when it cannot be told. */
  costs(since: string): RunCost[] | null {
    const written = this.#ask((db) => endedSince(db, since));
    return written === undefined ? null : [...written, ...costsOf(this.#pending, since)];
  }

  /** What the last ended runs used, the latest first: at most `each` of each agent and role. */
  lastCosts(each: number): RunCost[] {
    return this.#ask((db) => lastEnded(db, each)) ?? [];
  }

  /** Lets go of some of what is older than `before` (ISO). Returns whether there is more. */
  letGo(before: string, most: number): boolean {
    if (!this.flush()) return false;
    return this.#use((db) => letGo(db, before, most)) ?? false;
  }

  #later(): void {
    if (this.#closed) return;
    this.#retry ??= setTimeout(() => {
      this.#retry = null;
      this.flush();
    }, RETRY_MS).unref();
  }

  /** An event that no table can take is told and left out, or it would hold up all others for ever. */
  #write(recorder: Recorder, event: TowpathEvent): void {
    try {
      recorder.write(event);
    } catch (thrown) {
      if (!isMisfit(thrown)) throw thrown;
      this.#tell(`an event "${event.event}" could not be recorded: ${messageOf(thrown)}`);
    }
  }

  #ask<T>(question: (db: DatabaseSync) => T): T | undefined {
    if (this.#failure === null) this.flush();
    return this.#closed ? undefined : this.#use(question);
  }

  /** Runs `work` on the file that is at the path now; a damaged one is replaced, and the work done on the new one. */
  #use<T>(work: (db: DatabaseSync) => T): T | undefined {
    for (let last = false; ; last = true) {
      try {
        const db = this.#connect();
        const answer = db ? work(db) : undefined;
        if (this.#options.readonly) this.#failure = null;
        return answer;
      } catch (thrown) {
        const damaged = isDamage(thrown);
        this.#drop();
        if (!damaged || last || this.#options.readonly) return this.#failed(thrown);
        this.#replace(thrown);
      }
    }
  }

  #connect(): DatabaseSync | null {
    if (this.#db && fileKey(this.#path) === this.#key) return this.#db;
    if (this.#db && !this.#options.readonly) this.#tell('the ledger was deleted or replaced: a new one was begun');
    // Closed before a new one is made: closing removes the -wal by its name.
    this.#drop();
    if (this.#options.readonly) this.#db = openForReading(this.#path);
    else {
      const { db, warning } = openForWriting(this.#path);
      this.#db = db;
      if (warning) this.#tell(warning);
    }
    this.#key = fileKey(this.#path);
    return this.#db;
  }

  #replace(why: unknown): void {
    try {
      this.#tell(
        `the ledger is damaged (${messageOf(why)}): it was kept as ${setAside(this.#path)}, a new one was begun`,
      );
    } catch (thrown) {
      this.#failed(thrown);
    }
  }

  #failed(thrown: unknown): undefined {
    if (this.#failure === null)
      this.#tell(
        this.#options.readonly
          ? `the ledger ${this.#path} cannot be read: ${messageOf(thrown)}`
          : `the ledger cannot be written (${messageOf(thrown)}): it is tried again, ${this.#pending.length} events wait`,
      );
    this.#failure = messageOf(thrown);
  }

  #tell(message: string): void {
    if (this.warnings.length < 100) this.warnings.push(message);
    try {
      this.#options.onProblem?.(message);
    } catch {
      // Who listens for problems must not become one.
    }
  }

  #drop(): void {
    closeQuietly(this.#db);
    this.#db = null;
    this.#recorder = null;
    this.#key = null;
  }
}

function older(version: string, than: string): boolean {
  const [a, b] = [version, than].map((v) => v.split('.').map(Number));
  for (let i = 0; i < 3; i++) if (a![i] !== b![i]) return (a![i] ?? 0) < (b![i] ?? 0);
  return false;
}
