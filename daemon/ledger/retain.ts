// What is old leaves the ledger, a few rows at a time; of runs the sums stay. The pages that come free are used again, so the file keeps its size.
import type { DatabaseSync } from 'node:sqlite';

/** Made when the first runs are let go, also in a file that an earlier version began: no reader misses it. */
const past = (table: string, by: readonly string[]): string => `
CREATE TABLE IF NOT EXISTS ${table} (
  day TEXT NOT NULL,
  ${by.map((name) => `${name} TEXT NOT NULL,`).join('\n  ')}
  outcome TEXT NOT NULL,
  runs INTEGER NOT NULL,
  cost_usd REAL NOT NULL,
  cost_unknown INTEGER NOT NULL,
  duration_ms INTEGER NOT NULL,
  input INTEGER NOT NULL,
  output INTEGER NOT NULL,
  cache_read INTEGER NOT NULL,
  cache_write INTEGER NOT NULL,
  PRIMARY KEY (day, ${by.join(', ')}, outcome)
) STRICT;
`;

/** Projects came later, so they have a table of their own. */
const KEPT = [
  { table: 'past', by: { agent: 'agent', role: 'role', model: "coalesce(model, '(default)')" } },
  { table: 'past_projects', by: { project: "coalesce(project, '(none)')" } },
] as const;

const SUMS = ['runs', 'cost_usd', 'cost_unknown', 'duration_ms', 'input', 'output', 'cache_read', 'cache_write'];

/** Each table with the column that says when. Their ids rise with time. */
const TABLES = [
  ['events', 'at'],
  ['transitions', 'at'],
  ['checks', 'at'],
  ['hooks', 'at'],
  ['attempts', 'started_at'],
] as const;

/** Lets go of up to `most` rows of each table that are older than `before` (ISO). Returns whether there are more. */
export function letGo(db: DatabaseSync, before: string, most: number): boolean {
  let more = false;
  db.exec('BEGIN IMMEDIATE');
  try {
    for (const [table, at] of TABLES) {
      const last = lastOld(db, table, at, before, most);
      if (last === null) continue;
      if (table === 'attempts') keepSums(db, last);
      const { changes } = db.prepare(`DELETE FROM ${table} WHERE id <= ?`).run(last);
      more ||= Number(changes) >= most;
    }
    db.exec('COMMIT');
  } catch (thrown) {
    if (db.isTransaction) db.exec('ROLLBACK');
    throw thrown;
  }
  return more;
}

/** The last of the first rows that are all old: the rest of the table is not looked at. */
function lastOld(db: DatabaseSync, table: string, at: string, before: string, most: number): number | null {
  const rows = db.prepare(`SELECT id, ${at} AS at FROM ${table} ORDER BY id LIMIT ?`).all(most) as unknown as {
    id: number;
    at: string;
  }[];
  const young = rows.findIndex((row) => row.at >= before);
  return rows[(young < 0 ? rows.length : young) - 1]?.id ?? null;
}

/** A run whose end was never seen has nothing to sum but itself. */
function keepSums(db: DatabaseSync, last: number): void {
  for (const { table, by } of KEPT) {
    const names = Object.keys(by);
    db.exec(past(table, names));
    db.prepare(
      `INSERT INTO ${table} (day, ${names.join(', ')}, outcome, ${SUMS.join(', ')})
       SELECT date(started_at, 'localtime') AS d, ${Object.values(by).join(', ')}, coalesce(outcome, '') AS o,
       count(*), total(cost_usd), sum(cost_usd IS NULL AND outcome IS NOT NULL), coalesce(sum(duration_ms), 0),
       sum(input), sum(output), sum(cache_read), sum(cache_write)
       FROM attempts WHERE id <= ? GROUP BY d, ${Object.values(by).join(', ')}, o
       ON CONFLICT DO UPDATE SET ${SUMS.map((name) => `${name} = ${name} + excluded.${name}`).join(', ')}`,
    ).run(last);
  }
}

/** Whether runs were let go. */
export const hasPast = (db: DatabaseSync, by = ''): boolean =>
  db.prepare('SELECT 1 FROM sqlite_schema WHERE name = ?').get(by === 'project' ? 'past_projects' : 'past') !==
  undefined;
