// The board of `towpath watch`: what runs, what needs you, and a column for each queue, in exactly the window there is.

import { QUEUES, type Queue } from '../../task/terms.ts';
import type { Status } from './status.ts';
import { countsLine, headline, needRows, runningRows, todayLine } from './status-text.ts';
import { clean, fillScreen, type Paint, paintOf, queueTone, type Screen, truncate, widthOf } from './style.ts';

/** The status, and which tasks lie in each queue: the first of those that wait, the latest of those that are done. */
export interface Board extends Status {
  ids: Record<Queue, string[]>;
}

const GAP = 2;
const COLUMN_MIN = 12;
const COLUMN_MAX = 28;
const LEAST_IDS = 4;

/** At most `rows` lines of at most `cols` columns; the last one says how to leave. */
export function renderBoard(board: Board, cols: number, rows: number, on: Partial<Screen> = {}): string {
  const screen = fillScreen({ ...on, width: cols });
  const paint = paintOf(screen);
  const top = [headline(board, screen, paint), truncate(todayLine(board), cols)];
  const foot = paint.dim(truncate('q quits', cols));
  const room = rows - top.length - 1;
  if (room < 3) return [...top, foot].slice(0, Math.max(1, rows)).join('\n');
  const running = runningRows(board, screen, paint);
  const needs = needRows(board, screen, paint, Math.max(1, Math.floor(room / 6)));
  const faults = board.faults.map(
    (one) => `  ${paint.tone('bad', truncate(clean(`${one.what}: ${one.doing}`), cols - 2))}`,
  );
  const blocks: string[][] = [
    titled('Faults', faults, paint),
    titled(`Running ${board.running.length}`, running.length > 0 ? running : [paint.dim('  nothing runs')], paint),
    titled('Needs you', needs, paint),
  ];
  const above = blocks.filter((lines) => lines.length > 0).flatMap((lines) => ['', ...lines]);
  const kept = above.slice(0, Math.max(0, room - LEAST_IDS - 2));
  const left = room - kept.length - 1;
  const body = [...top, ...kept, '', ...columns(board, screen, paint, left)].slice(0, rows - 1);
  while (body.length < rows - 1) body.push('');
  return [...body, foot].join('\n');
}

const titled = (title: string, lines: string[], paint: Paint): string[] =>
  lines.length > 0 ? [paint.bold(title), ...lines] : [];

/** Side by side where there is room for all; else the counts alone. */
function columns(board: Board, screen: Screen, paint: Paint, rows: number): string[] {
  const width = Math.min(COLUMN_MAX, Math.floor((screen.width - GAP * (QUEUES.length - 1)) / QUEUES.length));
  if (width < COLUMN_MIN || rows < 2) {
    const line = countsLine(board, paint);
    const plain = QUEUES.map((queue) => `${queue} ${board.counts[queue]}`).join('  ');
    return [widthOf(plain) <= screen.width ? line : truncate(plain, screen.width)];
  }
  const lines = [
    row(
      (queue) => [
        `${queue} ${board.counts[queue]}`,
        (text) => (board.counts[queue] > 0 ? paint.tone(queueTone(queue), text) : paint.dim(text)),
      ],
      width,
    ),
  ];
  const shown = Math.min(rows - 1, Math.max(...QUEUES.map((queue) => board.ids[queue].length)));
  for (let i = 0; i < shown; i++)
    lines.push(row((queue) => [entry(board, queue, i, i === rows - 2), (text) => text], width));
  return lines;
}

/** The last row of a column that has more says how many more. */
function entry(board: Board, queue: Queue, i: number, last: boolean): string {
  const more = board.counts[queue] - i;
  if (last && more > 1) return `… ${more} more`;
  return board.ids[queue][i] ?? '';
}

function row(cell: (queue: Queue) => [text: string, style: (text: string) => string], width: number): string {
  return QUEUES.map((queue) => {
    const [text, style] = cell(queue);
    const cut = truncate(clean(text), width);
    return (cut === '' ? '' : style(cut)) + ' '.repeat(width - widthOf(cut));
  })
    .join(' '.repeat(GAP))
    .trimEnd();
}
