// How a command gets at the workspace: its settings, its queue, and the daemon if one runs.

import { existsSync, mkdirSync } from 'node:fs';
import { lock } from 'proper-lockfile';
import { ask, type Request } from '../api/control.ts';
import { type LoadedSettings, loadSettings, worktreesDir } from '../config.ts';
import { TowpathError } from '../errors.ts';
import { Events } from '../events.ts';
import { makeFolders } from '../folders.ts';
import { type DaemonInfo, readDaemonInfo } from '../hold.ts';
import { openLedger } from '../ledger/ledger.ts';
import type { Operator } from '../operate.ts';
import { findWorkspace, type Workspace } from '../paths.ts';
import { isAlive } from '../process/identity.ts';
import { FileQueue } from '../queue/files/engine.ts';
import { toJson } from '../queue/port.ts';
import type { TaskJson } from '../task/terms.ts';

export interface Opened {
  workspace: Workspace;
  loaded: LoadedSettings;
  queue: FileQueue;
  /** The daemon that runs, or null. */
  daemon: DaemonInfo | null;
}

/** Opens the workspace of `--workspace`, the environment or the current folder. */
export function open(given?: string): Opened {
  const workspace = findWorkspace(given);
  const loaded = loadSettings(workspace);
  // A workspace that was never used gets its folders; where they are gone later, nothing is made in their place.
  if (!existsSync(workspace.state)) makeFolders(workspace, worktreesDir(loaded.settings, workspace));
  const info = readDaemonInfo(workspace);
  const daemon = info && isAlive(info) ? info : null;
  return { workspace, loaded, queue: new FileQueue(workspace, { durability: loaded.settings.durability }), daemon };
}

/** Asks the daemon; throws `daemon_not_running` when there is none. */
export function askDaemon({ daemon }: Opened, request: Request): Promise<unknown> {
  if (!daemon) throw new TowpathError('daemon_not_running', 'no daemon runs in this workspace', 'run "towpath start"');
  return ask(daemon.socket, request);
}

/** Carries out a verb: by the daemon when one runs, else here, with no other command in between. */
export async function operate(
  opened: Opened,
  request: Request,
  local: (op: Operator) => Promise<Parameters<typeof toJson>[0]>,
): Promise<TaskJson> {
  if (opened.daemon) return (await askDaemon(opened, request)) as TaskJson;
  const { workspace, queue, loaded } = opened;
  mkdirSync(workspace.state, { recursive: true, mode: 0o700 });
  const release = await lock(workspace.state, {
    lockfilePath: `${workspace.state}/edit.lock`,
    retries: { retries: 50, minTimeout: 20, maxTimeout: 200 },
  });
  const events = new Events();
  const ledger = openLedger(workspace, {});
  ledger.attach(events);
  try {
    return toJson(await local({ workspace, settings: loaded.settings, queue, events, endRunning: async () => false }));
  } finally {
    ledger.flush();
    ledger.close();
    await release();
  }
}
