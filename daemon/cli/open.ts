// How a command gets at the workspace: its settings, its queue, and the daemon if one runs.

import { existsSync } from 'node:fs';
import { ask, type Request } from '../api/control.ts';
import { type LoadedSettings, loadSettings } from '../config.ts';
import { TowpathError } from '../errors.ts';
import { Events } from '../events.ts';
import { makeFolders } from '../folders.ts';
import { type DaemonInfo, type Hold, holdWorkspace, readDaemonInfo } from '../hold.ts';
import { openLedger } from '../ledger/ledger.ts';
import type { Operator } from '../operate.ts';
import { ownPrograms } from '../owner.ts';
import { findWorkspace, type Workspace } from '../paths.ts';
import { isAlive, self } from '../process/identity.ts';
import { endOrphans } from '../process/orphans.ts';
import { FileQueue } from '../queue/files/engine.ts';
import { toJson } from '../queue/port.ts';
import { useSecrets } from '../secrets.ts';
import { settingsSchema, worktreesDir } from '../settings.ts';
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
  const info = readDaemonInfo(workspace);
  const daemon = info && isAlive(info) ? info : null;
  const loaded = daemon ? loadLeniently(workspace) : loadSettings(workspace);
  useSecrets(loaded.settings, workspace.root);
  // A workspace that was never used gets its folders; where they are gone later, nothing is made in their place.
  if (!existsSync(workspace.state)) makeFolders(workspace, worktreesDir(loaded.settings, workspace));
  return { workspace, loaded, queue: new FileQueue(workspace, { durability: loaded.settings.durability }), daemon };
}

/** Beside a daemon, which goes on with the settings from before, wrong ones must not keep anybody from looking or stopping. */
function loadLeniently(workspace: Workspace): LoadedSettings {
  try {
    return loadSettings(workspace);
  } catch (thrown) {
    if (!(thrown instanceof TowpathError) || thrown.code !== 'bad_settings') throw thrown;
    return { settings: settingsSchema.parse({}), origins: new Map() };
  }
}

/** Asks the daemon; throws `daemon_not_running` when there is none. */
export function askDaemon({ daemon }: Opened, request: Request): Promise<unknown> {
  if (!daemon) throw new TowpathError('daemon_not_running', 'no daemon runs in this workspace', 'run "towpath start"');
  return ask(daemon.socket, request);
}

/** Carries out a verb on a task. */
export const operate = (
  opened: Opened,
  request: Request,
  local: (op: Operator) => Promise<Parameters<typeof toJson>[0]>,
): Promise<TaskJson> => carryOut(opened, request, async (op) => toJson(await local(op)));

/** Does what is asked: by the daemon when one runs, else here, with no other command in between. */
export async function carryOut<T>(opened: Opened, request: Request, local: (op: Operator) => Promise<T>): Promise<T> {
  if (opened.daemon) return (await askDaemon(opened, request)) as T;
  const { workspace, queue, loaded } = opened;
  let hold: Hold;
  try {
    // No daemon begins while this one task is changed, and no other command.
    hold = holdWorkspace(workspace);
  } catch (thrown) {
    const info = readDaemonInfo(workspace);
    if (info && isAlive(info)) return (await ask(info.socket, request)) as T;
    throw thrown;
  }
  ownPrograms(workspace.root, self());
  await endOrphans(workspace.root);
  const events = new Events();
  const ledger = openLedger(workspace, {});
  ledger.attach(events);
  try {
    return await local({ workspace, settings: loaded.settings, queue, events, endRunning: async () => false });
  } finally {
    ledger.flush();
    ledger.close();
    hold.release();
  }
}
