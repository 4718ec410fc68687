// The part of the gate that is measured: checks, beside them a tester's tests and commands, and a patch where one of them fails.
import { join } from 'node:path';
import type { Context } from '../attempt/context.ts';
import { type Ending, failure } from '../attempt/ending.ts';
import type { Plan } from '../attempt/plan.ts';
import { readJson, readWork, type Work, writeJson } from '../attempt/work.ts';
import type { Task } from '../queue/port.ts';
import { redactAll } from '../secrets.ts';
import { changes } from '../worktree/commit.ts';
import { checkFeedback, commandText, type Evidence, runChecks, type ToRun } from './checks.ts';
import { runOf, type Waiting, waitFor } from './helpers/helper.ts';
import { filedFix, fileFix, tryFix } from './trials/fix.ts';
import { bringTests, failedTests, fileTests, isTested, type Standing, severe } from './trials/tests.ts';

/** What is judged: a result, where it lies, and what it comes to once something was put on top of it. */
export interface Judged {
  task: Task;
  plan: Plan;
  work: Work | null;
  tree: string | null;
}

/** The evidence that a result works, or what else is to be done. Where commits are put on top of it, its commit and its tree are others then. */
export async function prove(
  ctx: Context,
  it: Judged,
  signal: AbortSignal,
): Promise<{ evidence: Evidence[] } | Ending | Waiting> {
  const { task, plan } = it;
  const work = it.work?.kind === 'worktree' || it.work?.captured ? it.work : null;
  const tests = work && isTested(plan, work) ? await bringTests(ctx, task, { ...it, work }) : null;
  if (tests && 'kind' in tests) return tests;
  if (tests?.trial.kept.put) await goOn(ctx, it);
  const mends = work && plan.fix !== 'none';
  const fix = mends ? await filedFix(ctx, task) : null;
  const all = [...plan.checks, ...[tests?.trial, fix?.took ? fix : null].flatMap((one) => one?.kept.brought ?? [])];
  const run = (what: readonly ToRun[], tree: string | null) => runAll(ctx, it, { what, tree, told: true, signal });
  const look = (what: readonly ToRun[], tree: string | null) => runAll(ctx, it, { what, tree, told: false, signal });
  const kept = join(ctx.workspace.run(task.id, runOf(task)), 'checks.json');
  let evidence: Evidence[];
  if (work && fix && !fix.took) {
    const fixed = await tryFix(ctx, task, { work, plan }, fix, { all, run, look }, signal);
    if (fixed === null) return waitFor(fix);
    if (signal.aborted) return failure('cancelled', '');
    await goOn(ctx, it);
    if ('refused' in fixed) return failedChecks(ctx, it, readJson<Evidence[]>(kept) ?? [], tests);
    evidence = fixed.evidence;
  } else evidence = await run(all, it.tree);
  if (signal.aborted) return failure('cancelled', '');
  if (evidence.length > 0) writeJson(kept, redactAll(evidence));
  if (evidence.some((one) => !one.ok))
    return mends && !fix ? fileFix(ctx, task, work, plan, evidence) : failedChecks(ctx, it, evidence, tests);
  if (tests) return severe(ctx, task, tests, it.tree) ?? { evidence };
  return work && isTested(plan, work) ? fileTests(ctx, task, work) : { evidence };
}

async function goOn(ctx: Context, it: Judged): Promise<void> {
  it.work = readWork(ctx.workspace, it.task.id) ?? it.work;
  const { worktree, start, captured } = it.work!;
  it.tree = (await changes(worktree, start!, captured)).tree;
}

function runAll(
  ctx: Context,
  { task, plan, work }: Judged,
  { what, tree, told, signal }: { what: readonly ToRun[]; tree: string | null; told: boolean; signal: AbortSignal },
): Promise<Evidence[]> {
  const attempt = runOf(task);
  return runChecks({
    checks: what,
    cwd: work?.worktree ?? plan.repo,
    allow: ctx.settings.env,
    set: {
      TOWPATH_TASK_ID: task.id,
      TOWPATH_ATTEMPT: String(attempt),
      TOWPATH_WORKTREE: work?.worktree ?? '',
      TOWPATH_WORKSPACE: ctx.workspace.root,
    },
    timeout_ms: plan.timeout_ms,
    tree,
    signal,
    onDone: ({ command, code, ok, tree, duration_ms, by }) => {
      if (told) ctx.events.emit('check_finished', { task: task.id, attempt, command, code, ok, tree, duration_ms, by });
    },
  });
}

function failedChecks(ctx: Context, { task, tree }: Judged, evidence: Evidence[], tests: Standing | null): Ending {
  const failed = evidence.filter((one) => !one.ok);
  const how = (code: number | null) => (code === null ? 'did not end' : `exited with ${code}`);
  const reason = failed.map(({ code, ...of }) => `${commandText(of)} ${how(code)}`).join('; ');
  const said = tests ? `${failedTests(ctx, task, tests, reason)}\n\n` : '';
  return failure('check_failed', reason, {
    feedback: `${said}${checkFeedback(evidence)}`,
    from: 'check',
    ...(tree === null ? {} : { tree }),
  });
}
