// The screen of `towpath status`: headline, counts, and one short section for each thing that there is.
import { formatDuration } from '../../clock.ts';
import { QUEUES } from '../../task/terms.ts';
import { budgetLines, spentOf } from './budgets.ts';
import { scheduleTable } from './schedules.ts';
import type { Status } from './status.ts';
import { clean, fillScreen, type Paint, paintOf, queueTone, type Screen, truncate } from './style.ts';
import { table } from './table.ts';
import { clockTime, money, relative } from './words.ts';

/** How many lines a section has before it only counts the rest. */
const ROWS = { needs: 8, waiting: 8, schedules: 8 } as const;

export function renderStatus(status: Status, on: Partial<Screen> = {}): string {
  const screen = fillScreen(on);
  const paint = paintOf(screen);
  const title = (text: string) => paint.bold(text);
  const sections = [
    [
      headline(status, screen, paint),
      countsLine(status, paint),
      todayLine(status),
      ...budgetLines(status.budgets.slice(1)),
    ],
    section(title('Running'), runningRows(status, screen, paint)),
    section(title('Needs you'), needRows(status, screen, paint)),
    section(title('Waiting'), waitingRows(status, screen, paint)),
    section(title('Limits'), limitRows(status, screen, paint)),
    section(title('Model servers'), endpointRows(status, screen, paint)),
    section(title('Schedules'), scheduleTable(status.schedules.slice(0, ROWS.schedules), screen, 2)),
    section(title('Faults'), faultRows(status, screen, paint)),
  ];
  return sections
    .filter((lines) => lines.length > 0)
    .map((lines) => lines.join('\n'))
    .join('\n\n');
}

export function headline(status: Status, screen: Screen, paint: Paint): string {
  const { daemon } = status;
  const since = daemon.since ? `, started ${relative(daemon.since, screen.now)}` : '';
  if (!daemon.running) {
    const text = truncate('○ no daemon runs here: towpath start', screen.width);
    return `${paint.tone('calm', text.slice(0, 1))}${text.slice(1)}`;
  }
  const state = daemon.paused === null ? `running (pid ${daemon.pid}${since})` : `paused: ${clean(daemon.paused)}`;
  const text = truncate(`● ${state}`, screen.width);
  return paint.tone(daemon.paused === null ? 'good' : 'care', text);
}

export function countsLine(status: Status, paint: Paint): string {
  return QUEUES.map((queue) => {
    const n = status.counts[queue];
    return n === 0 ? paint.dim(`${queue} 0`) : `${queue} ${paint.tone(queueTone(queue), String(n))}`;
  }).join('  ');
}

export const todayLine = (status: Status): string =>
  `today: ${status.done_today} done, ${status.failed_today} failed, ${todaySpent(status)}`;

const todaySpent = ({ budgets, spent_today_usd }: Status): string => {
  const [all] = budgets;
  return all?.key === 'budget.day_usd' ? spentOf(all) : `${money(spent_today_usd)} spent`;
};

function section(title: string, lines: string[]): string[] {
  return lines.length > 0 ? [title, ...lines] : [];
}

export function runningRows(status: Status, screen: Screen, paint: Paint): string[] {
  return table(
    status.running,
    [
      { head: 'id', cell: (row) => row.id, min: 12, paint: paint.bold },
      { head: 'title', cell: (row) => (row.title === row.id ? '' : row.title), min: 12, drop: 2 },
      {
        head: 'agent',
        cell: (row) => [row.agent, row.model].filter(Boolean).join(' '),
        min: 8,
        drop: 3,
        paint: paint.dim,
      },
      { head: 'phase', cell: (row) => row.phase ?? '', paint: (text) => paint.tone('busy', text) },
      { head: 'run', cell: (row) => (row.attempt === null ? '' : `#${row.attempt}`), drop: 4, paint: paint.dim },
      { head: 'for', cell: (row) => formatDuration(Math.floor(row.elapsed_ms / 1000) * 1000), align: 'right' },
      { head: 'load', cell: (row) => loadText(row.load), align: 'right', drop: 5, paint: paint.dim },
      { head: 'last', cell: (row) => row.last ?? '', min: 16, drop: 1, paint: paint.dim },
    ],
    screen,
    { indent: 2, head: false },
  );
}

/** `12% 184MB`: the agent and all that it started. */
const loadText = (load: Status['running'][number]['load']): string =>
  load ? `${Math.round(load.cpu_percent)}% ${Math.round(load.rss_bytes / 1e6)}MB` : '';

/** Why, and below it the command to type, never cut: it is there to be copied. */
export function needRows(status: Status, screen: Screen, paint: Paint, most: number = ROWS.needs): string[] {
  const shown = status.needs_you.slice(0, most);
  const rows = table(
    shown,
    [
      { head: 'id', cell: (row) => row.id, min: 12, paint: paint.bold },
      { head: 'queue', cell: (row) => row.queue, paint: (text, row) => paint.tone(queueTone(row.queue), text) },
      { head: 'since', cell: (row) => relative(row.since, screen.now), drop: 1, paint: paint.dim },
      { head: 'why', cell: (row) => row.why, min: 16 },
    ],
    screen,
    { indent: 2, head: false },
  );
  const lines = rows.flatMap((row, i) => [row, `    ${paint.dim('→')} ${shown[i]!.next}`]);
  return [
    ...lines,
    ...rest(status.needs_you.length - shown.length, 'towpath list failed, towpath list blocked', paint),
  ];
}

export function waitingRows(status: Status, screen: Screen, paint: Paint, most: number = ROWS.waiting): string[] {
  const shown = status.waiting.slice(0, most);
  const lines = table(
    shown,
    [
      { head: 'id', cell: (row) => row.id, min: 12, paint: paint.bold },
      { head: 'reason', cell: (row) => row.reason, min: 16, paint: paint.dim },
    ],
    screen,
    { indent: 2, head: false },
  );
  const all = Math.max(status.waiting.length, status.daemon.running ? 0 : status.counts.incoming);
  return [...lines, ...rest(all - shown.length, 'towpath list incoming', paint)];
}

const rest = (n: number, where: string, paint: Paint): string[] =>
  n > 0 ? [paint.dim(`  and ${n} more: ${where}`)] : [];

function limitRows(status: Status, screen: Screen, paint: Paint): string[] {
  return table(
    status.limits,
    [
      { head: 'agent', cell: (row) => row.agent, paint: paint.bold },
      {
        head: 'until',
        cell: (row) =>
          row.trial
            ? 'over: one run tries it first'
            : row.until
              ? `opens ${relative(row.until, screen.now)} (${clockTime(row.until)})`
              : 'out of service',
        paint: (text) => paint.tone('care', text),
      },
      { head: 'reason', cell: (row) => row.reason, min: 16 },
      { head: 'next', cell: (row) => (row.until ? '' : `towpath resume ${row.agent}`), drop: 1 },
    ],
    screen,
    { indent: 2, head: false },
  );
}

function endpointRows(status: Status, screen: Screen, paint: Paint): string[] {
  return table(
    status.endpoints,
    [
      { head: 'name', cell: (row) => row.name, paint: paint.bold },
      { head: 'used', cell: (row) => `${row.used} of ${row.slots}`, align: 'right' },
      {
        head: 'health',
        cell: (row) => `${row.reachable === false ? 'cannot be reached: ' : ''}${row.told}`,
        paint: (text, row) => paint.tone(row.reachable === false ? 'bad' : 'good', text),
      },
      { head: 'models', cell: (row) => row.models.join(', '), min: 12, drop: 1, paint: paint.dim },
    ],
    screen,
    { indent: 2, head: false },
  );
}

function faultRows(status: Status, screen: Screen, paint: Paint): string[] {
  return table(
    status.faults,
    [
      { head: 'what', cell: (row) => row.what, min: 16, paint: (text) => paint.tone('bad', text) },
      { head: 'since', cell: (row) => relative(row.since, screen.now), drop: 2, paint: paint.dim },
      { head: 'doing', cell: (row) => row.doing, min: 16, drop: 1 },
    ],
    screen,
    { indent: 2, head: false },
  );
}
