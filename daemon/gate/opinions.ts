// What the reviews of a task came to: found by what was privately written down when they were filed, read from their runs.
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { Context } from '../attempt/context.ts';
import { DISCARDED_FILE, readVerdict } from '../attempt/record.ts';
import { readJson } from '../attempt/work.ts';
import { filedBy, reviewOf } from '../queue/files/subtasks.ts';
import type { QueuePort, Task } from '../queue/port.ts';
import { judgeAnswer } from '../task/answer.ts';
import { REVIEW_SCHEMA, type Verdict } from '../task/review.ts';
import type { Queue } from '../task/terms.ts';

type Place = Pick<Context, 'workspace'> & { queue: Pick<QueuePort, 'get'> };

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

/** Whether all that a task waits for has an end. */
export async function reviewsOver({ workspace, queue }: Context, { id, state }: Task): Promise<boolean> {
  for (const one of state.reviews ?? []) {
    // Most are on their way: that is seen without reading them.
    if (queue.intake.byId(one) || existsSync(join(workspace.queue('claimed'), `${one}.md`))) return false;
    if ((await opinion({ workspace, queue }, id, one))?.verdict === null) return false;
  }
  return true;
}

async function opinion({ workspace, queue }: Place, parent: string, id: string): Promise<Opinion | null> {
  const about = reviewOf(workspace, id);
  if (about?.parent !== parent) return null;
  const task = await queue.get(id);
  const { role, attempt, commit } = about;
  const known = { id, role, attempt, commit, queue: task?.queue ?? null, cost_usd: task?.state.cost_usd ?? null };
  const run = workspace.run(id, task?.state.runs ?? 1);
  const discarded = readJson<string[]>(join(run, DISCARDED_FILE)) ?? [];
  const found = task ? verdictOf(task, run) : existsSync(workspace.runs(id)) ? failed('its file is gone') : OPEN;
  return { ...known, discarded, ...found };
}

const OPEN = { verdict: null, summary: '', findings: [] };
const failed = (why: string): Verdict => ({ verdict: 'reject', summary: `no verdict: ${why}`, findings: [] });

/** By the run that it ended with, and not by what its file says of it. */
function verdictOf({ queue, state, refusal }: Task, run: string): Verdict | typeof OPEN {
  if (queue === 'failed') return failed(refusal ?? state.reason ?? 'its file was moved to failed/');
  // Who must be answered, paid or let in again is waited for; what is spent is spent.
  if (queue === 'blocked' && state.outcome === 'budget' && state.waits_for === 'operator')
    return failed(state.reason ?? 'its budget is spent');
  if (queue !== 'done') return OPEN;
  const ended = readVerdict(run)?.verdict;
  const judged = ended && judgeAnswer(ended.output, REVIEW_SCHEMA, ended.structured);
  return judged && 'value' in judged ? (judged.value as Verdict) : failed(judged?.problem ?? 'it was never run');
}
