// The third phase: the agent's work is committed and measured, the hooks after it run, and the run gets its outcome.
import { join } from 'node:path';
import type { Help } from '../queue/files/subtasks.ts';
import type { Lock, Task } from '../queue/port.ts';
import { judgeAnswer, RESULT_JSON } from '../task/answer.ts';
import { divisionOf } from '../task/breakdown.ts';
import { judgeFix } from '../task/fix.ts';
import type { Outcome } from '../task/terms.ts';
import { testedOf } from '../task/test.ts';
import { changes, commitAll } from '../worktree/commit.ts';
import { GitProblem } from '../worktree/git.ts';
import { captureTree, restoreTree } from '../worktree/tree.ts';
import { regainWorktree } from '../worktree/worktree.ts';
import { divisionProblem, rulesFor } from './breakdown.ts';
import { advice } from './budget.ts';
import { closeLimits } from './closing.ts';
import type { Context } from './context.ts';
import { type Ending, failure } from './ending.ts';
import { taskHooks } from './hook.ts';
import { JOINER } from './join.ts';
import type { Plan } from './plan.ts';
import { takeQuestion } from './question.ts';
import { DISCARDED_FILE, type RunVerdict, readRun } from './record.ts';
import { keepTests, testsCommit } from './tests.ts';
import { keepWork, readWork, type Work, writeJson, writeWork } from './work.ts';

const NOTHING = { commit: null, tree: null, files: [], changed: false };

/** What git says of a run. */
export interface Measured {
  commit: string | null;
  tree: string | null;
  files: string[];
  changed: boolean;
}

/** Commits, measures, runs post_task, and says how the run ended. */
export async function finish(
  ctx: Context,
  task: Task,
  lock: Lock,
  plan: Plan,
  run: RunVerdict,
  abort: string | null,
): Promise<{ ending: Ending; measured: Measured }> {
  const work = readWork(ctx.workspace, task.id);
  const dir = ctx.workspace.run(task.id, lock.attempt);
  // Before the commit: a question is none of the work.
  const asked = takeQuestion(dir, work, readRun(dir)?.had_question === false);
  const measured = await measure(ctx, task, lock, plan, work).catch((thrown: unknown) => {
    // What a run that came to no good end left half done is for the next one: its own end is what counts.
    if (thrown instanceof GitProblem && thrown.kind === 'conflict' && run.verdict.outcome !== 'ok') return NOTHING;
    throw thrown;
  });
  await keepWork(ctx, { id: task.id, attempt: lock.attempt, commit: measured.commit });
  if (plan.helps?.kind === 'test' && work)
    await keepTests(dir, work, measured.commit ?? work.start!, ctx.settings.durability === 'full');
  else if (plan.helps && measured.changed) noteChanges(ctx, plan.helps, task.id, dir, measured.files);
  if (plan.divides && measured.changed)
    ctx.events.emit('warning', {
      task: task.id,
      message: `${measured.files.length} files that it changed while it was planned are thrown away`,
    });
  const ran = outcomeOf(task.id, run, plan, measured, work, abortedBy(abort, task.id).reason);
  // A limit holds the agent also where the answer is waited for first.
  const closed = closeLimits(ctx, plan, dir, run.verdict, ran);
  const waits = asked !== null && abort !== 'cancel';
  const { outcome, reason } = waits ? { outcome: 'needs_input' as const, reason: asked } : ran;
  const { input, output, cache_read, cache_write, cost_usd } = run.verdict.usage;
  ctx.events.emit('attempt_finished', {
    task: task.id,
    attempt: lock.attempt,
    outcome,
    reason,
    agent: plan.joins ? JOINER : plan.chosen.agent.name,
    model: run.verdict.model ?? plan.model,
    role: plan.role.name,
    duration_ms: run.duration_ms,
    input,
    output,
    cache_read,
    cache_write,
    cost_usd,
    project: task.spec.project,
  });
  const question = waits ? failure(outcome, reason, { verdict: { ...run.verdict, question: asked } }) : null;
  if (run.ended === 'aborted') return { ending: question ?? abortedBy(abort, task.id), measured };
  // Nothing was tried: the agent no longer knows the session. The next run begins a new one.
  if (outcome === 'failed' && run.resumed && run.verdict.session === null && run.verdict.usage.output === 0)
    return {
      ending: { kind: 'later', reason: `its session could not be gone on with: ${reason}`, delay_ms: 0 },
      measured,
    };
  const result = {
    outcome,
    reason,
    output: run.verdict.output.slice(0, 4000),
    commit: measured.commit,
    files: measured.files.slice(0, 1000),
    usage: run.verdict.usage,
    duration_ms: run.duration_ms,
  };
  const judged = outcome === 'ok' ? await judgeResult(ctx, task, plan, run, { dir, work }) : null;
  const post = await taskHooks(ctx, 'post_task', { task, lock, attempt: lock.attempt, plan, work, result });
  if ('ending' in post) return { ending: post.ending, measured };
  if (question) return { ending: question, measured };
  if (judged?.problem !== undefined)
    return {
      ending:
        task.state.asked_again === undefined || task.state.asked_again === lock.attempt
          ? { kind: 'ask', reason: judged.problem }
          : failure('failed', judged.problem, { from: 'schema' }),
      measured,
    };
  const ending = failure(outcome, reason, {
    // A closed agent holds its tasks until it opens, by its time or by hand: the task has no time of its own then.
    verdict: closed ? { ...run.verdict, retry_at: null } : run.verdict,
    from: 'agent',
    ...(measured.tree && measured.changed ? { tree: measured.tree } : {}),
  });
  return { ending, measured };
}

/** What is wrong with the final answer, where one by a schema was asked for. */
async function judgeResult(
  ctx: Context,
  task: Task,
  plan: Plan,
  { verdict }: RunVerdict,
  { dir, work }: { dir: string; work: Work | null },
): Promise<{ problem?: string; value?: unknown } | null> {
  const { helps, schema } = plan;
  const judged =
    helps?.kind === 'fix'
      ? judgeFix(verdict.output, verdict.structured, helps.with_test ?? false)
      : schema && judgeAnswer(verdict.output, schema, verdict.structured);
  if (!judged || 'problem' in judged) return judged;
  const full = plan.chosen.settings.permissions === 'full';
  if (helps?.kind === 'test' && work) {
    const { worktree, start } = work;
    const made = { message: 'tests', author: { name: '', email: '' } };
    const by = { dir, worktree, commit: start!, protect: plan.protect, full, made };
    const tests = await testsCommit(testedOf(judged.value), by);
    return 'problem' in tests ? { problem: tests.problem } : {};
  }
  if (!plan.divides) {
    const { length } = JSON.stringify(judged.value);
    const problem = `the final answer has ${length} characters as JSON, ${RESULT_JSON} are kept: make it shorter`;
    return helps === null && length > RESULT_JSON ? { problem } : judged;
  }
  const problem = divisionProblem(divisionOf(judged.value), rulesFor(task, ctx.settings, ctx.workspace, full));
  return problem === null ? {} : { problem };
}

/** Nothing that a review or a fix changes is kept: it is written down for the gate, and told of a review, which was to change nothing. */
function noteChanges(ctx: Context, { kind, parent }: Help, id: string, dir: string, files: string[]): void {
  writeJson(join(dir, DISCARDED_FILE), files.slice(0, 1000));
  if (kind === 'fix') return;
  const message = `its review ${id} changed ${files.length === 1 ? 'a file, which is' : `${files.length} files, which are`} thrown away: ${files.slice(0, 5).join(', ')}`;
  ctx.events.emit('warning', { task: parent, message });
}

function outcomeOf(
  task: string,
  run: RunVerdict,
  plan: Plan,
  measured: Measured,
  work: Work | null,
  aborted: string,
): { outcome: Outcome; reason: string } {
  const { verdict, ended, lost } = run;
  if (ended === 'aborted') return { outcome: 'cancelled', reason: aborted };
  if (ended === 'timeout')
    return { outcome: 'timeout', reason: `the agent did not end within ${plan.timeout_ms / 1000} s` };
  if (ended === 'stuck')
    return {
      outcome: 'stuck',
      reason: `no sign of life: last output ${run.health.last_output ?? 'never'}, last activity ${run.health.last_sign}`,
    };
  if (ended === 'budget') return { outcome: 'budget', reason: run.why ?? 'it used more than its budget' };
  if (ended === 'output') return { outcome: 'failed', reason: run.why ?? 'it printed far more than limits.run_output' };
  if (lost && verdict.outcome !== 'ok')
    return {
      outcome: 'crashed',
      reason: 'the agent went down with the machine, or was killed together with its keeper',
    };
  if (verdict.outcome === 'budget')
    return { outcome: 'budget', reason: `${verdict.reason}; ${advice(plan.caps, task)}` };
  if (verdict.outcome !== 'ok') return verdict;
  if (plan.expect === 'changes' && work?.kind !== 'folder' && !measured.changed)
    return { outcome: 'no_changes', reason: 'the agent says that it is done, and the branch holds no change' };
  return { outcome: 'ok', reason: '' };
}

/** A commit's first line; the whole title is in the task. */
const SUBJECT_CHARS = 100;

async function measure(ctx: Context, task: Task, lock: Lock, plan: Plan, work: Work | null): Promise<Measured> {
  const agent = plan.joins ? JOINER : plan.chosen.agent.name;
  const author = { name: agent, email: `${agent}@towpath.invalid` };
  const message = `${task.title.slice(0, SUBJECT_CHARS)}\n\nTowpath-Task: ${task.id}\nTowpath-Attempt: ${lock.attempt}\n`;
  if (work?.kind === 'worktree') {
    if (await regainWorktree(work.repo, work.worktree, work.branch!))
      ctx.events.emit('warning', {
        task: task.id,
        message: 'its worktree was not linked to the repository any more, and is again',
      });
    const { notes } = await commitAll(work.worktree, { message, author, branch: work.branch! });
    for (const note of notes) ctx.events.emit('warning', { task: task.id, message: note });
    const found = await changes(work.worktree, work.start!);
    return { commit: found.changed ? found.head : null, tree: found.tree, files: found.files, changed: found.changed };
  }
  if (work?.kind === 'tree' && work.open) {
    if (!work.captured) {
      const captured = await captureTree(work.open, { id: task.id, attempt: lock.attempt, message, author });
      if (captured) writeWork(ctx, task.id, { ...work, captured: captured.commit });
      await restoreTree(work.open);
      return {
        commit: captured?.commit ?? null,
        tree: captured?.tree ?? null,
        files: captured?.files ?? [],
        changed: captured !== null,
      };
    }
    await restoreTree(work.open);
    return { commit: work.captured, tree: null, files: [], changed: true };
  }
  return { commit: null, tree: null, files: [], changed: false };
}

/** What the operator wanted who ended a run: `cancel`, `pause`, or `stop` of the daemon. */
export function abortedBy(why: string | null, id: string): Ending {
  if (why === 'cancel') return failure('cancelled', 'cancelled by the operator');
  if (why === 'pause')
    return {
      kind: 'hold',
      reason: `paused by the operator; "towpath resume ${id}" lets it go on`,
      waits_for: 'paused',
    };
  return { kind: 'later', reason: 'put back: the daemon was stopped', delay_ms: 0 };
}
