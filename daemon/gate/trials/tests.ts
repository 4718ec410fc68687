// A tester's word is measured: the tests that it wrote are put on top of the work, and its commands are run beside the checks.
import type { Context } from '../../attempt/context.ts';
import { type Ending, failure } from '../../attempt/ending.ts';
import type { Plan } from '../../attempt/plan.ts';
import { testsCommit } from '../../attempt/tests.ts';
import type { Work } from '../../attempt/work.ts';
import type { Task } from '../../queue/port.ts';
import { findingLines, reviewFeedback } from '../../task/review.ts';
import { isSevere, TEST_SCHEMA, TESTER, type Tested, testedOf } from '../../task/test.ts';
import { moveTo } from '../../worktree/patch.ts';
import { bySchema, commitOf, endOf, fileHelper, runOf, type Waiting, waitFor } from '../helpers/helper.ts';
import { keep } from '../helpers/kept.ts';
import { readingOf } from '../review/review.ts';
import { testText } from '../review/text.ts';
import { allowedTo, clear, filedTrial, signed, stay, type Trial } from './trial.ts';

/** Whether a tester brings evidence to it; where there is no worktree it reviews, and so it does with a plan. */
export const isTested = (plan: Plan, work: Work | null): boolean =>
  plan.review.roles.includes(TESTER) && work?.kind === 'worktree' && !plan.divides;

/** Who reviews what was tested. */
export const untested = (plan: Plan): Plan => ({
  ...plan,
  review: { ...plan.review, roles: plan.review.roles.filter((role) => role !== TESTER) },
});

export async function fileTests(ctx: Context, task: Task, work: Work): Promise<Waiting> {
  const attempt = runOf(task);
  const what = { kind: 'test', role: TESTER, attempt, commit: commitOf(task, work) } as const;
  const body = testText(await readingOf(ctx, task, work));
  const id = await fileHelper(ctx, task, { ...what, ending: `.test-${attempt}`, title: `Tests of ${task.id}`, body });
  return waitFor({ ...what, id });
}

/** What was brought to a result, and is part of it. */
export interface Standing {
  trial: Trial;
  tested: Tested;
}

/** Puts what was filed for the last run onto the work, whatever it will show; null when nothing was. The worktree lies at the work. */
export async function bringTests(
  ctx: Context,
  task: Task,
  { work, plan, tree }: { work: Work; plan: Plan; tree: string | null },
): Promise<Standing | Waiting | Ending | null> {
  const trial = await filedTrial(ctx, task, 'test');
  if (!trial) return null;
  const helper = await ctx.queue.get(trial.id);
  const end = endOf(ctx, trial.id, helper, bySchema(TEST_SCHEMA));
  if (end === null) return waitFor(trial);
  const refuse = (problem: string) =>
    reject(ctx, task, trial, {
      ...{ outcome: 'refused', reason: problem, tree },
      said: { summary: `no evidence: ${problem}`, commands: [], findings: [] },
    });
  if ('problem' in end) return refuse(end.problem);
  const tested = testedOf(end.value);
  if (trial.took) return { trial, tested };
  const { wrap, full } = allowedTo(ctx, trial.id, helper);
  const { worktree } = work;
  const made = await testsCommit(tested, {
    ...{ dir: ctx.workspace.run(trial.id, runOf(helper!)), worktree, commit: trial.commit!, full },
    ...{ protect: plan.protect, made: signed(task, trial, 'Tests', 'Towpath-Test') },
  });
  if ('problem' in made) return refuse(made.problem);
  if (tested.commands.length === 0 && plan.checks.length === 0)
    return refuse('the tester ran nothing, and no check runs what it wrote');
  const { commit, files } = made;
  const brought = tested.commands.map((argv) => ({ argv, by: TESTER, wrap }));
  if (files.length === 0) {
    const kept = keep(ctx, task.id, trial.id, { brought, on: true });
    return { trial: { ...trial, took: true, kept }, tested };
  }
  await clear(work, trial);
  keep(ctx, task.id, trial.id, { tries: [commit] });
  await moveTo(worktree, commit);
  return { trial: await stay(ctx, task, trial, { put: commit, files, brought }), tested };
}

/** What is wrong with a result of which all that was run has passed, or null. */
export function severe(ctx: Context, task: Task, { trial, tested }: Standing, tree: string | null): Ending | null {
  const found = tested.findings.filter(isSevere);
  if (found.length === 0) {
    conclude(ctx, task, trial, 'passed', '');
    return null;
  }
  const reason = `${found.length} severe finding${found.length === 1 ? '' : 's'}`;
  return reject(ctx, task, trial, { outcome: 'failed', reason, tree, said: tested });
}

function reject(
  ctx: Context,
  task: Task,
  trial: Trial,
  { outcome, reason, said, tree }: { outcome: 'failed' | 'refused'; reason: string; said: Tested; tree: string | null },
): Ending {
  conclude(ctx, task, trial, outcome, reason);
  const { summary, findings } = said;
  return failure('rejected', `rejected by the ${TESTER}: ${summary}`, {
    feedback: reviewFeedback([{ role: TESTER, verdict: 'reject', summary, findings }]),
    from: 'review',
    ...(tree === null ? {} : { tree }),
  });
}

/** So much is told of each: the output comes after it. */
const SAID_CHARS = 1500;

/** Something that was run has failed: what the tester says of it, for the next attempt. */
export function failedTests(ctx: Context, task: Task, { trial, tested }: Standing, failed: string): string {
  conclude(ctx, task, trial, 'failed', failed);
  const files = trial.kept.files ?? [];
  return [
    `The ${TESTER} says: ${tested.summary.trim().slice(0, SAID_CHARS)}`,
    files.length > 0 ? `Its tests are on your branch: ${files.slice(0, 20).join(', ')}.` : '',
    findingLines(tested.findings).join('\n').slice(0, SAID_CHARS),
  ]
    .filter(Boolean)
    .join('\n\n');
}

function conclude(
  ctx: Context,
  task: Task,
  { id, kept }: Trial,
  outcome: 'passed' | 'failed' | 'refused',
  reason: string,
): void {
  if (kept.outcome === outcome && kept.reason === reason) return;
  keep(ctx, task.id, id, { outcome, reason });
  ctx.events.emit('test_finished', { task: task.id, attempt: runOf(task), outcome, reason });
}
