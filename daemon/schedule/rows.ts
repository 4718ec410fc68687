// What there is to say of each schedule: when it comes next, what came of it last. From the files alone.
import type { Workspace } from '../paths.ts';
import { readBook } from './book.ts';
import { type Rule, readSchedules } from './file.ts';

export interface ScheduleRow {
  name: string;
  cron: string | null;
  timezone: string | null;
  overlap: Rule['overlap'] | null;
  catch_up: Rule['catch_up'] | null;
  /** ISO time; null for one that cannot be read. */
  next: string | null;
  /** The last task that it filed, and the time that it was planned for. */
  last: { at: string; task: string } | null;
  /** The last time that was left out, since a task was not over. */
  skipped: { at: string; task: string } | null;
  problem: string | null;
}

export async function scheduleRows(workspace: Workspace, now = Date.now()): Promise<ScheduleRow[]> {
  const found = await readSchedules(workspace);
  const book = found.length > 0 ? readBook(workspace) : {};
  return found.map((one) => {
    const { last = null, skipped = null } = book[one.name] ?? {};
    const seen = { name: one.name, last, skipped };
    if ('problem' in one)
      return { ...seen, cron: null, timezone: null, overlap: null, catch_up: null, next: null, problem: one.problem };
    const { cron, timezone = null, overlap, catch_up } = one.rule;
    const next = one.cron.next(now);
    return {
      ...seen,
      cron,
      timezone,
      overlap,
      catch_up,
      next: next === null ? null : new Date(next).toISOString(),
      problem: null,
    };
  });
}
