// What is written down of a task's pull request, beside its runs: what was pushed, and what has been opened.
import { join } from 'node:path';
import type { Context } from '../../attempt/context.ts';
import { readJson, writeJson } from '../../attempt/work.ts';

export interface PullRecord {
  /** Every commit that was pushed to its branch: those alone may be replaced there. */
  pushed: string[];
  /** The commit for which the request was about to be opened, and then was. */
  opening?: string;
  /** The address of what was there before that: an earlier request of the same branch. Missing where it could not be asked. */
  before?: string | null | undefined;
  opened?: string;
  url: string | null;
}

type Owner = Pick<Context, 'workspace' | 'settings'>;
const path = (ctx: Owner, id: string): string => join(ctx.workspace.runs(id), 'pull.json');

export const readPull = (ctx: Owner, id: string): PullRecord =>
  readJson<PullRecord>(path(ctx, id)) ?? { pushed: [], url: null };

export function writePull(ctx: Owner, id: string, record: PullRecord): PullRecord {
  writeJson(path(ctx, id), record, ctx.settings.durability === 'full');
  return record;
}
