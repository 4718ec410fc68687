// towpath start: the daemon in the foreground; what happens is shown, quietly; a failed hook asks whoever sits at the terminal.
import { createInterface } from 'node:readline/promises';
import type { Ask } from '../attempt/context.ts';
import { runDaemon } from '../daemon.ts';
import { EXIT } from '../errors.ts';
import { findWorkspace } from '../paths.ts';
import type { Common } from './common.ts';
import { signalOrders } from './signals.ts';
import { showProgress } from './view/progress.ts';

interface StartOptions extends Common {
  drain?: boolean;
  singleTask?: boolean;
  role?: string;
  agentId?: string;
}

/** How long a reader may take for the last lines, ms. */
const FLUSH_MS = 2000;

export async function start(_: [], options: StartOptions): Promise<number> {
  const workspace = findWorkspace(options.workspace);
  const orders = signalOrders((line) => options.json || console.error(line));
  // The work goes on when nobody reads what is shown any more (`| head`, a closed terminal, a journal that restarts).
  for (const stream of [process.stdout, process.stderr]) stream.removeAllListeners('error').on('error', () => {});
  const terminal = process.stdin.isTTY === true && process.stderr.isTTY === true && !options.json;
  const clean = await runDaemon(
    {
      workspace,
      ...(options.agentId ? { worker: options.agentId } : {}),
      ...(options.role ? { role: options.role } : {}),
      drain: options.drain ?? false,
      single: options.singleTask ?? false,
      ask: terminal ? askAtTerminal(orders.signal) : null,
      onEvents: (events) => showProgress(events, { json: options.json ?? false }),
    },
    orders,
  );
  // Who leaves waits until all it has said is read; for a reader that stands still it does not wait for ever.
  if (process.stdout.writableLength > 0) setTimeout(() => process.stdout.emit('drain'), FLUSH_MS);
  return clean ? EXIT.ok : EXIT.failed;
}

/** One question at a time; anything but a clear answer is asked again. Null once the daemon is to stop. */
function askAtTerminal(stop: AbortSignal): Ask {
  let last: Promise<unknown> = Promise.resolve();
  const one: Ask = async ({ task, reason }) => {
    if (stop.aborted) return null;
    const lines = createInterface({ input: process.stdin, output: process.stderr });
    // While it reads, the terminal sends no signal for Ctrl-C.
    lines.on('SIGINT', () => process.kill(process.pid, 'SIGINT'));
    try {
      for (;;) {
        const question = `${task}: ${reason}\n[r]etry, [s]kip the hook, [a]bort the task? `;
        const said = (await lines.question(question, { signal: stop })).trim().toLowerCase();
        for (const decision of ['retry', 'skip', 'abort'] as const)
          if (said !== '' && decision.startsWith(said)) return decision;
      }
    } catch (thrown) {
      if (stop.aborted) return null;
      throw thrown;
    } finally {
      lines.close();
    }
  };
  return (question) => {
    const next = last.then(() => one(question));
    last = next.catch(() => {});
    return next;
  };
}
