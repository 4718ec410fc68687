// One daemon per workspace: an exclusive transaction on a small database of its own, which the kernel frees when the holder dies.
import { existsSync, mkdirSync, readFileSync, statSync, truncateSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { z } from 'zod';
import { messageOf, TowpathError } from './errors.ts';
import { machineFault } from './faults.ts';
import type { Workspace } from './paths.ts';
import { isAlive } from './process/identity.ts';

/** What the daemon tells of itself in `.towpath/daemon.json`. */
export const daemonInfoSchema = z.object({
  pid: z.number().int(),
  host: z.string(),
  boot_id: z.string(),
  started: z.string(),
  started_at: z.string(),
  socket: z.string(),
  version: z.string(),
  paused: z.string().nullable(),
  faults: z.array(z.object({ what: z.string(), since: z.string(), doing: z.string() })),
  /** The model servers: whether they answered when they were last asked, and how many runs they have. */
  endpoints: z
    .array(
      z.object({
        name: z.string(),
        models: z.array(z.string()),
        reachable: z.boolean().nullable(),
        told: z.string(),
        used: z.number(),
        slots: z.number(),
      }),
    )
    .default([]),
  /** Why waiting tasks wait, by id; the first hundred. */
  waiting: z.record(z.string(), z.string()),
  /** Tasks that wait for an answer; the first hundred. */
  questions: z.array(z.string()).default([]),
  /** How many tasks lie in queues that are too large to be counted at every question. */
  counts: z.record(z.string(), z.number()).default({}),
  /** What each running run reserves of the budgets of the day. */
  reserved: z
    .array(z.object({ agent: z.string(), project: z.string().optional(), usd: z.number(), tokens: z.number() }))
    .default([]),
});
export type DaemonInfo = z.output<typeof daemonInfoSchema>;

export const daemonInfoPath = (workspace: Workspace): string => join(workspace.state, 'daemon.json');

/** What the last daemon told; null when there is nothing readable. Whether it still lives is another question. */
export function readDaemonInfo(workspace: Workspace): DaemonInfo | null {
  try {
    const parsed = daemonInfoSchema.safeParse(JSON.parse(readFileSync(daemonInfoPath(workspace), 'utf8')));
    return parsed.success ? parsed.data : null;
  } catch {
    return null;
  }
}

/** The workspace as held by this process. */
export interface Hold {
  release(): void;
  /** Makes sure that it is still held, also when somebody removed the lock's file; false when another daemon has it now. */
  renew(): boolean;
}

/** Result codes of SQLite: another holds it; the file is none of its own. */
const BUSY = 5;
const DAMAGED = [11, 26];
const codeOf = (thrown: unknown): number => ((thrown as { errcode?: number }).errcode ?? 0) & 0xff;

/** How long a command that works without a daemon may have the workspace before whoever waits gives up, ms. */
const PATIENCE_MS = 10_000;

/**
 * Takes the workspace, for a daemon or for a command that works without one; a command is waited for. Throws
 * `daemon_running` with the holder's pid, `filesystem` where nothing can be written.
 */
export function holdWorkspace(workspace: Workspace): Hold {
  const path = join(workspace.state, 'daemon.lock');
  let db = takeInTime(workspace, path);
  let key = keyOf(path);
  return {
    release: () => db.close(),
    renew() {
      if (keyOf(path) === key || !existsSync(workspace.state)) return true;
      let fresh: DatabaseSync;
      try {
        fresh = takeOrReplace(path);
      } catch (thrown) {
        return codeOf(thrown) !== BUSY;
      }
      db.close();
      db = fresh;
      key = keyOf(path);
      return true;
    },
  };
}

function takeInTime(workspace: Workspace, path: string): DatabaseSync {
  const held = (message: string) =>
    new TowpathError('daemon_running', message, 'use it, or end it with "towpath stop"');
  for (const end = performance.now() + PATIENCE_MS; ; ) {
    try {
      mkdirSync(workspace.state, { recursive: true, mode: 0o700 });
      return takeOrReplace(path);
    } catch (thrown) {
      if (codeOf(thrown) !== BUSY)
        throw new TowpathError(
          'filesystem',
          `cannot lock ${path}: ${machineFault(thrown) ?? messageOf(thrown)}`,
          'make the folder writable and start again',
        );
    }
    const info = readDaemonInfo(workspace);
    if (info && isAlive(info)) throw held(`a daemon already runs in ${workspace.root} (pid ${info.pid})`);
    if (performance.now() > end) throw held(`another command has been at work in ${workspace.root} for long`);
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 20);
  }
}

function takeOrReplace(path: string): DatabaseSync {
  try {
    return take(path);
  } catch (thrown) {
    // Not a database: a cut-off file holds nobody back. Emptied and not removed, or two that do so would not see each other.
    if (!DAMAGED.includes(codeOf(thrown))) throw thrown;
    truncateSync(path);
    return take(path);
  }
}

function take(path: string): DatabaseSync {
  const db = new DatabaseSync(path, { timeout: 0 });
  try {
    db.exec('PRAGMA journal_mode = DELETE; BEGIN EXCLUSIVE');
    return db;
  } catch (thrown) {
    db.close();
    throw thrown;
  }
}

const keyOf = (path: string): string => {
  const stat = statSync(path, { throwIfNoEntry: false });
  return stat ? `${stat.dev}:${stat.ino}` : 'none';
};
