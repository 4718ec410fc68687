// The tables of the ledger: one row an event, and what is asked for often (attempts, transitions, checks, hooks) in columns.
import type { DatabaseSync } from 'node:sqlite';

/** Kept in `user_version`; a file of another version is set aside and begun anew, for the task files are the truth. */
export const LEDGER_VERSION = 1;

/** From here on a WAL reset can no longer lose a transaction. */
export const SQLITE_AT_LEAST = '3.51.3';

export const SCHEMA = `
CREATE TABLE events (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  at TEXT NOT NULL,
  event TEXT NOT NULL,
  task TEXT,
  data TEXT NOT NULL
) STRICT;
CREATE INDEX events_task ON events (task, id);

CREATE TABLE attempts (
  id INTEGER PRIMARY KEY,
  task TEXT NOT NULL,
  attempt INTEGER NOT NULL,
  agent TEXT NOT NULL,
  model TEXT,
  role TEXT NOT NULL,
  outcome TEXT,
  reason TEXT,
  started_at TEXT NOT NULL,
  finished_at TEXT,
  duration_ms INTEGER,
  input INTEGER NOT NULL DEFAULT 0,
  output INTEGER NOT NULL DEFAULT 0,
  cache_read INTEGER NOT NULL DEFAULT 0,
  cache_write INTEGER NOT NULL DEFAULT 0,
  cost_usd REAL,
  project TEXT
) STRICT;
CREATE INDEX attempts_task ON attempts (task, attempt, role);
CREATE INDEX attempts_started ON attempts (started_at);
CREATE INDEX attempts_finished ON attempts (finished_at);

CREATE TABLE transitions (
  id INTEGER PRIMARY KEY,
  at TEXT NOT NULL,
  task TEXT NOT NULL,
  "from" TEXT,
  "to" TEXT NOT NULL,
  outcome TEXT,
  reason TEXT
) STRICT;
CREATE INDEX transitions_to ON transitions ("to", at);

CREATE TABLE checks (
  id INTEGER PRIMARY KEY,
  at TEXT NOT NULL,
  task TEXT NOT NULL,
  attempt INTEGER NOT NULL,
  command TEXT NOT NULL,
  code INTEGER,
  ok INTEGER NOT NULL,
  duration_ms INTEGER NOT NULL,
  tree TEXT
) STRICT;
CREATE INDEX checks_task ON checks (task, attempt);

CREATE TABLE hooks (
  id INTEGER PRIMARY KEY,
  at TEXT NOT NULL,
  task TEXT,
  event TEXT NOT NULL,
  hook TEXT NOT NULL,
  ok INTEGER NOT NULL,
  decision TEXT NOT NULL,
  reason TEXT NOT NULL,
  duration_ms INTEGER NOT NULL
) STRICT;

PRAGMA user_version = ${LEDGER_VERSION};
`;

/** Whether runs tell their project: a file that an earlier version began does not, until it is opened for writing. */
export const hasProjects = (db: DatabaseSync): boolean =>
  db.prepare("SELECT 1 FROM pragma_table_info('attempts') WHERE name = 'project'").get() !== undefined;

/** The version stays: no reader of an earlier one misses or minds the column. What the events still know is filled in. */
export const ADD_PROJECTS = `
ALTER TABLE attempts ADD COLUMN project TEXT;
UPDATE attempts SET project = e.project FROM (
  SELECT task, json_extract(data, '$.attempt') AS attempt, json_extract(data, '$.role') AS role,
  json_extract(data, '$.project') AS project FROM events WHERE event = 'attempt_finished' AND data LIKE '%"project":%'
) e WHERE e.task = attempts.task AND e.attempt = attempts.attempt AND e.role = attempts.role;
`;
