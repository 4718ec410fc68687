// Makes a run out of a workflow: the plan, then a task for each step, those that wait for others first.
import { randomBytes } from 'node:crypto';
import { now } from '../clock.ts';
import { TowpathError } from '../errors.ts';
import type { Workspace } from '../paths.ts';
import { isAlive, self } from '../process/identity.ts';
import { keepOrigin, type Origin } from '../queue/files/subtasks.ts';
import { taskText } from '../queue/polled.ts';
import type { QueuePort } from '../queue/port.ts';
import { parseTask } from '../task/file.ts';
import { DEFAULT_ROLE } from '../task/terms.ts';
import { type Bound, bind } from './check.ts';
import { orderOf } from './graph.ts';
import { parseWorkflow, type Workflow } from './parse.ts';
import { itemId, type Plan, type PlannedStep, Runs } from './plan.ts';
import { type Problem, ValidationError } from './problem.ts';
import { itemsOf } from './variables.ts';

/** Who files tasks, and where. */
export interface Filing {
  workspace: Workspace;
  queue: QueuePort;
  durability: 'full' | 'fast';
}

/** What the workspace knows of. */
export interface Known {
  hasRole: (name: string) => boolean;
  /** Why a task file of this text could never run here, or null. */
  vet: (content: string, id: string) => string | null;
}

/** A workflow that nothing is wrong with. */
export interface Compiled {
  plan: Plan;
  source: string;
  /** The items of steps whose lists are given. */
  items: Map<number, string[]>;
}

/** Checks a workflow, all of it. Throws `ValidationError`. `given` is null when it is only looked at. */
export function compile(
  file: string,
  source: string,
  given: ReadonlyMap<string, string> | null,
  known: Known,
): Compiled {
  const { workflow, problems } = parseWorkflow(source);
  const names = given && new Set(given.keys());
  const { steps, problems: more } = bind(workflow, { given: names, hasRole: known.hasRole });
  problems.push(...more);
  const plan = planOf(file, workflow, steps);
  const items = new Map<number, string[]>();
  for (const [at, { each }] of steps.entries()) {
    const text = each && each.list.from === null ? (given?.get(each.list.name) ?? each.list.default) : undefined;
    if (!each || text === undefined) continue;
    const found = itemsOf(text);
    const problem = 'problem' in found ? found.problem : found.items.length === 0 ? 'it is empty' : null;
    if (problem)
      problems.push({ ...workflow.steps[at]!.each!.list, reason: `For each: \${${each.list.name}}: ${problem}` });
    else if ('items' in found) items.set(at, found.items);
  }
  if (problems.length === 0) problems.push(...problemsOfTasks(plan, workflow, known));
  if (problems.length > 0) throw new ValidationError(file, problems);
  return { plan, source, items };
}

/** What is wrong with the keys of the task files. */
function problemsOfTasks(plan: Plan, workflow: Workflow, known: Known): Problem[] {
  const shared = new Set<string>();
  return plan.steps.flatMap((step, at) => {
    const { line, column, matter } = workflow.steps[at]!;
    const content = contentOf(plan, step, step.id, '', []);
    const found = parseTask(Buffer.from(content)).refusal ?? known.vet(content, step.id);
    if (!found) return [];
    const reason = found.replace(/ \(line \d+\)$/, '');
    const key = /^\w+/.exec(reason)?.[0] ?? '';
    if (!(key in workflow.matter) || key in matter) return [{ line, column, reason: `"${step.name}": ${reason}` }];
    // Said once for all steps, in the front matter.
    if (shared.has(reason)) return [];
    shared.add(reason);
    return [{ line: 1, column: 1, reason }];
  });
}

function planOf(file: string, workflow: Workflow, steps: readonly Bound[]): Plan {
  const name = file.replace(/^.*\//, '').replace(/(\.workflow)?\.md$/, '');
  const run = `${slugOf(name, 24) || 'workflow'}-${randomBytes(4).toString('hex')}`;
  return {
    ...{ version: 1, run, title: workflow.title || name, file, created_at: now(), by: self() },
    steps: steps.map(({ step, inputs, when, each, needs }, at) => ({
      id: `${run}.${at + 1}-${slugOf(step.name, 40) || 'step'}`,
      ...{ name: step.name, role: step.role?.text ?? DEFAULT_ROLE, inputs, when, each, needs },
      outputs: step.outputs.map(({ text }) => text),
      matter: { expect: 'any', ...workflow.matter, ...step.matter },
      body: `# ${step.name}\n\n${step.instruction}\n`,
    })),
  };
}

/** Letters, digits and dashes of a name; empty when it has none. */
export function slugOf(name: string, chars: number): string {
  const plain = name.normalize('NFKD').replace(/\p{M}/gu, '').toLowerCase();
  return plain
    .replace(/[^a-z0-9]+/g, '-')
    .slice(0, chars)
    .replace(/^-+|-+$/g, '');
}

function contentOf(plan: Plan, step: PlannedStep, id: string, which: string, depends: readonly string[]): string {
  const outputs = step.outputs.length > 0 ? { outputs: step.outputs } : {};
  const title = `${plan.title}: ${step.name}${which}`;
  const data = { id, title, role: step.role, ...(depends.length > 0 ? { depends_on: depends } : {}), ...outputs };
  return taskText({ ...data, ...step.matter }, step.body);
}

/** Writes a run down, then files its tasks; killed in between, the next start goes on with it. Returns the ids. */
export async function fileRun(
  filing: Filing,
  { plan, source, items }: Compiled,
  given: ReadonlyMap<string, string>,
): Promise<string[]> {
  new Runs(filing.workspace, filing.durability).create(plan, source, given, items);
  return fileTasks(filing, plan);
}

/** Files what is missing of runs that were cut off when their tasks were filed. Returns the ids. */
export async function finishFilings(filing: Filing): Promise<string[]> {
  const runs = new Runs(filing.workspace, filing.durability);
  const filed: string[] = [];
  runs.clear();
  for (const run of runs.unfiled()) {
    const plan = runs.plan(run);
    if (plan && !isAlive(plan.by)) filed.push(...(await fileTasks(filing, plan)));
  }
  return filed;
}

/** None can begin before all that wait for it are there: those that wait for others come first. */
async function fileTasks(filing: Filing, plan: Plan): Promise<string[]> {
  const runs = new Runs(filing.workspace, filing.durability);
  const filed: string[] = [];
  for (const at of orderOf(plan.steps).reverse()) {
    const step = plan.steps[at]!;
    const items = runs.items(plan.run, at);
    const own = items?.items.map((_, n) => itemId(step, n + 1)) ?? [];
    const content = contentOf(plan, step, step.id, '', [...idsOf(plan, step), ...own]);
    if (await fileTask(filing, step.id, content, { kind: 'step', run: plan.run, step: at })) filed.push(step.id);
    if (items) filed.push(...(await fileItems(filing, plan, at, items.items)));
  }
  runs.setFiled(plan.run);
  return filed;
}

const idsOf = (plan: Plan, { needs }: PlannedStep): string[] => needs.map((need) => plan.steps[need]!.id);

/** The item that another waits for. */
export const before = (step: PlannedStep, item: number): string[] =>
  step.each?.in_turn && item > 0 ? [itemId(step, item)] : [];

/** Files a task for each item of a step. Returns the ids of those that were not there. */
export async function fileItems(filing: Filing, plan: Plan, at: number, items: readonly string[]): Promise<string[]> {
  const step = plan.steps[at]!;
  const filed: string[] = [];
  // Done in turn, the last one waits for all others.
  for (const n of [...items.keys()].reverse()) {
    const id = itemId(step, n + 1);
    // How many there are is not said: the list may be made anew.
    const content = contentOf(plan, step, id, ` (item ${n + 1})`, [...idsOf(plan, step), ...before(step, n)]);
    const origin: Origin = { kind: 'step', run: plan.run, step: at, item: n };
    if (await fileTask(filing, id, content, origin)) filed.push(id);
  }
  new Runs(filing.workspace, filing.durability).keepItems(plan.run, at, { items: [...items], filed: true });
  return filed;
}

async function fileTask(
  { workspace, queue, durability }: Filing,
  id: string,
  content: string,
  origin: Origin,
): Promise<boolean> {
  if (await queue.get(id)) return false;
  // Who filed it is known before it is there, so that it cannot run as any other task.
  keepOrigin(workspace, durability, id, origin);
  try {
    await queue.submit({ content, name: `${id}.md` });
    return true;
  } catch (thrown) {
    if (thrown instanceof TowpathError && (await queue.get(id))) return false;
    throw thrown;
  }
}
