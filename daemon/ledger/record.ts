// Writes one event into the tables: always as itself, and into its own table where it has one.
import type { DatabaseSync, StatementSync } from 'node:sqlite';
import type { EventMap, TowpathEvent } from '../events.ts';
import type { Outcome } from '../task/terms.ts';

/** Longer texts are cut: the run's folder has all of it. */
const TEXT_MAX = 4000;

/** Outcomes that are found after the agent has ended. */
const JUDGED: readonly Outcome[] = ['check_failed', 'rejected', 'no_changes', 'conflict', 'failed'];

type At<K extends keyof EventMap> = { at: string } & EventMap[K];

/** The prepared statements of one connection. */
export class Recorder {
  readonly #event: StatementSync;
  readonly #transition: StatementSync;
  readonly #check: StatementSync;
  readonly #hook: StatementSync;
  readonly #open: StatementSync;
  readonly #latest: StatementSync;
  readonly #start: StatementSync;
  readonly #restart: StatementSync;
  readonly #finish: StatementSync;
  readonly #judge: StatementSync;

  constructor(db: DatabaseSync) {
    this.#event = db.prepare('INSERT INTO events (at, event, task, data) VALUES (?, ?, ?, ?)');
    this.#transition = db.prepare(
      'INSERT INTO transitions (at, task, "from", "to", outcome, reason) VALUES (?, ?, ?, ?, ?, ?)',
    );
    this.#check = db.prepare(
      'INSERT INTO checks (at, task, attempt, command, code, ok, duration_ms, tree) VALUES (?, ?, ?, ?, ?, ?, ?, ?)',
    );
    this.#hook = db.prepare(
      'INSERT INTO hooks (at, task, event, hook, ok, decision, reason, duration_ms) VALUES (?, ?, ?, ?, ?, ?, ?, ?)',
    );
    const same = 'FROM attempts WHERE task = ? AND attempt = ? AND role = ?';
    this.#open = db.prepare(`SELECT id ${same} AND outcome IS NULL ORDER BY id DESC LIMIT 1`);
    this.#latest = db.prepare(`SELECT id ${same} ORDER BY id DESC LIMIT 1`);
    this.#start = db.prepare(
      'INSERT INTO attempts (task, attempt, role, agent, model, started_at, project) VALUES (?, ?, ?, ?, ?, ?, ?)',
    );
    this.#restart = db.prepare('UPDATE attempts SET agent = ?, model = coalesce(?, model) WHERE id = ?');
    this.#finish = db.prepare(
      `UPDATE attempts SET agent = ?, model = coalesce(?, model), outcome = ?, reason = ?, finished_at = ?, duration_ms = ?,
       input = ?, output = ?, cache_read = ?, cache_write = ?, cost_usd = ?, project = ? WHERE id = ?`,
    );
    this.#judge = db.prepare(
      `UPDATE attempts SET outcome = ?, reason = ? WHERE id = (SELECT id FROM attempts WHERE task = ? AND outcome = 'ok'
       AND attempt = (SELECT attempt FROM attempts WHERE task = ? ORDER BY id DESC LIMIT 1)
       ORDER BY role = 'reviewer', id DESC LIMIT 1)`,
    );
  }

  write(e: TowpathEvent): void {
    const { at, event, ...rest } = e;
    const { task = null, ...data } = rest as { task?: string | null };
    this.#event.run(
      at,
      event,
      task,
      JSON.stringify(data, (_, v) => (typeof v === 'string' ? cut(v) : v)),
    );
    if (e.event === 'transition') this.#moved(e);
    else if (e.event === 'attempt_started') this.#started(e);
    else if (e.event === 'attempt_finished') this.#finished(e);
    else if (e.event === 'check_finished')
      this.#check.run(
        ...[at, e.task, e.attempt, cut(e.command), e.code, Number(e.ok), Math.round(e.duration_ms), e.tree],
      );
    else if (e.event === 'hook_finished')
      this.#hook.run(
        ...[at, e.task, momentOf(e), e.hook, Number(e.ok), e.decision, cut(e.reason), Math.round(e.duration_ms)],
      );
  }

  /** A run whose agent said ok comes to what git, the checks or the review say of it. */
  #moved({ at, task, from, to, outcome, reason = '' }: At<'transition'>): void {
    this.#transition.run(at, task, from, to, outcome ?? null, cut(reason) || null);
    if ((from === 'claimed' || from === 'provisional') && outcome && JUDGED.includes(outcome))
      this.#judge.run(outcome, cut(reason), task, task);
  }

  /** A run that is gone on with (a new daemon, a new try of a phase) keeps its row and its start. */
  #started(e: At<'attempt_started'>): void {
    const open = this.#open.get(e.task, e.attempt, e.role) as { id: number } | undefined;
    if (open) this.#restart.run(e.agent, e.model, open.id);
    else this.#start.run(e.task, e.attempt, e.role, e.agent, e.model, e.at, e.project ?? null);
  }

  /** A run that is reported as finished twice, because settling was entered again, is counted once. */
  #finished(e: At<'attempt_finished'>): void {
    const key = [e.task, e.attempt, e.role] as const;
    const row = (this.#open.get(...key) ?? this.#latest.get(...key)) as { id: number | bigint } | undefined;
    const started = new Date(Date.parse(e.at) - e.duration_ms).toISOString();
    const id = row?.id ?? this.#start.run(...key, e.agent, e.model, started, null).lastInsertRowid;
    this.#finish.run(
      ...[e.agent, e.model, e.outcome, cut(e.reason), e.at, Math.round(e.duration_ms)],
      ...[e.input, e.output, e.cache_read, e.cache_write].map((n) => Math.round(n)),
      ...[e.cost_usd, e.project ?? null, id],
    );
  }
}

/** The moment (`pre_task` …) that a hook stood for; it must not be called `event` in the data, or it would replace the event's own name. */
const momentOf = (e: object): string => String((e as { moment?: unknown }).moment ?? '');

/** NUL would end a text early in other readers of the file. */
const cut = (text: string): string => {
  const clean = text.replaceAll('\0', '');
  return clean.length > TEXT_MAX ? `${clean.slice(0, TEXT_MAX)}…` : clean;
};
