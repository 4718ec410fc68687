// Rows of the ledger as objects: events, attempts, checks.
import type { DatabaseSync } from 'node:sqlite';
import type { Tokens } from '../task/terms.ts';
import type { Attempt, CheckRow, LedgerEvent } from './terms.ts';

export function eventRows(
  db: DatabaseSync,
  { after, task, limit }: { after?: number; task?: string; limit?: number },
): LedgerEvent[] {
  const latest = after === undefined && limit !== undefined;
  const rows = db
    .prepare(
      `SELECT id, at, event, task, data FROM events WHERE id > ? ${task === undefined ? '' : 'AND task = ?'}
       ORDER BY id ${latest ? 'DESC' : ''} LIMIT ?`,
    )
    .all(after ?? 0, ...(task === undefined ? [] : [task]), limit ?? -1) as unknown as (Omit<LedgerEvent, 'data'> & {
    data: string;
  })[];
  if (latest) rows.reverse();
  return rows.map((row) => ({ ...row, data: parse(row.data) }));
}

export const lastEventId = (db: DatabaseSync): number =>
  (db.prepare('SELECT coalesce(max(id), 0) AS id FROM events').get() as { id: number }).id;

export function attemptRows(db: DatabaseSync, { task, since }: { task?: string; since?: string }): Attempt[] {
  const rows = db
    .prepare(
      `SELECT task, attempt, agent, model, role, outcome, reason, started_at, finished_at, duration_ms,
       input, output, cache_read, cache_write, cost_usd
       FROM attempts WHERE started_at >= ? ${task === undefined ? '' : 'AND task = ?'} ORDER BY id`,
    )
    .all(since ?? '', ...(task === undefined ? [] : [task])) as unknown as (Omit<Attempt, 'tokens'> & Tokens)[];
  return rows.map(({ input, output, cache_read, cache_write, ...row }) => ({
    ...row,
    tokens: { input, output, cache_read, cache_write },
  }));
}

export function checkRows(db: DatabaseSync, { task, attempt }: { task: string; attempt?: number }): CheckRow[] {
  const rows = db
    .prepare(
      `SELECT at, task, attempt, command, code, ok, duration_ms, tree FROM checks
       WHERE task = ? ${attempt === undefined ? '' : 'AND attempt = ?'} ORDER BY id`,
    )
    .all(task, ...(attempt === undefined ? [] : [attempt])) as unknown as (Omit<CheckRow, 'ok'> & { ok: number })[];
  return rows.map((row) => ({ ...row, ok: row.ok !== 0 }));
}

function parse(json: string): Record<string, unknown> {
  try {
    return JSON.parse(json) as Record<string, unknown>;
  } catch {
    return {};
  }
}
