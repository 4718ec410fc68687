// Tells a service manager how we are, over NOTIFY_SOCKET: by its own program, because Node has no datagram sockets of this kind.
import { childEnv } from '../process/env.ts';
import { run } from '../process/run.ts';

const TIMEOUT_MS = 10_000;

/** What a service manager gave us; null when there is none. It is taken out of the environment: no child is to speak for us. */
export function fromManager(
  env: NodeJS.ProcessEnv = process.env,
): { socket: string; watchdog_ms: number | null } | null {
  const { NOTIFY_SOCKET: socket, WATCHDOG_USEC, WATCHDOG_PID } = env;
  for (const name of ['NOTIFY_SOCKET', 'WATCHDOG_USEC', 'WATCHDOG_PID']) delete env[name];
  if (!socket) return null;
  const ours = WATCHDOG_PID === undefined || Number(WATCHDOG_PID) === process.pid;
  const usec = ours ? Number(WATCHDOG_USEC) : 0;
  return { socket, watchdog_ms: usec > 0 ? usec / 1000 : null };
}

/** Sends variables such as `READY=1` in the order they are given. The first failure is told, later ones are not. */
export class Notifier {
  readonly #socket: string;
  readonly #onProblem: (message: string) => void;
  #last: Promise<void> = Promise.resolve();
  #failed = false;

  constructor(socket: string, onProblem: (message: string) => void) {
    this.#socket = socket;
    this.#onProblem = onProblem;
  }

  send(...variables: string[]): Promise<void> {
    this.#last = this.#last.then(async () => {
      const { code, spawnError, stderr } = await run({
        argv: ['systemd-notify', ...variables],
        cwd: '/',
        env: childEnv({ set: { NOTIFY_SOCKET: this.#socket } }),
        timeout_ms: TIMEOUT_MS,
      });
      if (code === 0 || this.#failed) return;
      this.#failed = true;
      const why = spawnError ?? (stderr.trim() || `exit code ${code}`);
      this.#onProblem(`the service manager could not be told that Towpath runs (${why}): see docs/service.md`);
    });
    return this.#last;
  }
}
