// The graph of a workflow in the terminal: a row for each step, level by level, with the states of its tasks for a run.
import type { QueuePort } from '../../queue/port.ts';
import type { Outcome, Queue } from '../../task/terms.ts';
import { levelsOf, orderOf } from '../../workflow/graph.ts';
import { itemId, type Plan, type Runs } from '../../workflow/plan.ts';
import { clean, type Paint, paintOf, queueTone, type Screen } from './style.ts';
import { table } from './table.ts';

export interface DrawnTask {
  id: string;
  /** null: its file is gone. */
  queue: Queue | null;
  outcome: Outcome | null;
  skipped: boolean;
  reason: string | null;
}

export interface DrawnStep {
  step: string;
  role: string;
  level: number;
  /** Names of the steps that it waits for. */
  after: string[];
  inputs: string[];
  outputs: string[];
  if: string | null;
  for_each: string | null;
  task: DrawnTask | null;
  items: DrawnTask[];
}

export interface Drawn {
  run: string | null;
  title: string;
  /** null where no run is shown. */
  state: RunState | null;
  steps: DrawnStep[];
}

export type RunState = 'running' | 'waiting' | 'done' | 'failed' | 'held';

/** A workflow that is only looked at, in the order in which it runs. */
export function drawnOf(plan: Plan): Drawn {
  const levels = levelsOf(plan.steps);
  const steps = orderOf(plan.steps).map((at): DrawnStep => {
    const step = plan.steps[at]!;
    const { when, each } = step;
    return {
      step: step.name,
      role: step.role,
      level: levels[at]!,
      after: step.needs.map((need) => plan.steps[need]!.name),
      inputs: [...step.inputs, ...(each ? [each.list] : [])].map(({ name }) => name),
      outputs: step.outputs,
      if: when ? `${plan.steps[when.step]!.name} ${when.outcomes.join(' or ')}` : null,
      for_each: each ? `\${${each.list.name}} as \${${each.item}}${each.in_turn ? ', in turn' : ''}` : null,
      task: null,
      items: [],
    };
  });
  return { run: null, title: plan.title, state: null, steps };
}

/** A run, as its tasks lie in the queues. */
export async function gatherRun(plan: Plan, runs: Runs, queue: QueuePort): Promise<Drawn> {
  const look = async (id: string): Promise<DrawnTask> => {
    const task = await queue.get(id);
    const { outcome = null, skipped = false, reason = null } = task?.state ?? {};
    return { id, queue: task?.queue ?? null, outcome: task?.refusal ? 'refused' : outcome, skipped, reason };
  };
  const drawn = drawnOf(plan);
  for (const [n, at] of orderOf(plan.steps).entries()) {
    const step = plan.steps[at]!;
    const items = step.each ? (runs.items(plan.run, at)?.items ?? []) : [];
    drawn.steps[n]!.task = await look(step.id);
    drawn.steps[n]!.items = await Promise.all(items.map((_, item) => look(itemId(step, item + 1))));
  }
  return { ...drawn, run: plan.run, state: stateOf(drawn.steps) };
}

function stateOf(steps: readonly DrawnStep[]): RunState {
  const tasks = steps.flatMap(({ task, items }) => (task ? [task, ...items] : items));
  const some = (...queues: (Queue | null)[]) => tasks.some(({ queue }) => queues.includes(queue));
  if (some('claimed', 'provisional')) return 'running';
  if (some('incoming')) return 'waiting';
  if (some('failed')) return 'failed';
  return some('blocked') ? 'held' : some(null) ? 'failed' : 'done';
}

const MARKS: Record<Queue, string> = {
  ...{ incoming: '○', claimed: '●', provisional: '◐', done: '✓', blocked: '◌', failed: '✗' },
};

export function renderGraph({ run, title, state, steps }: Drawn, screen: Screen): string {
  const paint = paintOf(screen);
  const rows = steps.flatMap((step, at): Row[] => {
    const own = { step, task: step.task, edge: edgeOf(steps, at), name: clean(step.step) };
    const items = step.items.map((task, n): Row => ({ step: null, task, edge: '│ ', name: `  item ${n + 1}` }));
    return [own, ...items];
  });
  const head = [paint.bold(clean(title)), ...(run ? [paint.dim(run)] : []), ...(state ? [state] : [])].join('  ');
  const lines = table(
    rows,
    [
      {
        head: '',
        cell: ({ edge, task, name }) => `${edge}${task?.queue ? `${MARKS[task.queue]} ` : ''}${name}`,
        min: 20,
      },
      {
        head: '',
        cell: ({ task }) => (task ? stateText(task) : ''),
        paint: (text, { task }) => (task?.queue ? paint.tone(queueTone(task.queue), text) : text),
      },
      { head: '', cell: ({ step }) => step?.role ?? '', drop: 2, paint: paint.dim },
      { head: '', cell: ({ step }) => (step ? linksOf(step) : ''), drop: 1, paint: paint.dim },
    ],
    screen,
    { indent: 2, head: false },
  );
  return [head, ...lines, ...reasons(rows, paint)].join('\n');
}

interface Row {
  step: DrawnStep | null;
  task: DrawnTask | null;
  edge: string;
  name: string;
}

/** Steps side by side stand in one bracket. */
function edgeOf(steps: readonly DrawnStep[], at: number): string {
  const level = (n: number) => steps[n]?.level;
  const [above, below] = [level(at - 1) === level(at), level(at + 1) === level(at)];
  if (above || below) return !above ? '┌ ' : below ? '├ ' : '└ ';
  return '│ ';
}

const stateText = ({ queue, skipped, outcome }: DrawnTask): string =>
  queue === null ? 'gone' : skipped ? 'skipped' : queue === 'failed' && outcome ? `failed: ${outcome}` : queue;

function linksOf(step: DrawnStep): string {
  const parts = [
    step.after.length > 0 ? `← ${step.after.map(clean).join(', ')}` : '',
    step.if ? `if ${clean(step.if)}` : '',
    step.for_each ? `for each ${step.for_each}` : '',
    step.outputs.length > 0 ? `→ ${step.outputs.map((name) => `\${${name}}`).join(', ')}` : '',
  ];
  return parts.filter(Boolean).join('  ');
}

function reasons(rows: readonly Row[], paint: Paint): string[] {
  const told = rows.flatMap(({ task, name }) =>
    task?.reason && task.queue !== 'incoming' ? [`  ${paint.dim(`${name.trim()}:`)} ${clean(task.reason)}`] : [],
  );
  return told.length > 0 ? ['', ...told] : [];
}

export function renderRuns(
  workflows: readonly string[],
  runs: readonly { run: string; title: string; state: string | null; steps: number }[],
  screen: Screen,
): string {
  const paint = paintOf(screen);
  const lines = table(
    runs,
    [
      { head: 'run', cell: ({ run }) => run, paint: paint.bold },
      { head: 'state', cell: ({ state }) => state ?? '' },
      { head: 'steps', cell: ({ steps }) => String(steps), align: 'right' },
      { head: 'workflow', cell: ({ title }) => clean(title), drop: 1 },
    ],
    screen,
  );
  return [`workflows: ${workflows.join(', ') || 'none'}`, ...(runs.length > 0 ? ['', ...lines] : [])].join('\n');
}
