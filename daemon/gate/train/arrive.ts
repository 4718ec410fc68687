// How a ride ends for a task: merged and done, back to work with what was in the way, or held for a person.
import { cleanUp } from '../../attempt/clean.ts';
import type { Context } from '../../attempt/context.ts';
import { failure } from '../../attempt/ending.ts';
import { readWork, writeWork } from '../../attempt/work.ts';
import { messageOf, TowpathError } from '../../errors.ts';
import type { Task } from '../../queue/port.ts';
import { dropMerged } from '../../worktree/land.ts';
import { GitProblem, nameFiles } from '../../worktree/problem.ts';
import { salvageRef } from '../../worktree/refs.ts';
import { touching } from '../../worktree/train.ts';
import { finishTask } from '../accept.ts';
import { checkFeedback, commandText, type Evidence } from '../checks.ts';
import { turnBack } from '../gate.ts';
import type { Line, Rider } from './riders.ts';

/** Its work is in the base as `merged`: worktree and branch go, and it is done. Every step may be done again. */
export async function arrived(ctx: Context, task: Task, merged: string): Promise<Task> {
  const { id } = task;
  const work = readWork(ctx.workspace, id)!;
  const { repo, branch, handed } = work;
  writeWork(ctx, id, { ...work, merged });
  const change = await cleanUp(ctx, id, task.state.runs ?? 1);
  const keep = salvageRef(id, 'merged');
  // A worktree that had to stay has the branch checked out.
  const gone = await dropMerged(repo, { branch: branch!, commit: handed!.commit, merged, keep });
  return finishTask(ctx, task, { ...change, commit: merged, ...(gone ? { branch: undefined } : {}) });
}

const AGAIN = (onto: string) =>
  `${onto} is merged into your branch before the next attempt: where the two contradict each other, git's conflict markers are ` +
  'in the files. Resolve them, so that the result does what the task asks for and what came in from there still works.';

/** Back to work: it no longer fits onto the base as it is now. */
export async function conflicted(
  ctx: Context,
  { task, plan, commit }: Rider,
  line: Line,
  tip: string,
  files: string[],
): Promise<Task> {
  const theirs = await touching(line.repo, commit, tip, files);
  const since =
    theirs.length > 0 ? `\n\nWhat changed there meanwhile:\n\n${theirs.map((one) => `- ${one}`).join('\n')}` : '';
  return back(
    ctx,
    { task, plan },
    {
      outcome: 'conflict',
      reason: `it conflicts with ${line.onto} in ${nameFiles(files)}`,
      feedback: `The branch could not be merged into ${line.onto}. These files conflict: ${files.join(', ')}.${since}\n\n${AGAIN(line.onto)}`,
      base: tip,
    },
  );
}

/** Back to work: with the base as it is now, and those who were merged before it, a check fails. */
export function broke(
  ctx: Context,
  { task, plan }: Rider,
  line: Line,
  base: string,
  evidence: Evidence[],
): Promise<Task> {
  const failed = evidence
    .filter(({ ok }) => !ok)
    .map(({ code, ...of }) => `${commandText(of)} ${code === null ? 'did not end' : `exited with ${code}`}`);
  return back(
    ctx,
    { task, plan },
    {
      outcome: 'check_failed',
      reason: `merged with ${line.onto}: ${failed.join('; ')}`,
      feedback: `On top of ${line.onto} as it is now the checks no longer pass.\n\n${checkFeedback(evidence)}\n\n${AGAIN(line.onto)}`,
      base,
    },
  );
}

function back(
  ctx: Context,
  { task, plan }: Pick<Rider, 'task' | 'plan'>,
  {
    outcome,
    reason,
    feedback,
    base,
  }: { outcome: 'conflict' | 'check_failed'; reason: string; feedback: string; base: string },
): Promise<Task> {
  const work = readWork(ctx.workspace, task.id);
  if (work) writeWork(ctx, task.id, { ...work, refit: true });
  return turnBack(ctx, task, plan, failure(outcome, reason, { feedback, from: 'merge', base }));
}

/** A person has to put something right; `towpath accept` sends it on its way again. */
export function held(ctx: Context, task: Task, thrown: unknown): Promise<Task> {
  const again = `"towpath accept ${task.id}"`;
  const gone = thrown instanceof GitProblem && thrown.kind === 'base_missing';
  // With another base it is another work: accepted is what was checked on this one.
  const next = gone
    ? `: make it again, then ${again}, or name another one as base: in its file, then "towpath retry ${task.id}"`
    : `; then ${again}`;
  const why = gone ? thrown.message : thrown instanceof TowpathError ? thrown.line : messageOf(thrown);
  return turnBack(ctx, task, null, {
    ...{ kind: 'hold', waits_for: 'merge' },
    reason: `could not be merged: ${why}${next}`,
  } as const);
}
