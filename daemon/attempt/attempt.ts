// One try at a task, from claim to release: prepare → execute → finish → settle. Each phase finds what an earlier daemon did.

import { randomUUID } from 'node:crypto';
import { runTarget } from '../agents/kept.ts';
import type { Verdict } from '../agents/port.ts';
import { stillRuns } from '../agents/run.ts';
import { messageOf, TowpathError } from '../errors.ts';
import { endTree } from '../process/end.ts';
import type { Claim, Task } from '../queue/port.ts';
import { judgeAnswer, RESULT_JSON, type Schema } from '../task/answer.ts';
import { headChars } from '../task/cut.ts';
import { movedOut } from '../task/state.ts';
import type { StateChange } from '../task/terms.ts';
import { GitProblem } from '../worktree/git.ts';
import { usedUp } from './budget.ts';
import { cleanUp, keepsFailed } from './clean.ts';
import type { Context } from './context.ts';
import { addUsage, decide, type Ending, failure, policyOf } from './ending.ts';
import { execute, readEnd, reattach } from './execute.ts';
import { abortedBy, finish, type Measured } from './finish.ts';
import { joinedRun, joinWaits, unjoined } from './join.ts';
import { makePlan, type Plan } from './plan.ts';
import { endingOf, prepare } from './prepare.ts';
import { type RunVerdict, readRun } from './record.ts';
import { readWork } from './work.ts';

interface Tried {
  plan: Plan | null;
  ending: Ending;
  run: RunVerdict | null;
  measured: Measured | null;
}

/** Runs one attempt to its settlement. Returns the settled task; null when the claim was lost on the way. */
export async function attempt(ctx: Context, claim: Claim, signal: AbortSignal): Promise<Task | null> {
  let tried: Tried;
  try {
    tried = await tryTask(ctx, claim, signal);
  } catch (thrown) {
    if (thrown instanceof TowpathError && thrown.code === 'wrong_state') {
      ctx.events.emit('warning', { task: claim.task.id, message: thrown.line });
      return null;
    }
    if (thrown instanceof GitProblem && thrown.kind === 'busy' && isDone(ctx, claim)) {
      // Its agent has done its work: that is not done again because of a lock, but finished a little later.
      const times = (busy.get(claim.task.id) ?? 0) + 1;
      busy.set(claim.task.id, times);
      if (times <= BUSY_TIMES) throw thrown;
    }
    // Whatever went wrong, no agent is left running for a task that is given up here.
    if (claim.lock.agent && stillRuns(claim.lock.agent))
      await endTree(runTarget(ctx.workspace.run(claim.task.id, claim.lock.attempt), claim.lock.agent));
    const ending = thrown instanceof GitProblem ? endingOf(thrown) : faultOf(thrown);
    tried = { plan: null, ending, run: null, measured: null };
  }
  busy.delete(claim.task.id);
  return settle(ctx, claim, tried);
}

/** How often the finish of a run was put off because of a git that was at work. */
const busy = new Map<string, number>();
const BUSY_TIMES = 60;

const isDone = (ctx: Context, { lock }: Claim): boolean => readEnd(ctx, lock) !== null;

async function tryTask(ctx: Context, { task, lock }: Claim, signal: AbortSignal): Promise<Tried> {
  const abort = () => (signal.aborted ? String(signal.reason) : null);
  const plan = makePlan(task, ctx, readRun(ctx.workspace.run(task.id, lock.attempt))?.agent);
  const none = { plan, run: null, measured: null };
  // The operator decided about a hook that failed after the work: the work is not done again.
  const resolved = task.state.resolved?.event;
  if ((resolved === 'post_task' || resolved === 'gate') && task.state.runs) lock.attempt = task.state.runs;
  let run = readEnd(ctx, lock) ?? (await reattach(ctx, lock, plan, signal));
  if (!run) {
    if (plan.helps && !(await isAwaited(ctx, plan.helps)))
      return {
        ...none,
        ending: failure('cancelled', `"${plan.helps.parent}" does not wait for it any more`),
      };
    const waits = plan.joins && (await joinWaits(ctx, plan.joins));
    if (waits) return { ...none, ending: waits };
    const spent = usedUp(plan.caps, task.id);
    if (spent) return { ...none, ending: failure('budget', spent) };
    // Nothing of it runs, if anything did: there is nothing to be read.
    ctx.onSpent?.({ usd: 0, tokens: 0 });
    const prepared = await prepare(ctx, task, lock, plan, randomUUID(), signal);
    if (abort()) return { ...none, ending: abortedBy(abort(), task.id) };
    if ('ending' in prepared)
      return { ...none, ending: plan.joins ? unjoined(task, prepared.ending) : prepared.ending };
    run = plan.joins
      ? joinedRun(ctx, { task, lock }, plan)
      : await execute(ctx, { task, lock }, plan, prepared.request, prepared.env, signal);
  }
  lock.phase = 'settle';
  await ctx.queue.renew(lock);
  const { ending, measured } = await finish(ctx, task, lock, plan, run, abort());
  return { plan, ending, run, measured };
}

/** Whether the result that a review or a fix is about still waits to be judged. */
async function isAwaited({ queue }: Context, { parent, attempt }: NonNullable<Plan['helps']>): Promise<boolean> {
  const reviewed = await queue.get(parent);
  return reviewed?.queue === 'provisional' && (reviewed.state.runs ?? 1) === attempt;
}

async function settle(ctx: Context, claim: Claim, { plan, ending, run, measured }: Tried): Promise<Task | null> {
  const { task, lock } = claim;
  const { retry } = ctx.settings;
  const policy = policyOf(retry, plan?.max_attempts ?? task.spec.max_attempts ?? retry.max_attempts);
  const settlement = decide(task.state, run ? lock.attempt : null, ending, policy);
  const work = readWork(ctx.workspace, task.id);
  const change: StateChange = {
    ...settlement.state,
    runs: run ? lock.attempt : task.state.runs,
    claimed_at: lock.claimed_at,
    ...(plan
      ? { agent: plan.chosen.agent.name, role: plan.role.name, model: run?.verdict.model ?? plan.model ?? undefined }
      : {}),
    ...(run
      ? {
          ...(lock.attempt === task.state.runs ? {} : addUsage(task.state, run.verdict)),
          session: run.verdict.session ?? undefined,
        }
      : {}),
    ...(run?.verdict.output ? { result: resultOf(run.verdict, plan?.schema ?? null) } : {}),
    ...(work ? { branch: work.branch ?? undefined, base: work.base ?? undefined, worktree: work.worktree } : {}),
    ...(measured ? { commit: measured.commit ?? undefined } : {}),
  };
  if (settlement.to === 'failed' && !keepsFailed(ctx, task.id))
    Object.assign(change, await cleanUp(ctx, task.id, lock.attempt));
  try {
    const settled = await ctx.queue.settle(lock, { to: settlement.to, state: change });
    ctx.events.emit('transition', {
      task: task.id,
      from: 'claimed',
      to: settled.queue,
      outcome: settled.state.outcome,
      reason: settled.state.reason,
    });
    return settled;
  } catch (thrown) {
    const there = (await ctx.queue.get(task.id))?.queue === 'claimed';
    if (!there) {
      ctx.queue.dropLock(task.id);
      await leaveWord(ctx, task.id, change);
    }
    const message = there
      ? `its result could not be written down: ${messageOf(thrown)}`
      : 'its file was taken out of claimed/ while it ran: the run has no result';
    ctx.events.emit('warning', { task: task.id, message });
    return null;
  }
}

/** A person took the file elsewhere while it ran: where its work is, is written down there; what they decided by the move stays. */
async function leaveWord(ctx: Context, id: string, change: StateChange): Promise<void> {
  const task = await ctx.queue.get(id);
  if (!task) return;
  ctx.events.emit('transition', { task: id, from: 'claimed', to: task.queue, reason: 'moved by hand' });
  if (task.queue === 'incoming') return;
  const { runs, agent, role, model, session, branch, base, worktree, commit, claimed_at } = change;
  const work = { runs, agent, role, model, session, branch, base, worktree, commit, claimed_at };
  await ctx.queue.move(id, task.queue, { to: task.queue, state: { ...work, ...movedOut(task.queue, id) } });
}

/** The whole answer is in the run's folder; the task file keeps its beginning, characters. */
const RESULT_CHARS = 4000;

/** The value, where a schema was asked for and the answer fits it; else the text. */
function resultOf({ output, structured }: Verdict, schema: Schema | null): unknown {
  const judged = schema && judgeAnswer(output, schema, structured);
  if (judged && 'value' in judged && JSON.stringify(judged.value).length <= RESULT_JSON) return judged.value;
  return headChars(output, RESULT_CHARS);
}

/** A fault of the machine or of ourselves is not the task's: it is put off, and told. */
function faultOf(thrown: unknown): Ending {
  if (thrown instanceof TowpathError && thrown.code === 'task_refused') return failure('refused', thrown.line);
  if (thrown instanceof TowpathError) return { kind: 'hold', reason: thrown.line, waits_for: 'operator' };
  return { kind: 'later', reason: `could not go on: ${messageOf(thrown)}`, delay_ms: 60_000 };
}
