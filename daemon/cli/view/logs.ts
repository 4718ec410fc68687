// towpath logs: what an agent said and did, read from the run's folder; with -f until the attempt has ended.
import { closeSync, openSync, readSync } from 'node:fs';
import { join } from 'node:path';
import { StringDecoder } from 'node:string_decoder';
import { type AgentEvent, NO_USAGE, type Reader } from '../../agents/port.ts';
import { errno, TowpathError } from '../../errors.ts';
import type { Workspace } from '../../paths.ts';
import { readCuts } from '../../process/cut.ts';
import { endLines, eventLines, headLine } from './logs-text.ts';
import { type Output, pause, type Sleep } from './output.ts';
import { readRun, runNumbers } from './runs.ts';
import { paintOf, type Screen } from './style.ts';
import { short } from './words.ts';

const POLL_MS = 200;
const CHUNK = 64 * 1024;
/** A longer line is cut: it is shown, not kept. */
const LINE_MAX = 1024 * 1024;

export interface LogsOptions {
  workspace: Workspace;
  id: string;
  /** The run to show; default: the last, and with `follow` those that come after it. */
  attempt?: number | undefined;
  follow?: boolean | undefined;
  raw?: boolean | undefined;
  json?: boolean | undefined;
  /** A fresh reader for the output of an agent; null when the agent is not known (its lines are shown as they are). */
  readerFor: (agent: string) => Reader | null;
  signal?: AbortSignal | undefined;
  sleep?: Sleep | undefined;
}

/** Prints the log. Throws `not_found` when there is no such run; with `follow` a first run is waited for. */
export async function showLogs(options: LogsOptions, out: Output, screen: () => Screen): Promise<void> {
  const { workspace, id, follow = false, signal, sleep = pause } = options;
  const over = () => signal?.aborted === true || out.closed;
  const numbers = () => runNumbers(workspace, id);
  if (options.attempt !== undefined && !numbers().includes(options.attempt)) {
    const there = numbers().join(', ');
    throw new TowpathError(
      'not_found',
      `"${id}" has no run ${options.attempt}`,
      there ? `there is ${there}` : `see "towpath why ${id}"`,
    );
  }
  let attempt = options.attempt ?? numbers().at(-1);
  if (attempt === undefined && !follow)
    throw new TowpathError('not_found', `"${id}" has not run yet`, `see "towpath why ${id}"`);
  while (attempt === undefined && !over()) {
    await sleep(POLL_MS, signal);
    attempt = numbers().at(-1);
  }
  while (attempt !== undefined && !over()) {
    await showRun(options, attempt, out, screen, over);
    const shown: number = attempt;
    attempt = follow && options.attempt === undefined ? numbers().find((n) => n > shown) : undefined;
  }
}

async function showRun(
  options: LogsOptions,
  attempt: number,
  out: Output,
  screen: () => Screen,
  over: () => boolean,
): Promise<void> {
  const { workspace, id, follow = false, raw = false, json = false, signal, sleep = pause } = options;
  const look = () => readRun(workspace, id, attempt);
  const text = (make: (on: Screen) => string[]) => {
    if (!raw && !json) for (const line of make(screen())) out.line(line);
  };
  text((on) => [headLine(id, look(), on)]);
  const grow = new Growing(workspace.run(id, attempt));
  let reader: Reader | null | undefined;
  const show = (line: string) => {
    reader ??= options.readerFor(look().agent ?? '') ?? plain;
    for (const event of reader.line(line)) {
      if (json) out.line(JSON.stringify({ task: id, attempt, ...event }));
      else text((on) => eventLines(event, on, paintOf(on)));
    }
  };
  const cut = (bytes: number) => {
    const event: AgentEvent = { type: 'log', content: cutText(bytes) };
    if (json) out.line(JSON.stringify({ task: id, attempt, ...event }));
    else text((on) => eventLines(event, on, paintOf(on)));
  };
  const drain = () => (raw ? grow.bytes((chunk) => out.bytes(chunk), over) : grow.lines(show, over, cut));
  try {
    for (;;) {
      // Looked at before the output is: what was written before the end is then read for sure.
      const ended = !follow || look().ended;
      drain();
      if (ended || over()) break;
      await sleep(POLL_MS, signal);
    }
    if (!raw) grow.last(show);
  } finally {
    grow.close();
  }
  text((on) => endLines(look(), on));
}

/** For an agent that is not known here any more: each line is a line. */
const plain: Pick<Reader, 'line'> & Reader = {
  line: (text): AgentEvent[] => (text.trim() === '' ? [] : [{ type: 'log', content: text }]),
  conclude: () => {
    throw new Error('a plain reader judges nothing');
  },
  openTools: 0,
  finished: false,
  spent: NO_USAGE,
  state: null,
  restore: () => {},
};

/** A file that may not be there yet and grows, and whose middle may be cut out: each call gives what came since the last one. */
class Growing {
  readonly #dir: string;
  readonly #decoder = new StringDecoder('utf8');
  readonly #buffer = Buffer.alloc(CHUNK);
  #fd: number | null = null;
  #at = 0;
  #rest = '';
  /** Within the line that the end of a cut fell into. */
  #torn = false;

  constructor(dir: string) {
    this.#dir = dir;
  }

  bytes(take: (chunk: Uint8Array) => void, over: () => boolean, cut = (bytes: number) => take(noteOf(bytes))): void {
    try {
      this.#fd ??= openSync(join(this.#dir, 'stdout'), 'r');
      for (;;) {
        const got = over() ? 0 : readSync(this.#fd, this.#buffer, 0, CHUNK, this.#at);
        if (got === 0) return;
        // Looked at after the bytes were read: a hole is named before it is made, so what no cut names is whole.
        const hole = readCuts(this.#dir).stdout;
        const whole = hole && this.#at < hole.to ? Math.min(got, Math.max(0, hole.from - this.#at)) : got;
        this.#at += whole;
        // A copy: a stream may still hold the chunk when the next one is read.
        if (whole > 0) take(Uint8Array.prototype.slice.call(this.#buffer, 0, whole));
        if (whole === got || !hole) continue;
        cut(hole.to - this.#at);
        this.#at = hole.to;
      }
    } catch (thrown) {
      if (errno(thrown) !== 'ENOENT') throw thrown;
    }
  }

  lines(take: (line: string) => void, over: () => boolean, cut: (bytes: number) => void): void {
    const onBytes = (chunk: Uint8Array) => {
      const parts = (this.#rest + this.#decoder.write(chunk as Buffer)).split('\n');
      if (this.#torn && parts.length > 1) {
        parts.shift();
        this.#torn = false;
      }
      this.#rest = this.#torn ? '' : parts.pop()!.slice(0, LINE_MAX);
      if (!this.#torn) for (const line of parts) take(line);
    };
    this.bytes(onBytes, over, (bytes) => {
      // Half a line is none.
      this.#rest = '';
      this.#decoder.end();
      this.#torn = true;
      cut(bytes);
    });
  }

  /** The last line, when it has no newline. */
  last(take: (line: string) => void): void {
    if (this.#rest !== '') take(this.#rest);
    this.#rest = '';
  }

  close(): void {
    if (this.#fd !== null) closeSync(this.#fd);
    this.#fd = null;
  }
}

const cutText = (bytes: number): string => `… ${short(bytes)}B of output cut out (limits.run_output) …`;
const noteOf = (bytes: number): Uint8Array => Buffer.from(`\n[${cutText(bytes)}]\n`);
