// One daemon per workspace: an exclusive transaction on a small database of its own, which the kernel frees when the holder dies.
import { mkdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { z } from 'zod';
import { TowpathError } from './errors.ts';
import type { Workspace } from './paths.ts';

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
  /** Why waiting tasks wait, by id; the first hundred. */
  waiting: z.record(z.string(), z.string()),
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

/** Takes the workspace. Throws `daemon_running` with the holder's pid. The returned function lets go. */
export function holdWorkspace(workspace: Workspace): () => void {
  mkdirSync(workspace.state, { recursive: true, mode: 0o700 });
  const path = join(workspace.state, 'daemon.lock');
  const take = () => {
    const db = new DatabaseSync(path, { timeout: 0 });
    try {
      db.exec('PRAGMA journal_mode = DELETE; BEGIN EXCLUSIVE');
      return db;
    } catch (thrown) {
      db.close();
      throw thrown;
    }
  };
  let db: DatabaseSync;
  try {
    db = take();
  } catch (thrown) {
    if ((thrown as { errcode?: number }).errcode === 5) {
      const pid = readDaemonInfo(workspace)?.pid;
      throw new TowpathError(
        'daemon_running',
        `a daemon already runs in ${workspace.root}${pid ? ` (pid ${pid})` : ''}`,
        'use it, or end it with "towpath stop"',
      );
    }
    // Not a database: a cut-off file holds nobody back.
    rmSync(path, { force: true });
    db = take();
  }
  return () => db.close();
}
