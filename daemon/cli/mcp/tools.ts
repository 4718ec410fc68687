// The tools that `towpath mcp` serves: each is a command of the command line, with its words and its refusals.
import { z } from 'zod';
import { TowpathError } from '../../errors.ts';
import { openLedger } from '../../ledger/ledger.ts';
import * as verbs from '../../operate.ts';
import { taskText } from '../../queue/polled.ts';
import { QUEUES } from '../../task/terms.ts';
import { submit } from '../enqueue.ts';
import { askDaemon, type Opened, operate } from '../open.ts';
import { gatherList } from '../view/list.ts';
import { gatherShow, showJson } from '../view/show.ts';
import { reasonOf } from '../why.ts';
import { ask, type BoundRun, fileSubtask, nameFor } from './run.ts';

/** What a call works with: the workspace as it is now, and the run of the agent that calls, if one does. */
export interface Call {
  opened: Opened;
  run: BoundRun | null;
}

export interface Tool {
  name: string;
  description: string;
  input: z.ZodObject;
  /** It changes nothing. */
  reads: boolean;
  /** What it answers, as JSON: of an answer that has structured content some clients show the model nothing else. */
  answer(call: Call, args: Record<string, unknown>): Promise<Record<string, unknown>>;
}

const id = z.string().min(1).describe('the id of a task');
const text = z.string().optional();
const list = z.array(z.string()).optional();
const number = z.number().optional();

/** As in the front matter of a task file, which is where they are checked: a wrong value is refused in the same words. */
export const taskKeys = {
  id: text.describe('letters, digits, ".", "_", "-"; unique; default: made from the title'),
  title: text.describe('one line; default: the first heading of the body'),
  role: text.describe('a file in roles/; default implementer'),
  seniority: text.describe('junior, senior (default) or principal: chooses the model'),
  complexity: text.describe("major (default: own worktree and branch) or minor (the repository's own tree)"),
  priority: text.describe('P0 (first) to P3; default P2'),
  project: text.describe('a name under projects: in the settings'),
  repo: text.describe('the repository to work in, when it is not the default one'),
  base: text.describe('the branch to start from'),
  agent: text.describe('who does it; default: as the role or the settings say'),
  model: text,
  skills: list,
  mcp: z.unknown().optional().describe('MCP servers: a map {name: {command, args, env}} or a list of names'),
  temperature: number,
  max_turns: number,
  depends_on: list.describe('ids of tasks that must be done first'),
  on_dependency_failure: text.describe('hold (default), cancel or run'),
  checks: z
    .array(z.union([z.string(), z.array(z.string())]))
    .optional()
    .describe('commands that must pass before the result counts, such as "npm test"'),
  review: z
    .union([z.string(), z.array(z.string())])
    .optional()
    .describe('none, human, agent, the name of a role, or a list of them'),
  fix: text.describe('patch: a failed check is first answered with a patch; or none'),
  on_accept: text.describe('branch, merge or pr: what becomes of an accepted branch; not inside a run'),
  pattern: text.describe('with agent pattern: the name of a pattern'),
  expect: text.describe('changes (a result without a change does not count) or any'),
  timeout: text.describe('such as 10m'),
  max_attempts: number,
  budget_usd: number,
  not_before: text.describe('an ISO date, or a duration such as 2h'),
  output_schema: z.unknown().optional(),
  inputs: z.record(z.string(), z.unknown()).optional(),
  outputs: z.unknown().optional(),
};

const enqueueTask: Tool = {
  name: 'enqueue_task',
  description:
    'Puts a new task into the queue: a coding agent will do it, on a branch of its own. The body says in markdown what is to be done and how one sees that it is done; whoever does it knows nothing else. Returns the id.',
  input: z.strictObject({ body: z.string().describe('what is to be done, as markdown'), ...taskKeys }),
  reads: false,
  async answer({ opened, run }, { body, ...data }) {
    const given = Object.fromEntries(Object.entries(data).filter(([, value]) => value !== undefined));
    const markdown = String(body);
    const name = `${typeof data['id'] === 'string' ? data['id'] : nameFor(data['title'], markdown)}.md`;
    const made = run
      ? await fileSubtask(opened, run, given, markdown)
      : await submit(opened, { content: taskText(given, markdown), name });
    return { ...made, parent: run?.task ?? null };
  },
};

const MOST = 200;
const listTasks: Tool = {
  name: 'list_tasks',
  description:
    'Lists tasks: of all queues (incoming, claimed, provisional, done, blocked, failed) or of one. A task with a question waits for an answer.',
  input: z.strictObject({
    queue: z.enum(QUEUES).optional().describe('only this queue'),
    limit: z.number().int().min(1).max(MOST).default(50).describe('so many of each queue'),
  }),
  reads: true,
  async answer({ opened }, { queue, limit }) {
    const ledger = openLedger(opened.workspace, { readonly: true });
    const waiting = (most: number) =>
      opened.daemon ? (askDaemon(opened, { op: 'waiting', limit: most }) as Promise<string[]>) : Promise.resolve(null);
    try {
      const sources = { ...opened, ledger, waiting };
      const found = await gatherList(sources, queue as (typeof QUEUES)[number] | undefined, Number(limit));
      const tasks = found.map(({ path: _, data: __, body: ___, feedback: ____, result: _____, ...task }) => task);
      return { tasks };
    } finally {
      ledger.close();
    }
  },
};

const getTask: Tool = {
  name: 'get_task',
  description:
    'All there is to know of one task: its text, queue, outcome, reason, question, feedback, result and runs.',
  input: z.strictObject({ id }),
  reads: true,
  async answer({ opened }, args) {
    const ledger = openLedger(opened.workspace, { readonly: true });
    try {
      return showJson(await gatherShow({ ...opened, ledger }, String(args['id'])));
    } finally {
      ledger.close();
    }
  },
};

const whyTask: Tool = {
  name: 'why_task',
  description: 'Why a task is not running, in one sentence.',
  input: z.strictObject({ id }),
  reads: true,
  async answer({ opened }, args) {
    const task = await opened.queue.get(String(args['id']));
    if (!task) throw new TowpathError('task_not_found', `no task "${args['id']}"`, 'see list_tasks');
    const reason = await reasonOf(opened, task);
    return { id: task.id, queue: task.queue, reason };
  },
};

const answerTask: Tool = {
  name: 'answer_task',
  description:
    "Answers the question that a task's agent has asked (see list_tasks): its session goes on with the answer.",
  input: z.strictObject({ id, message: z.string().describe('the answer') }),
  reads: false,
  async answer({ opened }, args) {
    const [task, message] = [String(args['id']), String(args['message'])];
    const moved = await operate(opened, { op: 'answer', id: task, message }, (op) => verbs.answer(op, task, message));
    return { id: moved.id, queue: moved.queue };
  },
};

const askPerson: Tool = {
  name: 'ask',
  description:
    'Puts a question to a person, for when you cannot go on without one. Nobody answers while you work: ask all that you need to know at once, then stop; your next turn brings the answer.',
  input: z.strictObject({
    question: z.string().describe('what you need to know, so that it can be answered as it stands'),
  }),
  reads: false,
  async answer({ opened, run }, args) {
    ask(opened, run!, String(args['question']));
    const said = 'A person is asked once you stop. Stop working now: your next turn brings the answer.';
    return { asked: true, next: said };
  },
};

/** An agent inside a run may file and ask, but answer nobody: least of all itself. */
export const toolsFor = (run: BoundRun | null): Tool[] => [
  ...[enqueueTask, listTasks, getTask, whyTask],
  run ? askPerson : answerTask,
];
