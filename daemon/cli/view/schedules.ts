// The rows of schedules, for `schedule list` and for `status`.
import type { ScheduleRow } from '../../schedule/rows.ts';
import { paintOf, type Screen } from './style.ts';
import { table } from './table.ts';
import { clockTime, relative } from './words.ts';

export function scheduleTable(rows: readonly ScheduleRow[], screen: Screen, indent = 0): string[] {
  const paint = paintOf(screen);
  return table(
    [...rows],
    [
      { head: 'schedule', cell: (row) => row.name, min: 12, paint: paint.bold },
      {
        head: 'next',
        cell: (row) =>
          row.next ? `${relative(row.next, screen.now)} (${clockTime(row.next)})` : (row.problem ?? 'never'),
        min: 16,
        paint: (text, row) => (row.problem ? paint.tone('bad', text) : text),
      },
      { head: 'cron', cell: (row) => [row.cron, row.timezone].filter(Boolean).join(' '), drop: 2, paint: paint.dim },
      { head: 'last', cell: (row) => row.last?.task ?? '', drop: 1, paint: paint.dim },
    ],
    screen,
    { indent, head: indent === 0 },
  );
}
