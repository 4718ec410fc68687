// towpath workflow: files a workflow as tasks, shows its graph, and cancels or retries a run by the tasks that it filed.
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { EXIT, TowpathError } from '../errors.ts';
import * as verbs from '../operate.ts';
import type { Workspace } from '../paths.ts';
import { planOf, retryFrom } from '../rerun.ts';
import { fileRun, finishFilings } from '../workflow/compile.ts';
import { orderOf } from '../workflow/graph.ts';
import { Runs } from '../workflow/plan.ts';
import { lineOf, ValidationError } from '../workflow/problem.ts';
import { NAME } from '../workflow/variables.ts';
import type { Common } from './common.ts';
import { askDaemon, carryOut, type Opened, open, operate } from './open.ts';
import { ENDING, readWorkflow, utf8 } from './read-workflow.ts';
import { screenOf } from './view/style.ts';
import { drawnOf, gatherRun, renderGraph, renderRuns } from './view/workflow.ts';

export interface WorkflowOptions extends Common {
  var?: string[];
  varFile?: string[];
}

const SHIPPED = fileURLToPath(new URL('../../workflows/', import.meta.url));

const ACTIONS = { run, show, cancel, retry, list };
const TAKES: Record<keyof typeof ACTIONS, number> = { run: 1, show: 1, cancel: 1, retry: 2, list: 0 };

export async function workflow(
  [action, names]: [keyof typeof ACTIONS, string[]],
  options: WorkflowOptions,
): Promise<number> {
  if (names.length !== TAKES[action])
    throw new TowpathError(
      'bad_usage',
      `"workflow ${action}" takes ${['nothing more', 'one name', 'a run and a step'][TAKES[action]]}`,
      'see "towpath help workflow"',
    );
  if (action !== 'run' && (options.var || options.varFile))
    throw new TowpathError('bad_usage', '--var and --var-file are for "workflow run"');
  const opened = open(options.workspace);
  if (!opened.daemon) await finishFilings(filing(opened));
  try {
    await ACTIONS[action](opened, names, options);
    return EXIT.ok;
  } catch (thrown) {
    if (!(thrown instanceof ValidationError)) throw thrown;
    const { name, code, file, problems, message } = thrown;
    if (options.json) {
      const { line, column, reason } = problems[0]!;
      console.error(JSON.stringify({ error: { code, name, message, file, line, column, reason, problems } }));
    } else for (const problem of problems) console.error(`towpath: ${lineOf(file, problem)}`);
    return thrown.exit;
  }
}

const filing = ({ workspace, queue, loaded }: Opened) => ({ workspace, queue, durability: loaded.settings.durability });
const runsOf = ({ workspace, loaded }: Opened): Runs => new Runs(workspace, loaded.settings.durability);

async function run(opened: Opened, [name]: string[], options: WorkflowOptions): Promise<void> {
  const given = variables(options);
  const compiled = readWorkflow(opened, fileOf(opened.workspace, name!) ?? missing(name!), given);
  const ids = await fileRun(filing(opened), compiled, given);
  for (const id of opened.daemon ? ids : [])
    await askDaemon(opened, { op: 'dropped', name: `${id}.md` }).catch(() => {});
  const { plan } = compiled;
  if (options.json)
    console.log(JSON.stringify({ run: plan.run, tasks: plan.steps.map((step) => ({ step: step.name, id: step.id })) }));
  else {
    console.log(plan.run);
    for (const step of plan.steps) console.log(`  ${step.id}`);
    if (!opened.daemon) console.error('no daemon runs: "towpath start" takes it up');
  }
}

function missing(name: string): never {
  throw new TowpathError('not_found', `no workflow "${name}"`, 'name a file, or one of "towpath workflow list"');
}

/** A path, else a name in workflows/ of the workspace, else one that ships. */
function fileOf(workspace: Workspace, name: string): string | null {
  const named = [join(workspace.root, 'workflows'), SHIPPED].map((dir) => join(dir, `${name}${ENDING}`));
  const paths = /[/\\]|\.md$/.test(name) ? [resolve(name)] : named;
  return paths.find((path) => statSync(path, { throwIfNoEntry: false })?.isFile()) ?? null;
}

function variables({ var: said = [], varFile = [] }: WorkflowOptions): Map<string, string> {
  const given = new Map<string, string>();
  const put = (pair: string, option: string, value: (text: string) => string) => {
    const at = pair.indexOf('=');
    const name = pair.slice(0, at);
    if (at < 0 || !NAME.test(name))
      throw new TowpathError('bad_usage', `${option} ${JSON.stringify(pair.slice(0, 80))}`, `write ${option} NAME=…`);
    if (given.has(name)) throw new TowpathError('bad_usage', `${name} is given twice`);
    given.set(name, value(pair.slice(at + 1)));
  };
  for (const pair of said) put(pair, '--var', (text) => text);
  for (const pair of varFile) put(pair, '--var-file', fromFile);
  return given;
}

function fromFile(path: string): string {
  if (path !== '-' && !statSync(path, { throwIfNoEntry: false })?.isFile())
    throw new TowpathError('not_found', `--var-file: ${path}: no such file`);
  return utf8(readFileSync(path === '-' ? 0 : path), path);
}

async function show(opened: Opened, [name]: string[], options: WorkflowOptions): Promise<void> {
  const plan = runsOf(opened).plan(name!);
  const path = plan ? null : fileOf(opened.workspace, name!);
  if (!plan && !path) missing(name!);
  const drawn = plan
    ? await gatherRun(plan, runsOf(opened), opened.queue)
    : drawnOf(readWorkflow(opened, path!, null).plan);
  if (options.json) console.log(JSON.stringify(drawn));
  else console.log(renderGraph(drawn, screenOf(process.stdout)));
}

async function list(opened: Opened, _: string[], options: WorkflowOptions): Promise<void> {
  const runs = await Promise.all(
    runsOf(opened)
      .all()
      .map((plan) => gatherRun(plan, runsOf(opened), opened.queue)),
  );
  const files = [join(opened.workspace.root, 'workflows'), SHIPPED]
    .flatMap((dir) => (existsSync(dir) ? readdirSync(dir) : []))
    .filter((name) => name.endsWith(ENDING))
    .map((name) => name.slice(0, -ENDING.length));
  const workflows = [...new Set(files)].sort();
  const told = runs.map(({ run, title, state, steps }) => ({ run: run ?? '', title, state, steps: steps.length }));
  if (options.json) console.log(JSON.stringify({ workflows, runs: told }));
  else console.log(renderRuns(workflows, told, screenOf(process.stdout)));
}

/** All that is not over, the last steps first: none of them begins because another was cancelled. */
async function cancel(opened: Opened, [run]: string[], options: WorkflowOptions): Promise<void> {
  const runs = runsOf(opened);
  const plan = planOf(runs, run!);
  // Nor is a retry finished that was killed.
  runs.endRerun(run!);
  const cancelled: string[] = [];
  for (const at of orderOf(plan.steps).reverse())
    for (const id of runs.tasksOf(plan, at)) {
      const queue = (await opened.queue.get(id))?.queue;
      if (!queue || queue === 'done' || queue === 'failed') continue;
      await operate(opened, { op: 'cancel', id }, (op) => verbs.cancel(op, id));
      cancelled.push(id);
    }
  if (options.json) console.log(JSON.stringify({ run, cancelled }));
  else console.log(cancelled.length > 0 ? cancelled.map((id) => `${id} is cancelled`).join('\n') : 'all of it is over');
}

/** A step again, and all that comes after it. */
async function retry(opened: Opened, [run, step]: string[], options: WorkflowOptions): Promise<void> {
  const request = { op: 'retry_from', run: run!, step: step! } as const;
  const retried = await carryOut(opened, request, (op) => retryFrom(op, run!, step!));
  if (options.json) console.log(JSON.stringify({ run, retried }));
  else console.log(retried.map((id) => `${id} runs again`).join('\n'));
}
