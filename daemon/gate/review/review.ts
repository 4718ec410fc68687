// Review by agents: one task for each reviewer is filed once all else has passed, and what they came to is the gate's answer.
import { join } from 'node:path';
import { plannedIn } from '../../attempt/breakdown.ts';
import type { Context } from '../../attempt/context.ts';
import { type Ending, failure } from '../../attempt/ending.ts';
import type { Plan } from '../../attempt/plan.ts';
import { readJson, type Work } from '../../attempt/work.ts';
import type { Task } from '../../queue/port.ts';
import { divisionText } from '../../task/breakdown.ts';
import { reviewFeedback } from '../../task/review.ts';
import { isPlan } from '../breakdown.ts';
import { changeOf } from '../change.ts';
import type { Evidence } from '../checks.ts';
import { commitOf, fileHelper, runOf, type Waiting } from '../helpers/helper.ts';
import { type Opinion, opinionsOn } from '../helpers/opinions.ts';
import { type Reviewed, reviewText } from './text.ts';

/** The reviews of what a task has now; those of an earlier run or another commit say nothing of it. */
export async function standing(ctx: Context, task: Task, work: Work | null): Promise<Opinion[]> {
  const all = await opinionsOn(ctx, task.id);
  return all.filter(
    ({ kind, attempt, commit }) => kind === 'review' && attempt === runOf(task) && commit === commitOf(task, work),
  );
}

/** Files what is missing, or says what came of it. May be done again after a kill at any point. */
export async function review(
  ctx: Context,
  task: Task,
  plan: Plan,
  work: Work | null,
  tree: string | null,
): Promise<Ending | Waiting | 'accept' | 'human'> {
  const known = await standing(ctx, task, work);
  const reviews = [];
  for (const role of plan.review.roles) {
    const one = known.findLast((opinion) => opinion.role === role);
    // One whose file never came to be is filed now.
    if (one && (one.queue !== null || one.verdict !== null)) reviews.push(one);
    else reviews.push({ id: await file(ctx, task, plan, work, role), role, verdict: null });
  }
  if (reviews.some(({ verdict }) => verdict === null)) return { kind: 'helpers', for: 'review', helpers: reviews };
  return conclude(reviews as Opinion[], plan, tree);
}

function conclude(reviews: Opinion[], plan: Plan, tree: string | null): Ending | 'accept' | 'human' {
  const against = reviews.filter(({ verdict }) => verdict === 'reject');
  if (against.length === 0) return plan.review.human ? 'human' : 'accept';
  const said = reviews.map((one) => ({ ...one, verdict: one.verdict!, summary: withNote(one) }));
  return failure('rejected', against.map(({ role, summary }) => `rejected by the ${role}: ${summary}`).join('; '), {
    feedback: reviewFeedback(said),
    from: 'review',
    ...(tree === null ? {} : { tree }),
  });
}

const NOTED = 5;
function withNote({ summary, discarded }: Opinion): string {
  if (discarded.length === 0) return summary;
  const more = discarded.length > NOTED ? ` and ${discarded.length - NOTED} more` : '';
  return `${summary} (It changed ${discarded.slice(0, NOTED).join(', ')}${more}: that was thrown away.)`;
}

async function file(ctx: Context, task: Task, plan: Plan, work: Work | null, role: string): Promise<string> {
  const attempt = runOf(task);
  const ending = `.review-${attempt}${plan.review.roles.length > 1 ? `-${role}` : ''}`;
  const what = { kind: 'review', role, attempt, commit: commitOf(task, work) } as const;
  const body = reviewText(await readingOf(ctx, task, work));
  return fileHelper(ctx, task, { ...what, ending, title: `Review of ${task.id}`, body });
}

/** What whoever judges a result is given to read. */
export async function readingOf({ workspace }: Context, task: Task, work: Work | null): Promise<Reviewed> {
  const checks = readJson<Evidence[]>(join(workspace.run(task.id, runOf(task)), 'checks.json')) ?? [];
  const { id, title, body } = task;
  const planned = isPlan({ workspace }, task) ? plannedIn(workspace, id, runOf(task)) : null;
  const change = await changeOf(task, work);
  return {
    id,
    title,
    body,
    feedback: task.state.feedback ?? [],
    checks,
    change,
    plan: planned && divisionText(planned),
  };
}
