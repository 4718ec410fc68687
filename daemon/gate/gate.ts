// What a result must pass before it is done: protected files, checks, gate hooks, review. Entered again from the start after a crash.

import type { Context, Owner } from '../attempt/context.ts';
import { addFeedback, decide, type Ending, failure, policyOf } from '../attempt/ending.ts';
import { taskHooks } from '../attempt/hook.ts';
import { isJoin, unjoined } from '../attempt/join.ts';
import { makePlan, type Plan } from '../attempt/plan.ts';
import { protectedFiles } from '../attempt/protect.ts';
import { readRun } from '../attempt/record.ts';
import { readWork, type Work, writeWork } from '../attempt/work.ts';
import { messageOf, TowpathError } from '../errors.ts';
import type { Task } from '../queue/port.ts';
import { changes } from '../worktree/commit.ts';
import { GitProblem } from '../worktree/git.ts';
import { applyTree, unapplyTree } from '../worktree/tree.ts';
import { restoreWorktree } from '../worktree/worktree.ts';
import { accept } from './accept.ts';
import type { Waiting } from './helpers/helper.ts';
import { type Judged, prove } from './prove.ts';
import { review, standing } from './review/review.ts';
import { isTested, untested } from './trials/tests.ts';
import { takeOff } from './trials/trial.ts';

/** Takes a task in provisional/ to done/, back to incoming/, to failed/ or blocked/, or leaves it there to be reviewed. */
export async function gate(ctx: Context, found: Task, signal: AbortSignal): Promise<Task | null> {
  const { id, state } = found;
  // By the front matter that was claimed: an agent could have written into the file, a person may have broken it.
  const task = { ...found, spec: readRun(ctx.workspace.run(id, state.runs ?? 1))?.spec ?? found.spec };
  let plan: Plan | null = null;
  let ending: Judgement | null = null;
  try {
    plan = makePlan(task, ctx, task.state.agent);
    ending = await judge(ctx, task, plan, signal);
    if (signal.aborted) return null;
    if (ending === 'accept') return await accept(ctx, task);
  } catch (thrown) {
    // It is landed, and only the file could not be moved: that is done again, and not the work.
    if (ending === 'accept' && readWork(ctx.workspace, id)?.accepted) throw thrown;
    ending =
      thrown instanceof GitProblem && thrown.kind === 'conflict'
        ? failure('conflict', thrown.line)
        : thrown instanceof GitProblem && thrown.kind === 'busy'
          ? { kind: 'later', reason: thrown.line, delay_ms: null }
          : {
              kind: 'hold',
              reason: `the gate could not be passed: ${thrown instanceof TowpathError ? thrown.line : messageOf(thrown)}`,
              waits_for: 'operator',
            };
  }
  if (ending === 'human' || ending.kind === 'helpers') return waitForReview(ctx, task, ending);
  if (ending.kind === 'later') return waitForGate(ctx, task, ending);
  return turnBack(ctx, task, plan, ending);
}

type Judgement = Ending | Waiting | 'accept' | 'human';

async function judge(ctx: Context, task: Task, whole: Plan, signal: AbortSignal): Promise<Judgement> {
  const work = readWork(ctx.workspace, task.id);
  // A review is judged by the gate of what it reviews.
  if (work?.accepted || whole.helps) return 'accept';
  const plan = isTested(whole, work) ? untested(whole) : whole;
  // Reviews are filed once all else has passed: that is not done again for the same work.
  const passed = plan.review.roles.length > 0 && (await standing(ctx, task, work)).length > 0;
  const { files, tree } = await open(ctx, task, work, !passed);
  if (passed) return review(ctx, task, plan, work, tree);
  const touched = protectedFiles(files, plan.protect);
  if (touched.length > 0)
    return failure('rejected', `it changes protected files: ${touched.slice(0, 5).join(', ')}`, {
      feedback: `These files are protected and must stay as they are on the base branch: ${touched.join(', ')}. Undo your changes to them.`,
      from: 'gate',
      ...treeOf(tree),
    });
  const it: Judged = { task, plan: whole, work, tree };
  const proven = await prove(ctx, it, signal);
  if ('kind' in proven) return proven;
  const { commit } = task.state;
  const hooks = await taskHooks(ctx, 'gate', {
    ...{ task, lock: null, attempt: task.state.runs ?? 1, plan, work },
    result: {
      ...{ outcome: 'ok', checks: proven.evidence, commit: commit ?? null },
      files: it.tree === tree ? files : (await open(ctx, task, it.work, false)).files,
    },
  });
  if ('ending' in hooks)
    return hooks.ending.kind === 'outcome' ? { ...hooks.ending, ...treeOf(it.tree) } : hooks.ending;
  if (plan.review.roles.length > 0) return review(ctx, task, plan, it.work, it.tree);
  return plan.review.human ? 'human' : 'accept';
}

const treeOf = (tree: string | null) => (tree === null ? {} : { tree });

/** Makes sure that the work lies where the checks run, in the repository's own tree only when it is wanted there; says what it changed. */
async function open(
  ctx: Context,
  task: Task,
  work: Work | null,
  inTree: boolean,
): Promise<{ files: string[]; tree: string | null }> {
  if (!work)
    throw new TowpathError(
      'failed',
      `nothing is known of the work of "${task.id}"`,
      `"towpath accept ${task.id}" or "towpath retry ${task.id}"`,
    );
  if (work.kind === 'folder' || (work.kind === 'tree' && !work.captured)) return { files: [], tree: null };
  if (work.kind === 'tree' && inTree) {
    await takeOff(ctx, task);
    await applyTree(work.open!.root, work.captured!);
  } else if (work.kind === 'worktree') {
    const { repo, worktree, branch } = work;
    const aside = await restoreWorktree(repo, worktree, branch!, task.state.commit);
    if (aside)
      ctx.events.emit('warning', { task: task.id, message: `commits on top of its result are put aside: ${aside}` });
  }
  const found = await changes(
    work.kind === 'tree' ? work.open!.root : work.worktree,
    work.start!,
    work.kind === 'tree' ? work.captured! : 'HEAD',
  );
  return { files: found.files, tree: found.tree };
}

/** A gate hook asks for patience: the work is done, so it is the gate alone that is entered again. */
async function waitForGate(
  ctx: Context,
  task: Task,
  { reason, delay_ms }: Extract<Ending, { kind: 'later' }>,
): Promise<Task> {
  await close(ctx, task);
  const not_before = new Date(Date.now() + (delay_ms ?? ctx.settings.retry.initial)).toISOString();
  return ctx.queue.move(task.id, 'provisional', { to: 'provisional', state: { reason, not_before } });
}

const WORDS = { review: 'review', fix: 'a patch', test: 'tests' } as const;

async function waitForReview(ctx: Context, task: Task, by: 'human' | Waiting): Promise<Task> {
  await close(ctx, task);
  const agents = by === 'human' ? [] : by.helpers;
  const waits_for = by === 'human' ? 'review' : by.for;
  const reason = agents.length
    ? `waits for ${WORDS[by === 'human' ? 'review' : by.for]} by ${agents.map(({ id, role }) => `the ${role} (${id})`).join(', ')}`
    : `waits for review: "towpath accept ${task.id}" or "towpath reject ${task.id} -m …"`;
  const waiting = await ctx.queue.move(task.id, 'provisional', {
    to: 'provisional',
    state: { reason, waits_for, awaits: agents.length ? agents.map(({ id }) => id) : undefined, not_before: undefined },
  });
  ctx.events.emit('transition', { task: task.id, from: 'provisional', to: 'provisional', reason });
  return waiting;
}

/** Back to work, or to the operator, or to the end: by the outcome table. */
export async function turnBack(ctx: Owner, task: Task, plan: Plan | null, ending: Ending): Promise<Task> {
  await close(ctx, task);
  const { retry } = ctx.settings;
  const policy = policyOf(retry, plan?.max_attempts ?? task.spec.max_attempts ?? retry.max_attempts);
  const joins = plan ? plan.joins !== null : isJoin(ctx, task);
  const settlement = decide(task.state, task.state.runs ?? null, joins ? unjoined(task, ending) : ending, policy);
  if (joins && ending.kind === 'outcome')
    Object.assign(settlement.state, {
      feedback: addFeedback(task.state.feedback, ending, policy.now, task.state.runs ?? null),
    });
  const moved = await ctx.queue.move(task.id, 'provisional', {
    to: settlement.to,
    state: {
      ...settlement.state,
      awaits: undefined,
      ...(settlement.to === 'blocked' ? {} : { waits_for: undefined }),
    },
  });
  ctx.events.emit('transition', {
    task: task.id,
    from: 'provisional',
    to: moved.queue,
    outcome: moved.state.outcome,
    reason: moved.state.reason,
  });
  return moved;
}

/** What is only tried is off the work, and the repository's own tree is given back as it was; the work is kept on its ref. */
export async function close(ctx: Owner, task: Task): Promise<void> {
  await takeOff(ctx, task);
  const work = readWork(ctx.workspace, task.id);
  // What was handed in stays so until it is prepared anew: killed before the move, it is not judged once more.
  if (work?.accepted && !work.handed) writeWork(ctx, task.id, { ...work, accepted: false });
  if (work?.kind !== 'tree' || !work.open || !work.captured) return;
  try {
    await unapplyTree(work.open.root, work.captured);
  } catch (thrown) {
    if (!(thrown instanceof GitProblem)) throw thrown;
    ctx.events.emit('warning', { task: task.id, message: `its work stays in the tree: ${thrown.message}` });
  }
}
