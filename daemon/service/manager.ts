// What a service manager must be able to do for us; one file each for systemd and launchd.
import { TowpathError } from '../errors.ts';
import { childEnv } from '../process/env.ts';
import { run } from '../process/run.ts';

export interface ServiceState {
  /** Comes up by itself. */
  enabled: boolean;
  /** In the manager's own word: `active`, `failed`, `activating` … */
  active: string;
  running: boolean;
  pid: number | null;
  since: string | null;
}

export interface Manager {
  /** Where the file of the service lies. */
  file: string;
  /** Null when the manager answers, else why it does not. */
  absent(): Promise<string | null>;
  /** Makes the file known and lets it come up by itself; with `start` also now. Throws `failed`. */
  enable(start: boolean): Promise<void>;
  /** Stops it, ends what it runs, and forgets it; the file is still there. */
  disable(): Promise<void>;
  /** After the file was removed. */
  forget(): Promise<void>;
  state(): Promise<ServiceState>;
  /** Commands to tell a person of. */
  commands: { log: string; restart: string };
  /** What a person should know after an install. */
  hints(): Promise<string[]>;
}

/** A start waits until the daemon is ready, a stop until it has ended. */
const TIMEOUT_MS = 6 * 60_000;

/** Runs a program of the manager and returns what it prints. Throws `failed` with what it said. */
export async function call(argv: readonly string[], env: Record<string, string> = {}, next = ''): Promise<string> {
  const result = await tryCall(argv, env);
  if (result.code === 0) return result.stdout;
  const why = result.spawnError ?? (result.stderr.trim().split('\n')[0] || `exit code ${result.code}`);
  throw new TowpathError('failed', `${argv.join(' ')}: ${why}`, next);
}

export const tryCall = (argv: readonly string[], env: Record<string, string> = {}) =>
  run({
    argv,
    cwd: '/',
    env: childEnv({ allow: ['XDG_RUNTIME_DIR', 'XDG_CONFIG_HOME', 'DBUS_SESSION_BUS_ADDRESS'], set: env }),
    timeout_ms: TIMEOUT_MS,
  });
