// A step of a workflow again, with all that waits for it: written down before the first task is cancelled, so that a kill leaves nothing half.
import { beginAnew } from './attempt/anew.ts';
import { TowpathError } from './errors.ts';
import { cancel, type Operator, retry } from './operate.ts';
import type { Task } from './queue/port.ts';
import { openParts } from './waiting/joins.ts';
import { afterStep } from './workflow/graph.ts';
import { type Again, type Plan, type Rerun, Runs } from './workflow/plan.ts';

const AT_WORK = ['incoming', 'claimed', 'provisional'];

/**
 * Runs a step again by its name, number or task. What failed in it goes on; a step that is done begins anew, and so does all that
 * comes after it: of that, what is at work is cancelled first. Returns the ids of the tasks. Throws `not_found`, `wrong_state`.
 */
export async function retryFrom(op: Operator, run: string, name: string): Promise<string[]> {
  const runs = runsOf(op);
  const plan = planOf(runs, run);
  const first = stepNamed(plan, name.toLowerCase());
  if (first < 0)
    throw new TowpathError('not_found', `no step "${name}" in ${run}`, `see "towpath workflow show ${run}"`);
  const cutOff = runs.rerun(run);
  const finished = cutOff ? await carryOut(op, runs, plan, cutOff) : [];
  if (cutOff?.step === first) return finished;
  const begun = { step: first, tasks: await ownTasks(op, runs, plan, first), clears: true };
  runs.keepRerun(run, begun);
  return carryOut(op, runs, plan, begun);
}

/** Goes on with what a kill has cut off. Nothing may be claimed meanwhile. */
export async function finishReruns(op: Operator): Promise<void> {
  const runs = runsOf(op);
  for (const run of runs.cutOff()) {
    const plan = runs.plan(run);
    const rerun = runs.rerun(run);
    if (plan && rerun) await carryOut(op, runs, plan, rerun);
  }
}

const runsOf = ({ workspace, settings }: Operator): Runs => new Runs(workspace, settings.durability);

/** Throws `not_found`. */
export function planOf(runs: Runs, run: string): Plan {
  const plan = runs.plan(run);
  if (!plan) throw new TowpathError('not_found', `no run "${run}"`, 'see "towpath workflow list"');
  return plan;
}

/** By its name, else its task, else its number; -1 when there is none. */
function stepNamed({ steps }: Plan, wanted: string): number {
  const named = steps.findIndex((step) => [step.name.toLowerCase(), step.id].includes(wanted));
  return named >= 0 ? named : steps.findIndex((_, at) => `${at + 1}` === wanted);
}

async function found(op: Operator, ids: readonly string[]): Promise<Task[]> {
  return (await Promise.all(ids.map((id) => op.queue.get(id)))).filter((task) => task !== null);
}

/** Of some steps the last task that is at work or may begin, or whose subtasks may: none of the others begins because it is cancelled. */
async function lastAtWork(op: Operator, runs: Runs, plan: Plan, steps: readonly number[]): Promise<string | null> {
  for (const at of steps.toReversed()) {
    const busy = (await found(op, runs.tasksOf(plan, at))).findLast(
      ({ id, queue }) => AT_WORK.includes(queue) || (queue === 'blocked' && openParts(op.workspace, id).length > 0),
    );
    if (busy) return busy.id;
  }
  return null;
}

/** What runs again of the step itself: what failed in it, was skipped or is held; else all of it, where it is done. */
async function ownTasks(op: Operator, runs: Runs, plan: Plan, at: number): Promise<Again[]> {
  const [own, ...items] = runs.tasksOf(plan, at);
  const failed = (await found(op, [...items, own!])).filter(
    ({ queue, state }) =>
      queue === 'failed' || state.skipped || (queue === 'blocked' && state.waits_for !== 'dependencies'),
  );
  if (failed.length > 0) return failed.map(({ id }) => ({ id, how: 'on' }));
  const queue = (await op.queue.get(own!))?.queue;
  if (queue === 'done') return againOf(op, runs, plan, at);
  throw new TowpathError(
    'wrong_state',
    `"${plan.steps[at]!.name}" is ${queue === 'blocked' ? 'still to run' : queue ? `in ${queue}/` : 'gone'}`,
    `wait for it, or cancel it first: see "towpath workflow show ${plan.run}"`,
  );
}

/** All of a step that ever ran or was skipped. A list that a step makes is made anew. */
async function againOf(op: Operator, runs: Runs, plan: Plan, at: number): Promise<Again[]> {
  const { each } = plan.steps[at]!;
  const made = each !== null && each.list.from !== null;
  const [own, ...items] = runs.tasksOf(plan, at);
  const listed = made && runs.items(plan.run, at) !== null;
  const again = (await found(op, [...items, own!])).filter(
    ({ queue, state }) =>
      listed || queue !== 'blocked' || state.waits_for !== 'dependencies' || state.runs !== undefined,
  );
  return again.map(({ id }): Again => {
    if (!made) return { id, how: 'anew' };
    return id === own ? { id, how: 'anew', list: at } : { id, how: 'drop' };
  });
}

/** Nothing of what comes after the step is at work any more, and all of it that runs again is written down. */
async function clear(op: Operator, runs: Runs, plan: Plan, { step, tasks }: Rerun): Promise<Rerun> {
  const after = afterStep(plan.steps, step);
  // Each time it is looked anew: while one is ended another may have begun.
  for (let id = await lastAtWork(op, runs, plan, after); id; id = await lastAtWork(op, runs, plan, after))
    await cancel(op, id);
  const all = [...tasks];
  for (const at of after) all.push(...(await againOf(op, runs, plan, at)));
  // From here to the end nothing else has its turn in this process: nobody claims what is moved before all of it is.
  const rerun = { step, tasks: all };
  runs.keepRerun(plan.run, rerun);
  return rerun;
}

/** Each part may be done again: what is in incoming was moved already. Where one cannot be moved, those before it are not moved once more. */
async function carryOut(op: Operator, runs: Runs, plan: Plan, rerun: Rerun): Promise<string[]> {
  const { step, tasks } = rerun.clears ? await clear(op, runs, plan, rerun) : rerun;
  const again: string[] = [];
  for (const [n, one] of tasks.entries()) {
    try {
      await move(op, runs, plan, one);
    } catch (thrown) {
      runs.keepRerun(plan.run, { step, tasks: tasks.slice(n) });
      throw thrown;
    }
    if (one.how !== 'drop') again.push(one.id);
  }
  runs.endRerun(plan.run);
  return again;
}

async function move(op: Operator, runs: Runs, plan: Plan, { id, how, list }: Again): Promise<void> {
  const task = await op.queue.get(id);
  if (!task || AT_WORK.includes(task.queue)) return;
  if (list !== undefined) runs.dropItems(plan.run, list);
  if (how === 'on') await retry(op, id);
  else await beginAnew(op, task, ...(how === 'drop' ? ['its list is made anew'] : []));
}
