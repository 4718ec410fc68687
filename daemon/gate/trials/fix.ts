// A failed check is answered by an agent's patch: judged, put on top of the work, checked, and taken back exactly when it does not help.
import type { Context } from '../../attempt/context.ts';
import type { Plan } from '../../attempt/plan.ts';
import { protectedFiles } from '../../attempt/protect.ts';
import type { Work } from '../../attempt/work.ts';
import type { Task } from '../../queue/port.ts';
import { FIXER, type Fix, fixProblem, judgeFix, patchHash } from '../../task/fix.ts';
import { patchCommit } from '../../worktree/patch.ts';
import { changeOf } from '../change.ts';
import { type Brought, type Evidence, NOT_FOUND, type ToRun } from '../checks.ts';
import { commitOf, endOf, fileHelper, runOf, type Waiting, waitFor } from '../helpers/helper.ts';
import { allKept, keep } from '../helpers/kept.ts';
import { groundOf } from './ground.ts';
import { fixText } from './text.ts';
import { allowedTo, filedTrial, signed, stay, type Trial } from './trial.ts';

/** Of what a command printed, characters. */
const TOLD = 200;

type Outcome = 'helped' | 'rolled_back' | 'refused';

/** Runs what is to pass with the patch, where it lies. */
export interface Proof {
  all: readonly ToRun[];
  run: (what: readonly ToRun[], tree: string) => Promise<Evidence[]>;
  /** The same, and nobody is told: it is no check. */
  look: (what: readonly ToRun[], tree: string) => Promise<Evidence[]>;
}

/** The fix of what a task has now. */
export async function filedFix(ctx: Context, task: Task): Promise<Trial | null> {
  const fix = await filedTrial(ctx, task, 'fix');
  if (fix?.took && !fix.kept.outcome) conclude(ctx, task, fix, 'helped', '');
  return fix;
}

export async function fileFix(
  ctx: Context,
  task: Task,
  work: Work,
  plan: Plan,
  checks: readonly Evidence[],
): Promise<Waiting> {
  const attempt = runOf(task);
  const change = await changeOf(task, work);
  const with_test = plan.fix === 'patch_with_test';
  const body = fixText({ id: task.id, title: task.title, body: task.body, checks, change, with_test });
  const what = { kind: 'fix', role: FIXER, attempt, commit: commitOf(task, work), with_test } as const;
  const id = await fileHelper(ctx, task, { ...what, ending: `.fix-${attempt}`, title: `Fix for ${task.id}`, body });
  return waitFor({ ...what, id });
}

/** Tries what a fix came to: the evidence with the patch, or nothing that helped; null while it is not over. The worktree lies at the work without it. */
export async function tryFix(
  ctx: Context,
  task: Task,
  { work, plan }: { work: Work; plan: Plan },
  trial: Trial,
  proof: Proof,
  signal: AbortSignal,
): Promise<{ evidence: Evidence[] } | { refused: string } | null> {
  const { id, kept, with_test = false } = trial;
  if (kept.outcome) return { refused: kept.reason ?? '' };
  const helper = await ctx.queue.get(id);
  const end = endOf(ctx, id, helper, (text, structured) => judgeFix(text, structured, with_test));
  if (end === null) return null;
  const refuse = (reason: string) => conclude(ctx, task, trial, 'refused', reason);
  if ('problem' in end) return refuse(end.problem);
  const fix = end.value as Fix;
  const { wrap, full } = allowedTo(ctx, id, helper);
  const problem = fixProblem(fix, with_test, full) ?? twice(ctx, task, id, fix);
  if (problem) return refuse(problem);
  const made = await commitsOf(task, work, trial, fix);
  if ('problem' in made) return refuse(made.problem);
  const touched = protectedFiles(made.files, plan.protect);
  if (touched.length > 0) return refuse(`it changes protected files: ${touched.slice(0, 5).join(', ')}`);
  const ground = await groundOf(ctx, task, work, trial);
  keep(ctx, task.id, id, { tries: [...(made.test === null ? [] : [made.test]), made.commit] });
  const brought: Brought[] = with_test ? [{ argv: fix.command!, by: FIXER, wrap }] : [];
  if (made.test !== null) {
    const put = await ground.put(made.test);
    if ('problem' in put) return refuse(put.problem);
    const [alone] = await proof.look(brought, put.tree);
    const vain = alone?.ok
      ? 'the regression test passes without the patch'
      : alone?.code === null
        ? `the regression test did not end by itself: ${alone.output.trim().slice(-TOLD)}`
        : alone?.code === NOT_FOUND
          ? `the regression test cannot be started: ${alone.output.trim().slice(-TOLD)}`
          : null;
    if (vain && !signal.aborted) {
      await ground.back();
      return refuse(vain);
    }
  }
  const put = await ground.put(made.commit);
  if ('problem' in put) {
    await ground.back();
    return refuse(put.problem);
  }
  const evidence = await proof.run([...proof.all, ...brought], put.tree);
  if (!signal.aborted && evidence.every(({ ok }) => ok)) {
    await stay(ctx, task, trial, { put: put.commit, files: made.files, brought });
    conclude(ctx, task, trial, 'helped', '');
    return { evidence };
  }
  await ground.back();
  // Called off in the middle, it was not tried.
  if (signal.aborted) return { refused: 'called off' };
  const failed = evidence.filter(({ ok }) => !ok).map(({ command }) => command);
  return conclude(ctx, task, trial, 'rolled_back', `still failing: ${failed.join(', ')}`);
}

/** The work with the test, where one is asked for, and on top of that the patch. */
async function commitsOf(
  task: Task,
  { worktree }: Work,
  trial: Trial,
  { patch, test }: Fix,
): Promise<{ commit: string; test: string | null; files: string[] } | { problem: string }> {
  const sign = (what: string) => signed(task, trial, what, 'Towpath-Fix');
  const tested = trial.with_test
    ? await patchCommit(worktree, trial.commit!, test!, sign('Test for failed checks'))
    : { commit: trial.commit!, files: [] };
  if ('problem' in tested) return { problem: `its test: ${tested.problem}` };
  const patched = await patchCommit(worktree, tested.commit, patch, sign('Mend failed checks'));
  if ('problem' in patched) return patched;
  const files = [...new Set([...tested.files, ...patched.files])];
  return { commit: patched.commit, test: trial.with_test ? tested.commit : null, files };
}

/** Whether the same was tried before; from now on it was. */
function twice(ctx: Context, task: Task, id: string, { patch, test = '' }: Fix): string | null {
  const hash = patchHash(`${patch}\n${test}`);
  const before = Object.entries(allKept(ctx, task.id)).find(([other, one]) => other !== id && one.hash === hash);
  if (before) return `the same patch was tried before (${before[0]})`;
  keep(ctx, task.id, id, { hash });
  return null;
}

function conclude(ctx: Context, task: Task, { id }: Trial, outcome: Outcome, reason: string): { refused: string } {
  keep(ctx, task.id, id, { outcome, reason });
  ctx.events.emit('fix_finished', { task: task.id, attempt: runOf(task), outcome, reason });
  return { refused: reason };
}
