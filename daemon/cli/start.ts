// towpath start: the daemon in the foreground; what happens is shown, quietly; a failed hook asks whoever sits at the terminal.
import { createInterface } from 'node:readline/promises';
import type { Ask } from '../attempt/context.ts';
import { runDaemon } from '../daemon.ts';
import { EXIT } from '../errors.ts';
import { findWorkspace } from '../paths.ts';
import type { Common } from './common.ts';
import { showProgress } from './view/progress.ts';

interface StartOptions extends Common {
  drain?: boolean;
  singleTask?: boolean;
  role?: string;
  agentId?: string;
}

export async function start(_: [], options: StartOptions): Promise<number> {
  const workspace = findWorkspace(options.workspace);
  const stop = new AbortController();
  const now = new AbortController();
  const end = () => {
    if (stop.signal.aborted) return now.abort();
    stop.abort();
    if (!options.json) console.error('stopping once the running attempts have ended; again to put them back at once');
  };
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, end);
  const terminal = process.stdin.isTTY === true && process.stderr.isTTY === true && !options.json;
  const clean = await runDaemon(
    {
      workspace,
      ...(options.agentId ? { worker: options.agentId } : {}),
      ...(options.role ? { role: options.role } : {}),
      drain: options.drain ?? false,
      single: options.singleTask ?? false,
      ask: terminal ? askAtTerminal() : null,
      onEvents: (events) => showProgress(events, { json: options.json ?? false }),
    },
    { signal: stop.signal, now: now.signal },
  );
  return clean ? EXIT.ok : EXIT.failed;
}

/** One question at a time; anything but a clear answer is asked again. */
function askAtTerminal(): Ask {
  let last: Promise<unknown> = Promise.resolve();
  const one: Ask = async ({ task, reason }) => {
    const lines = createInterface({ input: process.stdin, output: process.stderr });
    try {
      for (;;) {
        const said = (await lines.question(`${task}: ${reason}\n[r]etry, [s]kip the hook, [a]bort the task? `))
          .trim()
          .toLowerCase();
        for (const decision of ['retry', 'skip', 'abort'] as const)
          if (said !== '' && decision.startsWith(said)) return decision;
      }
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
