// What the daemon tells of itself: asked of it, since its file is old where nothing can be written, else read from there.
import { existsSync, statSync } from 'node:fs';
import { type DaemonInfo, daemonInfoSchema, readDaemonInfo } from '../hold.ts';
import type { Workspace } from '../paths.ts';
import { isAlive } from '../process/identity.ts';
import { ask, socketPath } from './control.ts';

/** A daemon that stands still is not waited for longer than this, ms. */
const PATIENCE_MS = 500;

/** The daemon that runs, or null. */
export async function liveInfo(workspace: Workspace): Promise<DaemonInfo | null> {
  const socket = socketPath(workspace);
  if (existsSync(socket)) {
    const late = new Promise<null>((resolve) => setTimeout(resolve, PATIENCE_MS, null).unref());
    const told = await Promise.race([ask(socket, { op: 'info' }).catch(() => null), late]);
    const parsed = daemonInfoSchema.safeParse(told);
    if (parsed.success) return parsed.data;
  }
  const info = readDaemonInfo(workspace);
  if (!info || !isAlive(info)) return null;
  const heard = statSync(workspace.alive, { throwIfNoEntry: false })?.mtime.toISOString() ?? info.started_at;
  const silent = { what: `the daemon (pid ${info.pid}) does not answer: what is shown may be old`, since: heard };
  return { ...info, faults: [...info.faults, { ...silent, doing: 'its agents go on; a service manager restarts it' }] };
}
