// towpath events: what happened, from the ledger; with -f what goes on happening.
import type { Ledger } from '../../ledger/ledger.ts';
import type { LedgerEvent } from '../../ledger/terms.ts';
import { type Output, pause, type Sleep } from './output.ts';
import { IdColumn, sentence } from './sentence.ts';
import { paintOf, type Screen } from './style.ts';
import { dateTime } from './words.ts';

/** How often a follower looks. */
const POLL_MS = 200;
/** Rows that are read at once. */
const PAGE = 1000;

export interface EventsOptions {
  task?: string | undefined;
  /** The latest so many; default: all, and with `follow` the latest 20. */
  limit?: number | undefined;
  follow?: boolean | undefined;
  json?: boolean | undefined;
  signal?: AbortSignal | undefined;
  sleep?: Sleep | undefined;
}

/** Prints until all is printed, or with `follow` until the reader leaves or the signal comes. */
export async function showEvents(
  ledger: Ledger,
  out: Output,
  screen: () => Screen,
  options: EventsOptions = {},
): Promise<void> {
  const { task, follow = false, json = false, signal, sleep = pause } = options;
  const only = task === undefined ? {} : { task };
  const limit = options.limit ?? (follow ? 20 : undefined);
  const line = eventWriter(out, screen, json);
  let last = 0;
  const show = (rows: LedgerEvent[]): number => {
    for (const row of rows) line(row);
    last = rows.at(-1)?.id ?? last;
    return rows.length;
  };
  // Taken before the rows are: what is written in between comes with the next look.
  const newest = ledger.lastId();
  if (limit !== undefined) show(limit === 0 ? [] : ledger.events({ ...only, limit }));
  else while (!out.closed && show(ledger.events({ ...only, after: last, limit: PAGE })) === PAGE);
  last = Math.max(last, limit === undefined ? last : newest);
  while (follow && !signal?.aborted && !out.closed) {
    await sleep(POLL_MS, signal);
    // The ledger was begun anew: its ids start at one again.
    if (ledger.lastId() < last) last = 0;
    while (!out.closed && show(ledger.events({ ...only, after: last, limit: PAGE })) === PAGE);
  }
}

/** One line an event; a new day is told by a line of its own. */
export function eventWriter(out: Output, screen: () => Screen, json: boolean): (event: LedgerEvent) => void {
  const column = new IdColumn();
  let day = '';
  return (event) => {
    if (json) return out.line(JSON.stringify(eventJson(event)));
    const on = screen();
    const paint = paintOf(on);
    const today = dateTime(event.at).slice(0, 10);
    if (today !== day) {
      day = today;
      out.line(paint.dim(today));
    }
    out.line(sentence(event, on, paint, column.fit(event.task)));
  };
}

/** The event as it was emitted, with its id: the form of the stream. */
export function eventJson({ id, at, event, task, data }: LedgerEvent): Record<string, unknown> {
  return { id, at, event, ...(task === null ? {} : { task }), ...data };
}
