// The tasks that a gate files for agents, reviews, fixes and tests: filed once under a name of their own, and what they came to.
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { Context } from '../../attempt/context.ts';
import { readVerdict } from '../../attempt/record.ts';
import type { Work } from '../../attempt/work.ts';
import { filedBy, HELPS, type Help, helpOf, keepOrigin, parentOf } from '../../queue/files/subtasks.ts';
import { taskText } from '../../queue/polled.ts';
import type { QueuePort, Task } from '../../queue/port.ts';
import { redact } from '../../secrets.ts';
import { type Judged, judgeAnswer, type Schema } from '../../task/answer.ts';
import { standIn } from './stand-in.ts';

export type Place = Pick<Context, 'workspace'> & { queue: Pick<QueuePort, 'get'> };

/** How often it was tried says nothing of the task that it is about, whose own attempts are told. */
const OF_ITS_OWN = / \(\d+ of \d+ attempts spent\)$/;

/** What the gate of a task waits for. */
export interface Waiting {
  kind: 'helpers';
  for: Help['kind'];
  helpers: { id: string; role: string }[];
}

export const waitFor = ({ kind, id, role }: Pick<Help, 'kind' | 'role'> & { id: string }): Waiting => ({
  kind: 'helpers',
  for: kind,
  helpers: [{ id, role }],
});

/** How a helper ended; null while it has not. */
export type End = Judged | null;

/** What an answer comes to, by its text or by what was told as structured. */
type Judge = (text: string, structured: unknown) => Judged;
export const bySchema =
  (schema: Schema): Judge =>
  (text, structured) =>
    judgeAnswer(text, schema, structured);

export const runOf = ({ state }: Task): number => state.runs ?? 1;
/** What the last run made; null where there is no git. */
export const commitOf = ({ state }: Task, work: Work | null): string | null =>
  work === null || work.kind === 'folder' ? null : (state.commit ?? work.start);

/** By the run that it ended with, and not by what its file says of it. */
export function endOf({ workspace }: Pick<Place, 'workspace'>, id: string, task: Task | null, judge: Judge): End {
  // One that was never claimed and is gone was never there: it is filed again.
  if (!task) return existsSync(workspace.runs(id)) ? { problem: 'its file is gone' } : null;
  const { queue, state, refusal } = task;
  if (queue === 'failed')
    return { problem: refusal ?? state.reason?.replace(OF_ITS_OWN, '') ?? 'its file was moved to failed/' };
  // Who must be answered, paid or let in again is waited for; what is spent is spent.
  if (queue === 'blocked' && state.outcome === 'budget' && state.waits_for === 'operator')
    return { problem: state.reason ?? 'its budget is spent' };
  if (queue !== 'done') return null;
  const ended = readVerdict(workspace.run(id, runOf(task)))?.verdict;
  return ended ? judge(ended.output, ended.structured) : { problem: 'it was never run' };
}

/** For who asks only whether there is an end. */
export const ANY: Judge = (text) => ({ value: text });

/** Whether all that a task waits for has an end, of whatever kind. */
export async function helpersOver({ workspace, queue }: Context, { id, state }: Task): Promise<boolean> {
  for (const one of state.awaits ?? []) {
    // Most are on their way: that is seen without reading them.
    if (queue.intake.byId(one) || existsSync(join(workspace.queue('claimed'), `${one}.md`))) return false;
    if (helpOf(workspace, one)?.parent === id && !endOf({ workspace }, one, await queue.get(one), ANY)) return false;
  }
  return true;
}

/** The helpers of a task that are not over. */
export async function openHelpers({ workspace, queue }: Place, id: string): Promise<string[]> {
  const open: string[] = [];
  for (const kind of HELPS)
    for (const one of filedBy(workspace, id, kind)) {
      const task = helpOf(workspace, one)?.parent === id ? await queue.get(one) : null;
      if (task && !endOf({ workspace }, one, task, ANY)) open.push(one);
    }
  return open;
}

const ID_CHARS = 128;

/** Files one. Who it is for and what it is about is privately written down before its file is there. */
export async function fileHelper(
  ctx: Context,
  task: Task,
  help: Omit<Help, 'parent'> & { ending: string; title: string; body: string },
): Promise<string> {
  const { workspace, queue, settings } = ctx;
  const { kind, role, attempt, commit, with_test } = help;
  const id = await freeId(ctx, task.id, help.ending);
  const { project, repo } = task.spec;
  const agent = await standIn(ctx, task, role);
  const data = {
    ...{ id, title: help.title, role, priority: 'P0' },
    ...(agent === undefined ? {} : { agent }),
    ...(project === undefined ? {} : { project }),
    ...(repo === undefined ? {} : { repo }),
    ...(commit === null ? { complexity: 'minor' } : {}),
    ...{ expect: 'any', checks: [], review: 'none' },
    // It may be asked once more for an answer that fits; how often the work is tried is for the task itself.
    max_attempts: 1,
  };
  const content = taskText(data, redact(help.body));
  const depth = (parentOf(workspace, task.id)?.depth ?? 0) + 1;
  const of = { role, attempt, commit, with_test };
  const origin = keepOrigin(workspace, settings.durability, id, { kind, parent: task.id, depth, of });
  try {
    await queue.submit({ name: `${id}.md`, content });
  } catch (thrown) {
    origin.undo();
    throw thrown;
  }
  queue.intake.handedOver(`${id}.md`);
  ctx.events.emit('helper_filed', { task: id, kind, parent: task.id });
  return id;
}

/** A name that no task has, nor had: its runs would pass for ours. */
export async function freeId({ workspace, queue }: Place, parent: string, ending: string): Promise<string> {
  for (let n = 1; ; n++) {
    const last = `${ending}${n === 1 ? '' : `-${n}`}`;
    const id = `${parent.slice(0, ID_CHARS - last.length)}${last}`;
    if (!(await queue.get(id)) && !existsSync(workspace.runs(id))) return id;
  }
}
