// The commands that look and change nothing: each gathers what it shows and hands it to its view.
import { parseDuration } from '../clock.ts';
import { EXIT, TowpathError } from '../errors.ts';
import { openLedger } from '../ledger/ledger.ts';
import { toJson } from '../queue/port.ts';
import type { Queue } from '../task/terms.ts';
import { open } from './open.ts';
import type { Common } from './program.ts';
import { showEvents } from './view/events.ts';
import { emptyList, gatherList, renderList } from './view/list.ts';
import { outputTo } from './view/output.ts';
import { gatherStats, renderStats } from './view/stats.ts';
import { gatherStatus, renderStatus } from './view/status.ts';
import { type Screen, screenOf } from './view/style.ts';
import { readerFor } from './readers.ts';

const screen = (options: Common) => (): Screen => screenOf(process.stdout, { json: options.json ?? false });
const reading = (options: Common) => {
  const opened = open(options.workspace);
  return { ...opened, ledger: openLedger(opened.workspace, { readonly: true }), out: outputTo(process.stdout), readerFor: readerFor(opened) };
};
const print = (value: unknown): void => console.log(JSON.stringify(value));

/** Ends a stream when the person has seen enough. */
function untilInterrupted(): AbortSignal {
  const stop = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => stop.abort());
  return stop.signal;
}

export async function status(_: [], options: Common): Promise<void> {
  const found = await gatherStatus(reading(options));
  if (options.json) print(found);
  else console.log(renderStatus(found, screen(options)()));
}

export async function list([only]: [Queue | undefined], options: Common): Promise<void> {
  const tasks = await gatherList(open(options.workspace), only);
  if (options.json) print(tasks);
  else if (tasks.length === 0) console.error(emptyList(only));
  else console.log(renderList(tasks, screen(options)()));
}

export async function stats(_: [], options: Common & { since?: string }): Promise<void> {
  const found = gatherStats(reading(options).ledger, options.since === undefined ? undefined : sinceIso(options.since));
  if (options.json) print(found);
  else console.log(renderStats(found, screen(options)()));
}

/** A date, or so long ago. Throws `bad_usage`. */
function sinceIso(text: string): string {
  const ago = parseDuration(text);
  const at = ago === undefined ? Date.parse(text) : Date.now() - ago;
  if (Number.isNaN(at)) throw new TowpathError('bad_usage', `--since "${text}" is neither a date nor a duration`, 'write 2026-01-31 or 7d');
  return new Date(at).toISOString();
}

export async function events(_: [], options: Common & { follow?: boolean; task?: string; limit?: number }): Promise<number> {
  const { ledger, out } = reading(options);
  await showEvents(ledger, out, screen(options), { ...options, signal: untilInterrupted() });
  return EXIT.ok;
}

export async function show([id]: [string], options: Common): Promise<void> {
  const opened = reading(options);
  const task = await opened.queue.get(id);
  if (!task) throw new TowpathError('task_not_found', `no task "${id}"`, 'see "towpath list"');
  const lock = task.queue === 'claimed' ? opened.queue.lockOf(id) : null;
  const json = toJson(task, lock === 'unreadable' ? null : lock);
  if (options.json) print(json);
}
