// A result is good: a minor task's work becomes a commit on the checked-out branch, a major one's worktree goes and its branch stays.
import { cleanUp } from '../attempt/clean.ts';
import type { Context, Owner } from '../attempt/context.ts';
import { repoOf } from '../attempt/plan.ts';
import { keepWork, readWork, writeWork } from '../attempt/work.ts';
import { now } from '../clock.ts';
import type { Task } from '../queue/port.ts';
import type { StateChange } from '../task/terms.ts';
import { acceptTree } from '../worktree/tree.ts';
import { breakDown, isPlan } from './breakdown.ts';
import { handIn, leadsTo } from './hand-in.ts';
import { takeOff } from './trials/trial.ts';

/**
 * Moves a task from provisional/ to done/, or hands it on to be merged or offered; a plan is carried out. Every step may be done again. Throws GitProblem
 * `conflict` when a minor task's work no longer fits.
 */
export async function accept(ctx: Owner, task: Task): Promise<Task> {
  underWay.add(task.id);
  try {
    return await carryOut(ctx, task);
  } finally {
    underWay.delete(task.id);
  }
}

const underWay = new Set<string>();
/** Whether this process is about to accept a task: nobody begins that once more. */
export const isBeingAccepted = (id: string): boolean => underWay.has(id);

/** The other minor task that is at work where a minor result is to be put: it would take that for its own, and take it back with what fails. */
export async function inTree({ workspace, settings, queue }: Owner, task: Task): Promise<string | null> {
  if (task.spec.complexity !== 'minor') return null;
  const repo = repoOf(task, settings, workspace);
  const others = (await queue.list('claimed')).filter(({ id, spec }) => spec.complexity === 'minor' && id !== task.id);
  return others.find((one) => repoOf(one, settings, workspace) === repo)?.id ?? null;
}

async function carryOut(ctx: Owner, task: Task): Promise<Task> {
  if (isPlan(ctx, task)) return breakDown(ctx, task);
  const to = leadsTo(ctx, task);
  if (to !== 'branch') return handIn(ctx, task, to);
  const commit = await land(ctx, task).catch((thrown: unknown) => {
    const work = readWork(ctx.workspace, task.id);
    if (work) writeWork(ctx, task.id, { ...work, accepted: false });
    throw thrown;
  });
  return finishTask(ctx, task, commit);
}

/** Its work is where it belongs: into done/. */
export async function finishTask(ctx: Owner, task: Task, change: StateChange): Promise<Task> {
  const done = await ctx.queue.move(task.id, ['provisional', 'blocked'], {
    to: 'done',
    state: {
      ...change,
      outcome: 'ok',
      reason: undefined,
      waits_for: undefined,
      awaits: undefined,
      not_before: undefined,
      transients: undefined,
      resolved: undefined,
      last_error: undefined,
      last_tree: undefined,
      finished_at: now(),
    },
  });
  ctx.events.emit('transition', { task: task.id, from: task.queue, to: 'done', outcome: 'ok' });
  return done;
}

/** Puts the work where it belongs and clears the place it was done in. Returns what of the state changed. */
export async function land(ctx: Pick<Context, 'workspace' | 'settings' | 'events'>, task: Task): Promise<StateChange> {
  await takeOff(ctx, task);
  const work = readWork(ctx.workspace, task.id);
  // From here on a crash leads back here, and not to the checks: the place where they ran may be gone already.
  if (work && !work.accepted) writeWork(ctx, task.id, { ...work, accepted: true });
  const attempt = task.state.runs ?? 1;
  if (work?.kind === 'tree' && work.open && work.captured) {
    const commit = await acceptTree(work.open, work.captured);
    await keepWork(ctx, { id: task.id, attempt, commit });
    return { commit };
  }
  return work?.kind === 'worktree' ? cleanUp(ctx, task.id, attempt) : {};
}
