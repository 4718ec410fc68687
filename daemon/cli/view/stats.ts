// towpath stats: runs, outcomes, tokens, cost and time by day, project, agent, role and model, and what an accepted task took.
import { formatDuration } from '../../clock.ts';
import type { Ledger } from '../../ledger/ledger.ts';
import type { Stats, StatsGroup } from '../../ledger/terms.ts';
import type { Outcome } from '../../task/terms.ts';
import type { DayBudget } from '../../waiting/budget.ts';
import { budgetLines } from './budgets.ts';
import { fillScreen, paintOf, type Screen, truncate } from './style.ts';
import { table } from './table.ts';
import { dateTime, money, percent, plural, short } from './words.ts';

/** With the budgets of today, whatever the span. */
export interface StatsView extends Stats {
  budgets: DayBudget[];
}

/** `since` is an ISO date; without it everything counts. */
export const gatherStats = (ledger: Ledger, budgets: DayBudget[], since?: string): StatsView => ({
  ...ledger.stats(since === undefined ? {} : { since }),
  budgets,
});

export function renderStats(stats: Stats & Partial<StatsView>, on: Partial<Screen> = {}): string {
  const screen = fillScreen(on);
  const paint = paintOf(screen);
  const { total, accepted, reached } = stats;
  if (total.runs === 0 && accepted.tasks.length === 0)
    return stats.since
      ? `no runs since ${dateTime(stats.since)}`
      : 'no runs yet: towpath enqueue FILE.md, then towpath start';
  const span = stats.since ? `since ${dateTime(stats.since)}: ` : '';
  const head = [
    `${span}${plural(total.runs, 'run')}, ${percent(total.outcomes.ok ?? 0, ended(total)) || '-'} ok, ${told(total) === null ? '' : `${money(total.cost_usd)}, `}${formatDuration(total.duration_ms)}`,
    `${plural(reached.done ?? 0, 'task')} done, ${reached.failed ?? 0} failed${!accepted.cost_per_task_usd ? '' : `, ${money(accepted.cost_per_task_usd)} per accepted task`}`,
    ...fixLines(stats),
    ...budgetLines(stats.budgets ?? []),
    ...(total.cost_unknown > 0 ? [paint.dim(`${plural(total.cost_unknown, 'run')} told no cost`)] : []),
  ].map((line) => (line.startsWith('\x1b') ? line : truncate(line, screen.width)));
  const parts = [
    groupTable('Day', stats.by_day, screen),
    stats.by_project.some(({ key }) => key !== NO_PROJECT) ? groupTable('Project', stats.by_project, screen) : [],
    groupTable('Agent', stats.by_agent, screen),
    groupTable('Role', stats.by_role, screen),
    groupTable('Model', stats.by_model, screen),
    acceptedTable(stats, screen),
  ];
  return [head, ...parts]
    .filter((lines) => lines.length > 0)
    .map((lines) => lines.join('\n'))
    .join('\n\n');
}

/** Where there are no projects the table says nothing. */
const NO_PROJECT = '(none)';

function fixLines({ fixes: { tried, helped, rolled_back, refused } }: Stats): string[] {
  if (tried + refused === 0) return [];
  return [
    `${plural(tried, 'patch', 'patches')} tried for failed checks: ${helped} helped, ${rolled_back} rolled back; ${refused} refused`,
  ];
}

const ended = (group: StatsGroup): number => group.runs - group.open;

function groupTable(name: string, groups: readonly StatsGroup[], screen: Screen): string[] {
  const paint = paintOf(screen);
  return table(
    groups,
    [
      { head: name.toUpperCase(), cell: (g) => g.key, min: 10, paint: paint.bold },
      { head: 'RUNS', cell: (g) => String(g.runs), align: 'right' },
      { head: 'OK', cell: (g) => percent(g.outcomes.ok ?? 0, ended(g)), align: 'right' },
      { head: 'COST', cell: (g) => money(told(g)), align: 'right' },
      { head: 'PER RUN', cell: (g) => money(perRun(g)), align: 'right', drop: 3 },
      { head: 'TIME', cell: (g) => formatDuration(g.duration_ms), align: 'right', drop: 1 },
      { head: 'IN', cell: (g) => count(g.tokens.input), align: 'right', drop: 5 },
      { head: 'OUT', cell: (g) => count(g.tokens.output), align: 'right', drop: 5 },
      { head: 'CACHED', cell: (g) => count(g.tokens.cache_read), align: 'right', drop: 6 },
      { head: 'TO CACHE', cell: (g) => count(g.tokens.cache_write), align: 'right', drop: 7 },
      { head: 'NOT OK', cell: (g) => others(g), min: 10, drop: 4, paint: paint.dim },
    ],
    screen,
  );
}

/** Null when no run told a cost. */
const told = (group: StatsGroup): number | null => (ended(group) > group.cost_unknown ? group.cost_usd : null);

const count = (n: number): string => (n > 0 ? short(n) : '');

function perRun(group: StatsGroup): number | null {
  const told = ended(group) - group.cost_unknown;
  return told > 0 ? group.cost_usd / told : null;
}

/** The other outcomes, the most frequent first. */
function others(group: StatsGroup): string {
  return (Object.entries(group.outcomes) as [Outcome, number][])
    .filter(([outcome]) => outcome !== 'ok')
    .sort((a, b) => b[1] - a[1])
    .map(([outcome, n]) => `${outcome} ${n}`)
    .join(', ');
}

/** The dearest first: that is what one looks for. */
function acceptedTable({ accepted }: Stats, screen: Screen): string[] {
  const paint = paintOf(screen);
  const dearest = [...accepted.tasks].sort((a, b) => b.cost_usd - a.cost_usd).slice(0, 10);
  return table(
    dearest,
    [
      { head: 'ACCEPTED', cell: (t) => t.task, min: 10, paint: paint.bold },
      { head: 'RUNS', cell: (t) => String(t.runs), align: 'right' },
      { head: 'COST', cell: (t) => (t.cost_usd > 0 ? money(t.cost_usd) : ''), align: 'right' },
      { head: 'TIME', cell: (t) => formatDuration(t.duration_ms), align: 'right', drop: 2 },
      { head: 'DONE', cell: (t) => dateTime(t.done_at), drop: 1, paint: paint.dim },
    ],
    screen,
  );
}
