// The step of a workflow as its agent gets it: the variables filled in, where their files are, what it shall put out.
import type { Task } from '../queue/port.ts';
import { itemId, type PlannedStep, Runs, stepOf } from '../workflow/plan.ts';
import { type Told, valuesFor } from '../workflow/values.ts';
import { substitute, textOf, unescaped } from '../workflow/variables.ts';
import type { Context } from './context.ts';
import type { Ending } from './ending.ts';
import { readVerdict } from './record.ts';

type Queues = Pick<Context, 'workspace' | 'settings' | 'queue'>;

export interface Filled {
  /** What the agent is told to do. */
  told: string;
  /** The same for the shell: it reads the values from files, so that none of them is ever taken for a command. */
  body: string;
  env: Record<string, string>;
  /** Fills variables into any text. */
  fill: (text: string) => string;
}

/** The text of a task with its variables filled in; a task that is no step stays as it is. */
export async function fillStep(ctx: Queues, task: Task): Promise<Filled | { ending: Ending }> {
  const known = stepOf(ctx.workspace, task.id);
  if (!known) return { told: task.body, body: task.body, env: {}, fill: (text) => text };
  const runs = new Runs(ctx.workspace, ctx.settings.durability);
  const plan = runs.plan(known.run);
  const step = plan?.steps[known.step];
  if (!plan || !step) return hold(`the record of the run ${known.run} is gone: file the workflow anew`);
  const item = known.item === undefined ? undefined : runs.items(plan.run, known.step)?.items[known.item];
  if (known.item !== undefined && item === undefined)
    return hold('it is not in the list of its step any more: cancel it');
  const { values, missing } = await valuesFor(runs, plan, step, item, toldIn(ctx));
  if (step.each && item === undefined) return hold('it is done for each item, and waits for them: see "towpath retry"');
  if (missing.length > 0)
    return hold(`nobody put out ${missing.map((name) => `\${${name}}`).join(', ')}: retry the step that does`);
  const dir = runs.putInputs(plan.run, task.id, values);
  const read = [...values.keys()].map((name) => `${name}=$(cat "$TOWPATH_INPUTS/${name}")`);
  const before = read.length > 0 ? `\`\`\`sh\n${read.join('\n')}\n\`\`\`\n\n` : '';
  return {
    told: `${substitute(task.body, values).trimEnd()}${asked(step)}\n`,
    body: before + unescaped(task.body),
    env: { TOWPATH_INPUTS: dir },
    fill: (text) => substitute(text, values),
  };
}

const hold = (reason: string): { ending: Ending } => ({ ending: { kind: 'hold', reason, waits_for: 'operator' } });

/** What is said of the outputs. */
function asked({ outputs }: PlannedStep): string {
  if (outputs.length === 0) return '';
  const blocks = outputs.map((name) => `\`\`\`\`${name}\n…\n\`\`\`\``).join('\n\n');
  const alone = outputs.length === 1 ? ' If there is no such block, all of your final answer is taken for it.' : '';
  return `\n\n## What you put out\n\nOther steps go on with what you say. End your final answer with ${outputs.length === 1 ? 'a block' : 'blocks'} fenced like this:${alone}\n\n${blocks}`;
}

/** What tasks answered in the last of their runs. */
export function toldIn({ workspace, queue }: Pick<Context, 'workspace' | 'queue'>): Told {
  return async (id) => {
    const task = await queue.get(id);
    if (!task || task.state.skipped) return null;
    const { runs, result } = task.state;
    const verdict = runs === undefined ? null : (readVerdict(workspace.run(id, runs))?.verdict ?? null);
    if (!verdict) return result === undefined ? null : { output: textOf(result), outputs: {} };
    // A result that is no text is an answer that fits its schema.
    const output = result === undefined || typeof result === 'string' ? verdict.output : textOf(result);
    return { output, outputs: verdict.outputs };
  };
}

/** The tasks whose branches a task builds on: those of its dependencies, or who stands for them where a step has none of its own. */
export async function buildsOn(ctx: Queues, task: Task): Promise<string[]> {
  const known = stepOf(ctx.workspace, task.id);
  const runs = new Runs(ctx.workspace, ctx.settings.durability);
  const plan = known && runs.plan(known.run);
  if (!plan) return task.spec.depends_on;
  const found = new Set<string>();
  const seen = new Set<number>();
  const visit = async (at: number): Promise<void> => {
    if (seen.has(at)) return;
    seen.add(at);
    const step = plan.steps[at]!;
    const skipped = (await ctx.queue.get(step.id))?.state.skipped;
    const items = step.each ? (runs.items(plan.run, at)?.items ?? []) : null;
    if (skipped || items?.length === 0) for (const need of step.needs) await visit(need);
    else for (const id of items ? items.map((_, n) => itemId(step, n + 1)) : [step.id]) found.add(id);
  };
  const own = plan.steps[known.step]!.needs;
  for (const at of own) await visit(at);
  const steps = new Set(plan.steps.map(({ id }) => id));
  for (const id of task.spec.depends_on) if (!steps.has(id)) found.add(id);
  return [...found];
}
