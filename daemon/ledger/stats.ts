// The sums over the ledger: by day, project, agent, role and model, and what an accepted task took.
import type { DatabaseSync } from 'node:sqlite';
import type { Outcome, Queue } from '../task/terms.ts';
import { hasPast } from './retain.ts';
import { hasProjects } from './schema.ts';
import type { AcceptedTask, Stats, StatsGroup } from './terms.ts';

const BY = {
  total: "'total'",
  // The day of whoever looks: people count a night's work by their own calendar.
  day: "date(started_at, 'localtime')",
  project: "coalesce(project, '(none)')",
  agent: 'agent',
  role: 'role',
  model: "coalesce(model, '(default)')",
} as const;

/** Runs that began, and tasks that arrived, at or after `since` (ISO; null: ever). */
export function computeStats(db: DatabaseSync, since: string | null): Stats {
  const tasks = accepted(db, since);
  const cost = tasks.reduce((sum, task) => sum + task.cost_usd, 0);
  return {
    since,
    total: groups(db, 'total', since)[0] ?? emptyGroup('total'),
    by_day: groups(db, 'day', since),
    by_project: hasProjects(db) ? groups(db, 'project', since) : [],
    by_agent: groups(db, 'agent', since),
    by_role: groups(db, 'role', since),
    by_model: groups(db, 'model', since),
    reached: reachedAll(db, since),
    fixes: fixes(db, since),
    accepted: { tasks, cost_usd: cost, cost_per_task_usd: tasks.length > 0 ? cost / tasks.length : null },
  };
}

export const emptyStats = (since: string | null): Stats => ({
  since,
  total: emptyGroup('total'),
  ...{ by_day: [], by_project: [], by_agent: [], by_role: [], by_model: [], reached: {} },
  fixes: { tried: 0, helped: 0, rolled_back: 0, refused: 0 },
  accepted: { tasks: [], cost_usd: 0, cost_per_task_usd: null },
});

const emptyGroup = (key: string): StatsGroup => ({
  ...{ key, runs: 0, open: 0, outcomes: {}, cost_usd: 0, cost_unknown: 0, duration_ms: 0 },
  tokens: { input: 0, output: 0, cache_read: 0, cache_write: 0 },
});

type Sums = Record<
  'input' | 'output' | 'cache_read' | 'cache_write' | 'cost_usd' | 'cost_unknown' | 'duration_ms',
  number
>;

type Row = Sums & { key: string; outcome: Outcome | null; runs: number };

function groups(db: DatabaseSync, by: keyof typeof BY, since: string | null): StatsGroup[] {
  const runs = db
    .prepare(
      `SELECT ${BY[by]} AS key, outcome, count(*) AS runs, total(cost_usd) AS cost_usd,
       sum(cost_usd IS NULL AND outcome IS NOT NULL) AS cost_unknown, coalesce(sum(duration_ms), 0) AS duration_ms,
       sum(input) AS input, sum(output) AS output, sum(cache_read) AS cache_read, sum(cache_write) AS cache_write
       FROM attempts WHERE started_at >= ? GROUP BY key, outcome ORDER BY key`,
    )
    .all(since ?? '') as unknown as Row[];
  const rows = [...(hasPast(db, by) ? past(db, by, since) : []), ...runs];
  const found = new Map<string, StatsGroup>();
  for (const row of rows) {
    const group = found.get(row.key) ?? emptyGroup(row.key);
    found.set(row.key, group);
    group.runs += row.runs;
    if (row.outcome === null) group.open += row.runs;
    else group.outcomes[row.outcome] = (group.outcomes[row.outcome] ?? 0) + row.runs;
    group.cost_usd += row.cost_usd;
    group.cost_unknown += row.cost_unknown;
    group.duration_ms += row.duration_ms;
    for (const kind of ['input', 'output', 'cache_read', 'cache_write'] as const) group.tokens[kind] += row[kind];
  }
  return [...found.values()].sort((a, b) => (a.key < b.key ? -1 : 1));
}

/** The sums of runs that were let go; the day of `since` counts whole. */
const past = (db: DatabaseSync, by: keyof typeof BY, since: string | null): Row[] =>
  db
    .prepare(
      `SELECT ${by === 'total' ? "'total'" : by} AS key, nullif(outcome, '') AS outcome, sum(runs) AS runs, total(cost_usd) AS cost_usd,
       sum(cost_unknown) AS cost_unknown, sum(duration_ms) AS duration_ms, sum(input) AS input, sum(output) AS output,
       sum(cache_read) AS cache_read, sum(cache_write) AS cache_write
       FROM ${by === 'project' ? 'past_projects' : 'past'} WHERE day >= coalesce(date(?, 'localtime'), '') GROUP BY key, outcome`,
    )
    .all(since) as unknown as Row[];

/** What the reviews and fixes of a task took counts for the task; they are no tasks of anybody's. */
function accepted(db: DatabaseSync, since: string | null): AcceptedTask[] {
  const filed = db
    .prepare(
      `SELECT f.task AS task, f.parent AS parent, count(a.id) AS runs, total(a.cost_usd) AS cost_usd,
       coalesce(sum(a.cost_usd IS NULL AND a.outcome IS NOT NULL), 0) AS cost_unknown,
       coalesce(sum(a.duration_ms), 0) AS duration_ms
       FROM (SELECT DISTINCT task, json_extract(data, '$.parent') AS parent FROM events WHERE event = 'helper_filed') f
       LEFT JOIN attempts a ON a.task = f.task GROUP BY f.task, f.parent`,
    )
    .all() as unknown as (Omit<AcceptedTask, 'done_at'> & { parent: string })[];
  const helpers = new Set(filed.map(({ task }) => task));
  const tasks = done(db, since).filter(({ task }) => !helpers.has(task));
  const byId = new Map(tasks.map((task) => [task.task, task]));
  for (const { parent, ...took } of filed) {
    const task = byId.get(parent);
    if (!task) continue;
    for (const key of ['runs', 'cost_usd', 'cost_unknown', 'duration_ms'] as const) task[key] += took[key];
  }
  return tasks;
}

/** All runs of a task count, also those before `since`: that is what the result took. */
function done(db: DatabaseSync, since: string | null): AcceptedTask[] {
  return db
    .prepare(
      `SELECT d.task AS task, d.done_at AS done_at, count(a.id) AS runs, total(a.cost_usd) AS cost_usd,
       coalesce(sum(a.cost_usd IS NULL AND a.outcome IS NOT NULL), 0) AS cost_unknown,
       coalesce(sum(a.duration_ms), 0) AS duration_ms
       FROM (SELECT task, max(at) AS done_at FROM transitions WHERE "to" = 'done' AND at >= ? GROUP BY task) d
       LEFT JOIN attempts a ON a.task = d.task GROUP BY d.task ORDER BY d.done_at`,
    )
    .all(since ?? '')
    .map((row) => ({ ...row }) as unknown as AcceptedTask);
}

/** Patches for failed checks, of which the ledger still knows. One that is told twice, after a kill, counts once. */
function fixes(db: DatabaseSync, since: string | null): Stats['fixes'] {
  const rows = db
    .prepare(
      `SELECT json_extract(data, '$.outcome') AS outcome, count(DISTINCT task || ' ' || json_extract(data, '$.attempt')) AS n
       FROM events WHERE event = 'fix_finished' AND at >= ? GROUP BY 1`,
    )
    .all(since ?? '') as unknown as { outcome: string; n: number }[];
  const of = (outcome: string) => rows.find((row) => row.outcome === outcome)?.n ?? 0;
  const [helped, rolled_back] = [of('helped'), of('rolled_back')];
  return { tried: helped + rolled_back, helped, rolled_back, refused: of('refused') };
}

/** What a gate files is part of the task that it is filed for, and no task of anybody's. */
const NO_HELPER = "NOT EXISTS (SELECT 1 FROM events e WHERE e.task = transitions.task AND e.event = 'helper_filed')";

function reachedAll(db: DatabaseSync, since: string | null): Partial<Record<Queue, number>> {
  const rows = db
    .prepare(
      `SELECT "to" AS queue, count(DISTINCT task) AS n FROM transitions WHERE at >= ? AND ${NO_HELPER} GROUP BY "to"`,
    )
    .all(since ?? '') as unknown as { queue: Queue; n: number }[];
  return Object.fromEntries(rows.map((row) => [row.queue, row.n]));
}

/** How many tasks arrived in a queue since then. */
export function reached(db: DatabaseSync, queue: Queue, since: string): number {
  const sql = `SELECT count(DISTINCT task) AS n FROM transitions WHERE "to" = ? AND at >= ? AND ${NO_HELPER}`;
  return (db.prepare(sql).get(queue, since) as { n: number }).n;
}

/** The tasks that arrived in a queue last, the latest first. */
export function latest(db: DatabaseSync, queue: Queue, limit: number): string[] {
  const sql = 'SELECT task FROM transitions WHERE "to" = ? ORDER BY at DESC LIMIT ?';
  const rows = db.prepare(sql).all(queue, limit) as unknown as { task: string }[];
  return [...new Set(rows.map((row) => row.task))];
}

/** Dollars of runs that ended at or after `since`. */
export function spent(db: DatabaseSync, task: string | null, since: string): number {
  const sql = `SELECT total(cost_usd) AS usd FROM attempts WHERE finished_at >= ? ${task === null ? '' : 'AND task = ?'}`;
  return (db.prepare(sql).get(since, ...(task === null ? [] : [task])) as { usd: number }).usd;
}
