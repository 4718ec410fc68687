// The run that an MCP server is bound to: what its agent may do there, file subtasks and ask, and no more.
import { AgentRegistry } from '../../agents/registry.ts';
import { keepQuestion, QUESTION_BYTES } from '../../attempt/question.ts';
import { type RunRecord, readRun } from '../../attempt/record.ts';
import { agentNameOf } from '../../attempt/who.ts';
import { TowpathError } from '../../errors.ts';
import { filedBy, keepOrigin, parentOf } from '../../queue/files/subtasks.ts';
import { taskText } from '../../queue/polled.ts';
import { readRole } from '../../roles/role.ts';
import type { AgentSettings, Settings } from '../../settings.ts';
import { parseTask } from '../../task/file.ts';
import { reviewersOf } from '../../task/review.ts';
import { DEFAULT_ROLE, type TaskSpec } from '../../task/terms.ts';
import { slugOf } from '../../workflow/compile.ts';
import { submit } from '../enqueue.ts';
import type { Opened } from '../open.ts';

/** A task and the mark of its run. */
export interface BoundRun {
  task: string;
  marker: string;
}

/** The run of an agent that started us, or null: then a person's client did. */
export function boundRun(env: NodeJS.ProcessEnv): BoundRun | null {
  const [task, marker] = [env['TOWPATH_TASK_ID'], env['TOWPATH_RUN']];
  return task && marker ? { task, marker } : null;
}

/** What is known of the run. Throws `wrong_state` once it is over. */
function liveRun({ workspace, queue }: Opened, { task, marker }: BoundRun): { record: RunRecord; dir: string } {
  const lock = queue.lockOf(task);
  const dir = lock && lock !== 'unreadable' ? workspace.run(task, lock.attempt) : null;
  const record = dir === null ? null : readRun(dir);
  if (dir === null || record?.marker !== marker)
    throw new TowpathError('wrong_state', `this run of "${task}" is over`, 'stop working');
  return { record, dir };
}

/** Puts a question to a person: the task waits once the run has ended. */
export function ask(opened: Opened, run: BoundRun, question: string): void {
  const text = question.trim();
  if (text === '') throw new TowpathError('bad_usage', 'the question is empty', 'write what you need to know');
  if (Buffer.byteLength(text) > QUESTION_BYTES)
    throw new TowpathError('bad_usage', `the question is longer than ${QUESTION_BYTES / 1024} KiB`, 'shorten it');
  keepQuestion(liveRun(opened, run).dir, text);
}

/** Files a subtask: the same way as any task, with its origin written down, inside the limits. Throws `task_refused`. */
export async function fileSubtask(
  opened: Opened,
  run: BoundRun,
  data: Record<string, unknown>,
  body: string,
): Promise<{ id: string; path: string | null }> {
  const { workspace, queue, loaded } = opened;
  const { settings } = loaded;
  const { record } = liveRun(opened, run);
  const parent = run.task;
  const depth = (parentOf(workspace, parent)?.depth ?? 0) + 1;
  if (depth > settings.subtasks.depth)
    throw new TowpathError(
      'task_refused',
      `"${parent}" may file no subtasks: subtasks.depth is ${settings.subtasks.depth}`,
      depth > 1 ? 'it is a subtask itself: do the work in this task' : 'do the work in this task',
    );
  const filed = filedBy(workspace, parent);
  if (filed.length >= settings.subtasks.number)
    throw new TowpathError(
      'task_refused',
      `"${parent}" has filed ${filed.length} subtasks: subtasks.number is ${settings.subtasks.number}`,
      'do the rest in this task',
    );
  const { project, repo, base } = record.spec ?? {};
  const place = data['project'] === undefined && data['repo'] === undefined ? { project, repo, base } : {};
  const given = Object.fromEntries(Object.entries({ ...place, ...data }).filter(([, value]) => value !== undefined));
  // Its name is ours before its file is there: two of one name would be one subtask.
  const id = typeof data['id'] === 'string' ? data['id'] : await freeId(opened, nameFor(data['title'], body));
  const content = taskText({ id, ...given }, body);
  const submission = { content, name: `${id}.md` };
  const parsed = parseTask(Buffer.from(content));
  // Refused, or taken: submitting says so, in the same words as for any task.
  if (parsed.refusal || (await queue.get(id))) return submit(opened, submission);
  refuseLess(parsed.spec, settings);
  await refuseMore(opened, record.agent, parsed.spec);
  const origin = keepOrigin(workspace, settings.durability, id, { parent, depth });
  try {
    return await submit(opened, submission);
  } catch (thrown) {
    origin.undo();
    throw thrown;
  }
}

/** What a person has said of results and of money is not for an agent to loosen. */
function refuseLess({ on_accept, review, budget_usd, project }: TaskSpec, settings: Settings): void {
  const refuse = (what: string) => {
    throw new TowpathError('task_refused', `${what} is for a person to say`, 'leave it out');
  };
  if (on_accept !== undefined) refuse('on_accept');
  const own = project ? settings.projects[project] : undefined;
  const asked = own?.review ?? settings.review;
  if (review !== undefined && asked !== 'none' && JSON.stringify(review) !== JSON.stringify(asked)) refuse('review');
  if (budget_usd !== undefined && budget_usd > (own?.budget.task_usd ?? settings.budget.task_usd)) refuse('budget_usd');
}

const RANK: Record<AgentSettings['permissions'], number> = { read: 0, edits: 1, full: 2 };

/** An agent that may not run commands must not have them run by a subtask. */
async function refuseMore({ workspace, loaded: { settings } }: Opened, own: string, spec: TaskSpec): Promise<void> {
  const agents = new AgentRegistry(settings, workspace);
  const { permissions } = agents.get(own).settings;
  if (permissions === 'full') return;
  const held = `agents.${own}.permissions is ${permissions}`;
  for (const key of ['checks', 'mcp'] as const)
    if (spec[key] !== undefined)
      throw new TowpathError('task_refused', `${key}: a subtask may not name any: ${held}`, 'leave it out');
  // Whoever reviews or mends reads what it wrote, and may be allowed more.
  if (reviewersOf(spec.review ?? 'none').roles.length > 0 || (spec.fix ?? 'none') !== 'none')
    throw new TowpathError('task_refused', `review, fix: a subtask may name no agents: ${held}`, 'leave them out');
  const role = readRole(workspace, spec.role ?? DEFAULT_ROLE);
  await agents.findAuto();
  const named = agentNameOf({ spec }, role, settings);
  const may = (name: string) =>
    name !== 'shell' && agents.names().includes(name) ? RANK[agents.get(name).settings.permissions] : RANK.full;
  const first = named === 'auto' ? (agents.auto.name ?? 'auto') : named;
  const more = [first, ...(role.fallback && !spec.agent ? [role.fallback] : [])].find(
    (name) => may(name) > RANK[permissions],
  );
  if (more)
    throw new TowpathError('task_refused', `agent: "${more}" may do more than you: ${held}`, `name agent: ${own}`);
}

const ID_CHARS = 48;

/** A name from what the task says of itself. */
export function nameFor(title: unknown, body: string): string {
  const said = typeof title === 'string' && title ? title : (/\S.*/.exec(body)?.[0] ?? '');
  return slugOf(said, ID_CHARS) || 'task';
}

async function freeId({ queue }: Opened, slug: string): Promise<string> {
  for (let n = 1; ; n++) {
    const id = n === 1 ? slug : `${slug}-${n}`;
    if (!(await queue.get(id))) return id;
  }
}
