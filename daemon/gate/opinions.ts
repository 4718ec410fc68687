// What the reviews of a task came to: found by what was privately written down when they were filed, read from their runs.
import { join } from 'node:path';
import { DISCARDED_FILE } from '../attempt/record.ts';
import { readJson } from '../attempt/work.ts';
import { filedBy, helpOf } from '../queue/files/subtasks.ts';
import { REVIEW_SCHEMA, type Verdict } from '../task/review.ts';
import type { Queue } from '../task/terms.ts';
import { endOf, type Place, runOf } from './helper.ts';

/** One review of a result, open or over. */
export interface Opinion {
  id: string;
  role: string;
  /** The run that it is about, and what that made. */
  attempt: number;
  commit: string | null;
  /** null: its file is nowhere. */
  queue: Queue | null;
  /** null: it is not over. One that failed is a rejection. */
  verdict: Verdict['verdict'] | null;
  summary: string;
  findings: Verdict['findings'];
  /** Files that it changed; nothing of that is kept. */
  discarded: string[];
  cost_usd: number | null;
}

/** All reviews of a task, also those of earlier runs, the oldest first. */
export async function opinionsOn(place: Place, id: string): Promise<Opinion[]> {
  const all = await Promise.all(filedBy(place.workspace, id, 'review').map((one) => opinion(place, id, one)));
  return all.filter((one) => one !== null);
}

async function opinion({ workspace, queue }: Place, parent: string, id: string): Promise<Opinion | null> {
  const about = helpOf(workspace, id);
  if (about?.kind !== 'review' || about.parent !== parent) return null;
  const task = await queue.get(id);
  const { role, attempt, commit } = about;
  const discarded = task ? readJson<string[]>(join(workspace.run(id, runOf(task)), DISCARDED_FILE)) : null;
  const end = endOf({ workspace }, id, task, REVIEW_SCHEMA);
  const said: Verdict | typeof OPEN =
    end === null
      ? OPEN
      : 'value' in end
        ? (end.value as Verdict)
        : { verdict: 'reject', summary: `no verdict: ${end.problem}`, findings: [] };
  return {
    ...{ id, role, attempt, commit },
    ...{ queue: task?.queue ?? null, cost_usd: task?.state.cost_usd ?? null, discarded: discarded ?? [] },
    ...said,
  };
}

const OPEN = { verdict: null, summary: '', findings: [] };
