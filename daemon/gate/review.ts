// Review by agents: one task for each reviewer is filed once all else has passed, and what they came to is the gate's answer.
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { Context } from '../attempt/context.ts';
import { type Ending, failure } from '../attempt/ending.ts';
import type { Plan } from '../attempt/plan.ts';
import { readJson, type Work } from '../attempt/work.ts';
import { keepOrigin, originOf } from '../queue/files/subtasks.ts';
import { taskText } from '../queue/polled.ts';
import type { Task } from '../queue/port.ts';
import { redact } from '../secrets.ts';
import { reviewFeedback } from '../task/review.ts';
import { changes, diff } from '../worktree/commit.ts';
import type { Evidence } from './checks.ts';
import { type Opinion, opinionsOn } from './opinions.ts';
import { DIFF_BYTES, reviewText } from './review-text.ts';

/** The gate waits for these. */
export interface Waiting {
  kind: 'reviews';
  reviews: Pick<Opinion, 'id' | 'role'>[];
}

/** The reviews of what a task has now; those of an earlier run or another commit say nothing of it. */
export async function standing(ctx: Context, task: Task, work: Work | null): Promise<Opinion[]> {
  const all = await opinionsOn(ctx, task.id);
  return all.filter(({ attempt, commit }) => attempt === runOf(task) && commit === commitOf(task, work));
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
  if (reviews.some(({ verdict }) => verdict === null)) return { kind: 'reviews', reviews };
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

const runOf = ({ state }: Task): number => state.runs ?? 1;
const commitOf = ({ state }: Task, work: Work | null): string | null =>
  work === null || work.kind === 'folder' ? null : (state.commit ?? work.start);

const ID_CHARS = 128;

/** Files one review. Who it is for and what it is about is privately written down before its file is there. */
async function file(ctx: Context, task: Task, plan: Plan, work: Work | null, role: string): Promise<string> {
  const { workspace, queue, settings } = ctx;
  const attempt = runOf(task);
  const commit = commitOf(task, work);
  const ending = `.review-${attempt}${plan.review.roles.length > 1 ? `-${role}` : ''}`;
  const id = await freeId(ctx, task.id, ending);
  const { project, repo } = task.spec;
  const data = {
    ...{ id, title: `Review of ${task.id}`, role, priority: 'P0' },
    ...(project === undefined ? {} : { project }),
    ...(repo === undefined ? {} : { repo }),
    ...(commit === null ? { complexity: 'minor' } : {}),
    ...{ expect: 'any', checks: [], review: 'none' },
  };
  const content = taskText(data, redact(await textOf(ctx, task, work)));
  const depth = (originOf(workspace, task.id)?.depth ?? 0) + 1;
  const of = { role, attempt, commit };
  const origin = keepOrigin(workspace, settings.durability, id, { kind: 'review', parent: task.id, depth, of });
  try {
    await queue.submit({ name: `${id}.md`, content });
  } catch (thrown) {
    origin.undo();
    throw thrown;
  }
  queue.intake.handedOver(`${id}.md`);
  ctx.events.emit('transition', { task: id, from: null, to: 'incoming', reason: `reviews ${task.id}` });
  return id;
}

/** A name that no task has, nor had: its runs would pass for ours. */
async function freeId({ workspace, queue }: Context, parent: string, ending: string): Promise<string> {
  for (let n = 1; ; n++) {
    const last = `${ending}${n === 1 ? '' : `-${n}`}`;
    const id = `${parent.slice(0, ID_CHARS - last.length)}${last}`;
    if (!(await queue.get(id)) && !existsSync(workspace.runs(id))) return id;
  }
}

async function textOf({ workspace }: Context, task: Task, work: Work | null): Promise<string> {
  const checks = readJson<Evidence[]>(join(workspace.run(task.id, runOf(task)), 'checks.json')) ?? [];
  const { id, title, body } = task;
  const to = commitOf(task, work);
  const from = work?.start ?? null;
  const dir = work?.open?.root ?? work?.worktree;
  const found = dir && from && to ? { from, to, ...(await changeOf(dir, from, to)) } : null;
  return reviewText({ id, title, body, feedback: task.state.feedback ?? [], checks, diff: found });
}

async function changeOf(dir: string, from: string, to: string) {
  const { files } = await changes(dir, from, to);
  return { files, ...(await diff(dir, from, DIFF_BYTES, to)) };
}
