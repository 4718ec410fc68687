// What the budgets ask of the ledger: what the runs since a time used, and what the last ones did.
import type { DatabaseSync } from 'node:sqlite';
import type { TowpathEvent } from '../events.ts';
import type { RunCost } from './terms.ts';

/** So many of the last runs are looked through: a ledger may hold a million. */
const LOOKED_AT = 5000;

const TOKENS = 'input + output + cache_read + cache_write';

/** Sums of the runs that ended at or after `since`. */
export const endedSince = (db: DatabaseSync, since: string): RunCost[] =>
  db
    .prepare(
      `SELECT agent, role, project, total(cost_usd) AS usd, sum(${TOKENS}) AS tokens
       FROM attempts WHERE finished_at >= ? GROUP BY agent, role, project`,
    )
    .all(since)
    .map((row) => ({ ...row, project: row['project'] ?? undefined }) as unknown as RunCost);

/** The last ended runs, the latest first, at most `each` of each agent and role. */
export const lastEnded = (db: DatabaseSync, each: number): RunCost[] =>
  db
    .prepare(
      `SELECT agent, role, usd, tokens FROM (
         SELECT id, agent, role, usd, tokens, row_number() OVER (PARTITION BY agent, role ORDER BY id DESC) AS nth FROM (
           SELECT id, agent, role, cost_usd AS usd, ${TOKENS} AS tokens
           FROM attempts WHERE finished_at IS NOT NULL ORDER BY id DESC LIMIT ${LOOKED_AT}))
       WHERE nth <= ? ORDER BY id DESC`,
    )
    .all(each)
    .map((row) => ({ ...row }) as unknown as RunCost);

/** The same of events that are not written yet. */
export const costsOf = (events: readonly TowpathEvent[], since: string): RunCost[] =>
  events.flatMap((e) => {
    if (e.event !== 'attempt_finished' || e.at < since) return [];
    const tokens = e.input + e.output + e.cache_read + e.cache_write;
    return [{ agent: e.agent, role: e.role, usd: e.cost_usd, tokens, project: e.project }];
  });
