// Steps of workflows among the tasks that wait: whether they may begin, are skipped, or become a task for each item of a list.
import { beginAnew } from '../attempt/anew.ts';
import type { Context } from '../attempt/context.ts';
import { toldIn } from '../attempt/step.ts';
import { now } from '../clock.ts';
import { type Readiness, readiness } from '../queue/dependencies.ts';
import type { Choice } from '../queue/port.ts';
import type { Queue, StateChange } from '../task/terms.ts';
import { before, fileItems } from '../workflow/compile.ts';
import { decide, type Standing } from '../workflow/decide.ts';
import { itemId, type Plan, Runs, stepOf } from '../workflow/plan.ts';
import { valueIn } from '../workflow/values.ts';
import { itemsOf } from '../workflow/variables.ts';
import { judgeJoin } from './joins.ts';

const CAN_RUN = ['incoming', 'claimed', 'provisional'] as const;

type Wants = Pick<Choice['spec'], 'depends_on' | 'on_dependency_failure'>;

/** `over`: it is done without having run. `on`: whom it waits for, where that is more than its file says. */
export type Judged = (Readiness | { kind: 'over'; to: 'done' | 'failed'; state: StateChange }) & { on?: string[] };

/** Judges a task by its dependencies; a step of a workflow also by its condition and its list. */
export async function judge(
  ctx: Context,
  id: string,
  wants: Wants,
  queueOf: (id: string) => Queue | null,
): Promise<Judged> {
  const joined = judgeJoin(ctx.workspace, id, queueOf);
  const known = stepOf(ctx.workspace, id);
  const runs = new Runs(ctx.workspace, ctx.settings.durability);
  const plan = known && runs.plan(known.run);
  const step = plan?.steps[known!.step];
  if (!plan || !step) return joined ?? readiness(wants, queueOf);
  const standings = new Map<number, Standing>();
  for (const at of step.needs) standings.set(at, await standingOf(ctx, runs.tasksOf(plan, at), queueOf));
  const decision = decide(plan.steps, step, (at) => standings.get(at)!);
  if (decision.kind === 'skip') return over('done', { skipped: true, reason: decision.reason });
  const on = [...decision.on.map((at) => plan.steps[at]!.id), ...before(step, known!.item ?? 0)];
  const ready = readiness({ depends_on: on, on_dependency_failure: 'hold' }, queueOf);
  if (ready.kind !== 'ready') return { ...ready, on: [...on, ...step.needs.flatMap((at) => runs.tasksOf(plan, at))] };
  // One that was divided may run again from an earlier step: what that puts out is waited for before its subtasks are.
  if (joined) return joined;
  if (!step.each || known!.item !== undefined) return ready;
  return judgeItems(ctx, runs, plan, known!.step, queueOf);
}

/** By the task of a step, and those of its items. */
async function standingOf(
  ctx: Context,
  [id, ...items]: string[],
  queueOf: (id: string) => Queue | null,
): Promise<Standing> {
  const queue = queueOf(id!);
  if (queue === 'failed') return 'failed';
  if (queue === 'done') return (await ctx.queue.get(id!))?.state.skipped ? 'skipped' : 'ok';
  // Its own task waits for those of its items: it has failed once one of them has and no other can run.
  const theirs = new Set(items.map(queueOf));
  return theirs.has('failed') && !CAN_RUN.some((one) => theirs.has(one)) ? 'failed' : 'open';
}

/** Its list is known: it becomes a task for each item, and is done when all of them are. */
async function judgeItems(
  ctx: Context,
  runs: Runs,
  plan: Plan,
  at: number,
  queueOf: (id: string) => Queue | null,
): Promise<Judged> {
  const step = plan.steps[at]!;
  let known = runs.items(plan.run, at);
  if (!known) {
    const found = itemsOf((await valueIn(runs, plan, step.each!.list, toldIn(ctx))) ?? '');
    if ('problem' in found)
      return over('failed', { outcome: 'failed', reason: `For each: \${${step.each!.list.name}}: ${found.problem}` });
    known = { items: found.items, filed: false };
    // Whatever the list says later: these are the items, also after a crash.
    runs.keepItems(plan.run, at, known);
  }
  if (!known.filed) {
    const { workspace, queue, settings } = ctx;
    // Where an earlier list was forgotten its tasks are there, put by. In turn, none begins before the one that it waits for.
    for (const n of known.items.keys()) {
      const task = await queue.get(itemId(step, n + 1));
      if (task?.state.skipped) await beginAnew(ctx, task);
    }
    const filed = await fileItems({ workspace, queue, durability: settings.durability }, plan, at, known.items);
    for (const id of filed) queue.intake.handedOver(`${id}.md`);
  }
  const items = known.items.map((_, n) => itemId(step, n + 1));
  const ready = readiness({ depends_on: items, on_dependency_failure: 'hold' }, queueOf);
  if (ready.kind === 'ready') return over('done', { outcome: 'ok', reason: undefined });
  return { ...ready, on: [...step.needs.map((need) => plan.steps[need]!.id), ...items] };
}

const over = (to: 'done' | 'failed', state: StateChange): Judged => ({
  kind: 'over',
  to,
  state: { waits_for: undefined, finished_at: now(), ...state },
});
