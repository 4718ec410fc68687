// The ledger's file: opened for writing or reading, checked, and set aside (never deleted) when it cannot serve.
import { existsSync, mkdirSync, renameSync, statSync } from 'node:fs';
import { dirname } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { messageOf } from '../errors.ts';
import { ADD_PROJECTS, hasProjects, LEDGER_VERSION, SCHEMA } from './schema.ts';

/** How long a statement waits for another process; the daemon's loop stands still meanwhile, so it is short. */
const BUSY_MS = 500;
/** Above this a full check at the start would take seconds; damage then shows at the first statement that meets it. */
const CHECK_BYTES = 64e6;
const ASIDE = ['', '-wal', '-shm', '-journal'];

/** SQLite's primary result codes that matter here. */
const SQLITE = { corrupt: 11, cannot_open: 14, constraint: 19, mismatch: 20, not_a_db: 26 } as const;
export const sqliteCode = (thrown: unknown): number | undefined => {
  const code = (thrown as { errcode?: number }).errcode;
  return code === undefined ? undefined : code & 0xff;
};

/** A file that is no ledger of ours, or is damaged: no waiting will mend it. */
class Unusable extends Error {}

export const isDamage = (thrown: unknown): boolean => {
  const code = sqliteCode(thrown);
  return thrown instanceof Unusable || code === SQLITE.corrupt || code === SQLITE.not_a_db;
};

/** A value that does not fit (a type, a constraint), as against a file that cannot be written. */
export const isMisfit = (thrown: unknown): boolean => {
  const code = sqliteCode(thrown);
  return code === undefined ? !(thrown instanceof Unusable) : code === SQLITE.constraint || code === SQLITE.mismatch;
};

/** Device and inode of a file, so that a deleted or replaced one is noticed; null when there is none. */
export function fileKey(path: string): string | null {
  const stat = statSync(path, { throwIfNoEntry: false, bigint: true });
  return stat ? `${stat.dev}:${stat.ino}` : null;
}

/** Opens for writing. A file that cannot serve is set aside; what was done about it comes back as a warning. Throws when even a new file cannot be had. */
export function openForWriting(path: string): { db: DatabaseSync; warning: string | null } {
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
  try {
    return { db: connect(path), warning: null };
  } catch (thrown) {
    if (!isDamage(thrown) && !cannotEverOpen(path, thrown)) throw thrown;
    const aside = setAside(path);
    const why = thrown instanceof Unusable ? thrown.message : messageOf(thrown);
    return {
      db: connect(path),
      warning: `the ledger could not be used (${why}): it was kept as ${aside}, a new one was begun`,
    };
  }
}

/** Opens for reading; null when there is no file yet. Throws when it is there and cannot be read. */
export function openForReading(path: string): DatabaseSync | null {
  if (!existsSync(path)) return null;
  const db = new DatabaseSync(path, { readOnly: true, timeout: BUSY_MS });
  try {
    const version = versionOf(db);
    if (version === LEDGER_VERSION) return db;
    db.close();
    // Version 0 is a file that its writer has not filled yet.
    if (version === 0) return null;
  } catch (thrown) {
    closeQuietly(db);
    throw thrown;
  }
  throw new Unusable('it is of another version of Towpath');
}

/** Moves the file and what belongs to it out of the way. Returns its new name. */
export function setAside(path: string): string {
  const stamp = new Date().toISOString().replace(/[-:]|\.\d+/g, '');
  let aside = `${path}.aside-${stamp}`;
  for (let n = 2; existsSync(aside); n++) aside = `${path}.aside-${stamp}-${n}`;
  for (const suffix of ASIDE) if (existsSync(path + suffix)) renameSync(path + suffix, aside + suffix);
  return aside;
}

export function closeQuietly(db: DatabaseSync | null): void {
  try {
    db?.close();
  } catch {
    // It was closed already, or its file is gone: nothing is left to do.
  }
}

function connect(path: string): DatabaseSync {
  const db = new DatabaseSync(path, { timeout: BUSY_MS });
  try {
    const version = versionOf(db);
    const tables = db.prepare('SELECT count(*) AS n FROM sqlite_schema').get() as { n: number };
    if (version !== LEDGER_VERSION && (version !== 0 || tables.n > 0))
      throw new Unusable(
        version === 0 ? 'it is a database of something else' : `it has version ${version}, not ${LEDGER_VERSION}`,
      );
    // NORMAL would lose acknowledged rows in a power cut.
    db.exec('PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA journal_size_limit = 16777216');
    if (version === 0) create(db);
    else if (statSync(path).size < CHECK_BYTES) check(db);
    if (!hasProjects(db)) change(db, () => hasProjects(db) || db.exec(ADD_PROJECTS));
    return db;
  } catch (thrown) {
    closeQuietly(db);
    throw thrown;
  }
}

/** Two processes may begin one file at once: the second finds the tables made. */
function create(db: DatabaseSync): void {
  change(db, () => versionOf(db) > 0 || db.exec(SCHEMA));
}

function change(db: DatabaseSync, work: () => unknown): void {
  db.exec('BEGIN IMMEDIATE');
  try {
    work();
    db.exec('COMMIT');
  } catch (thrown) {
    if (db.isTransaction) db.exec('ROLLBACK');
    throw thrown;
  }
}

function check(db: DatabaseSync): void {
  const found = db.prepare('PRAGMA quick_check(1)').get() as { quick_check: string } | undefined;
  if (found?.quick_check !== 'ok') throw new Unusable(`it is damaged: ${found?.quick_check ?? 'no answer'}`);
}

const versionOf = (db: DatabaseSync): number =>
  (db.prepare('PRAGMA user_version').get() as { user_version: number }).user_version;

/** Something is there that is no file we may read (a folder, another's file): waiting will not change it. */
function cannotEverOpen(path: string, thrown: unknown): boolean {
  if (sqliteCode(thrown) !== SQLITE.cannot_open) return false;
  const stat = statSync(path, { throwIfNoEntry: false });
  return stat !== undefined && (!stat.isFile() || (stat.mode & 0o600) !== 0o600);
}
