// What `start` shows: a quiet line for each thing that happens; NDJSON of the events themselves with --json.
import type { Events, TowpathEvent } from '../../events.ts';
import { type Output, outputTo } from './output.ts';
import { factOf, IdColumn, sentence } from './sentence.ts';
import { paintOf, type Screen, screenOf } from './style.ts';

/** A reader that stands still (a pager) is waited for up to so many bytes; then lines are left out, for the daemon goes on. */
const STALLED_BYTES = 1024 * 1024;

export interface ProgressOptions {
  json?: boolean;
  /** Also what agents print, and the hooks that had nothing to say. */
  verbose?: boolean;
  /** Default: standard output. */
  stream?: NodeJS.WriteStream;
}

/** Shows events from now on. Returns the function that ends it. */
export function showProgress(events: Events, options: ProgressOptions = {}): () => void {
  const stream = options.stream ?? process.stdout;
  const out = outputTo(stream);
  const write = progressWriter(out, () => screenOf(stream, { json: options.json ?? false }), options);
  return events.on((event) => {
    if (stream.writableLength < STALLED_BYTES) write(event);
  });
}

/** The same for any output; `screen` is asked for at each line, because a window may change its size. */
export function progressWriter(
  out: Output,
  screen: () => Screen,
  { json = false, verbose = false }: Pick<ProgressOptions, 'json' | 'verbose'> = {},
): (event: TowpathEvent) => void {
  const column = new IdColumn();
  return (event) => {
    if (!verbose && event.event === 'agent_output') return;
    if (json) return out.line(JSON.stringify(event));
    if (!verbose && isQuiet(event)) return;
    const fact = factOf(event);
    const on = screen();
    out.line(sentence(fact, on, paintOf(on), column.fit(fact.task)));
  };
}

/** What the next line tells anyway. */
function isQuiet(event: TowpathEvent): boolean {
  return event.event === 'hook_finished' && event.ok && event.decision === 'continue';
}
