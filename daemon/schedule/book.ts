// What was filed of each schedule: `.towpath/schedules.json`, so that a restart neither files twice nor forgets.
import { readFileSync } from 'node:fs';
import { z } from 'zod';
import { writeJson } from '../attempt/work.ts';
import type { Workspace } from '../paths.ts';

const planned = z.object({ at: z.string(), task: z.string() });
const entry = z.object({
  /** The rule that `since` was counted by. */
  rule: z.string(),
  /** All that was planned up to here has been seen to. */
  since: z.string(),
  /** Written before a task is filed: after a kill it is filed now, or found filed. */
  filing: planned.nullable(),
  last: planned.nullable(),
  /** The last time that was left out, and the task that was not over. */
  skipped: planned.nullable(),
});
export type Entry = z.output<typeof entry>;
const schema = z.record(z.string(), entry);

export type Book = Record<string, Entry>;

/** Empty where there is none that can be read. */
export function readBook(workspace: Workspace): Book {
  try {
    return schema.parse(JSON.parse(readFileSync(workspace.scheduleBook, 'utf8')));
  } catch {
    return {};
  }
}

export function writeBook(workspace: Workspace, durability: 'full' | 'fast', book: Book): void {
  writeJson(workspace.scheduleBook, book, durability === 'full');
}
