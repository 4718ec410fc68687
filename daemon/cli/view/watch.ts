// towpath watch: the status as a live board that fills the terminal; without one, the status each time that it changes.
import type { ReadStream, WriteStream } from 'node:tty';
import { messageOf } from '../../errors.ts';
import { someTaskNames, stemOf } from '../../queue/files/read.ts';
import type { Queue } from '../../task/terms.ts';
import { QUEUES } from '../../task/terms.ts';
import { outputTo, pause } from './output.ts';
import { gatherStatus, type Status, type StatusSources } from './status.ts';
import { renderStatus } from './status-text.ts';
import { clean, screenOf, truncate } from './style.ts';
import { type Board, renderBoard } from './watch-text.ts';

const IDS_MAX = 100;

export async function gatherBoard(sources: StatusSources): Promise<Board> {
  const status = await gatherStatus(sources);
  const ids = Object.fromEntries(QUEUES.map((queue) => [queue, [] as string[]])) as Board['ids'];
  for (const queue of ['incoming', 'provisional', 'blocked', 'failed'] as const)
    if (status.counts[queue] > 0) ids[queue] = names(sources, queue);
  ids.claimed = status.running.map((one) => one.id);
  if (status.counts.done > 0) {
    const latest = sources.ledger.latest('done', IDS_MAX);
    ids.done = latest.length > 0 ? latest : names(sources, 'done');
  }
  return { ...status, ids };
}

/** File names only: reading a thousand tasks each second would not be quiet. */
const names = ({ workspace }: StatusSources, queue: Queue): string[] =>
  someTaskNames(workspace.queue(queue), IDS_MAX).map(stemOf);

export interface WatchOptions {
  gather: () => Promise<Board>;
  json?: boolean;
  stdin?: ReadStream | NodeJS.ReadStream;
  stdout?: WriteStream | NodeJS.WriteStream;
  /** Ends it, as `q` does. */
  signal?: AbortSignal;
  every_ms?: number;
}

const ENTER = '\x1b[?1049h\x1b[?25l';
const LEAVE = '\x1b[?25h\x1b[?1049l';
/** A terminal that knows it shows the frame at once; the others ignore it. */
const [BEGIN_FRAME, END_FRAME] = ['\x1b[?2026h', '\x1b[?2026l'];

/** Shows the board until q, Ctrl-C, the signal, or the end of the stream. */
export async function watchBoard(options: WatchOptions): Promise<void> {
  const stdout = options.stdout ?? process.stdout;
  const quit = new AbortController();
  const signal = options.signal ? AbortSignal.any([options.signal, quit.signal]) : quit.signal;
  if (!stdout.isTTY || options.json) return printChanges(options, stdout, signal);
  const stop = () => quit.abort();
  const leave = enterScreen(options.stdin ?? process.stdin, stdout, stop);
  let board: Board | null = null;
  let problem = '';
  const draw = () => {
    const screen = screenOf(stdout);
    const rows = stdout.rows || 24;
    const text = board ? renderBoard(board, screen.width, rows, screen) : '';
    const lines = problem ? [truncate(clean(problem), screen.width), ...text.split('\n').slice(1)] : text.split('\n');
    stdout.write(`${BEGIN_FRAME}\x1b[H${lines.map((line) => `${line}\x1b[K`).join('\n\r')}\x1b[J${END_FRAME}`);
  };
  stdout.on('resize', draw);
  stdout.once('error', stop);
  try {
    while (!signal.aborted) {
      try {
        board = await options.gather();
        problem = '';
      } catch (thrown) {
        problem = `cannot look: ${messageOf(thrown)}`;
      }
      if (signal.aborted) break;
      draw();
      await pause(options.every_ms ?? 1000, signal);
    }
  } finally {
    stdout.off('resize', draw);
    leave();
  }
}

/** Takes the terminal over. The returned function gives it back, also when the process is made to end. */
function enterScreen(
  stdin: NonNullable<WatchOptions['stdin']>,
  stdout: NonNullable<WatchOptions['stdout']>,
  stop: () => void,
): () => void {
  const keys = stdin.isTTY === true;
  const onKey = (chunk: Buffer | string) => {
    // q, Ctrl-C, Ctrl-D, or the escape key alone: an escape that begins a sequence is another key.
    const text = String(chunk);
    if (text === '\x1b' || ['q', 'Q', '\x03', '\x04'].includes(text.charAt(0))) stop();
  };
  const restore = () => {
    stdout.write(LEAVE);
    if (keys) stdin.setRawMode(false);
  };
  const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;
  for (const name of signals) process.on(name, stop);
  process.once('exit', restore);
  if (keys) {
    stdin.setRawMode(true);
    stdin.on('data', onKey).resume();
  }
  stdout.write(ENTER);
  return () => {
    for (const name of signals) process.off(name, stop);
    process.off('exit', restore);
    if (keys) stdin.off('data', onKey).pause();
    restore();
  };
}

async function printChanges(
  { gather, json = false, every_ms = 1000 }: WatchOptions,
  stdout: NonNullable<WatchOptions['stdout']>,
  signal: AbortSignal,
): Promise<void> {
  const out = outputTo(stdout);
  let last = '';
  while (!signal.aborted && !out.closed) {
    try {
      const { ids: _, ...status } = await gather();
      const key = changeKey(status);
      if (key !== last) {
        if (!json && last) out.line('');
        out.line(json ? JSON.stringify(status) : renderStatus(status, screenOf(stdout)));
      }
      last = key;
    } catch (thrown) {
      // What fails at the first look is wrong; later it may pass.
      if (last === '') throw thrown;
    }
    await pause(every_ms, signal);
  }
}

/** What makes one status another: not the clock, nor what an agent said last. */
export const changeKey = (status: Status): string =>
  JSON.stringify({ ...status, running: status.running.map(({ elapsed_ms: _, last: __, ...rest }) => rest) });
