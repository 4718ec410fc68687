// The verbs of a person: accept, reject, answer, retry, cancel, resolve, pause, resume. By the daemon, or without one.
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { pauseFile } from '../holds.ts';
import { Limits } from '../limits.ts';
import * as verbs from '../operate.ts';
import type { TaskJson } from '../task/terms.ts';
import { openParts, restOf } from '../waiting/joins.ts';
import type { Common } from './common.ts';
import { askDaemon, open, operate } from './open.ts';

type Message = Common & { message: string };

function tell(task: TaskJson, options: Common): void {
  if (options.json) console.log(JSON.stringify(task));
  else console.log(`${task.id} is in ${task.queue}/${task.reason ? `: ${task.reason}` : ''}`);
}

/** Also what it means for those that wait for a subtask. */
function tellRest(task: TaskJson, options: Common): void {
  tell(task, options);
  const rest = restOf(open(options.workspace).workspace, task.id, task.queue === 'failed');
  if (rest && !options.json) console.log(rest);
}

const plain =
  (op: 'accept' | 'retry') =>
  async ([id]: [string], options: Common) =>
    tell(
      await operate(open(options.workspace), { op, id }, (operator) => verbs.PLAIN_VERBS[op](operator, id)),
      options,
    );

export const accept = plain('accept');
export const retry = plain('retry');
/** Of a divided task its subtasks are cancelled with it: which ones is told too. */
export async function cancel([id]: [string], options: Common): Promise<void> {
  const opened = open(options.workspace);
  const parts = openParts(opened.workspace, id);
  tellRest(await operate(opened, { op: 'cancel', id }, (op) => verbs.cancel(op, id)), options);
  if (parts.length > 0 && !options.json)
    console.log(`cancelled with it: ${parts.join(', ')}; what is done stays on its branches`);
}

export async function reject([id]: [string], options: Message): Promise<void> {
  tellRest(
    await operate(open(options.workspace), { op: 'reject', id, message: options.message }, (op) =>
      verbs.reject(op, id, options.message),
    ),
    options,
  );
}

export async function answer([id]: [string], options: Message): Promise<void> {
  tell(
    await operate(open(options.workspace), { op: 'answer', id, message: options.message }, (op) =>
      verbs.answer(op, id, options.message),
    ),
    options,
  );
}

export async function resolve([id, decision]: [string, 'retry' | 'skip' | 'abort'], options: Common): Promise<void> {
  tell(
    await operate(open(options.workspace), { op: 'resolve', id, decision }, (op) => verbs.resolve(op, id, decision)),
    options,
  );
}

export async function pause([id]: [string | undefined], options: Common): Promise<void> {
  const opened = open(options.workspace);
  if (id) return tell(await operate(opened, { op: 'pause', id }, (op) => verbs.pause(op, id)), options);
  const reason = 'claiming is paused by the operator: "towpath resume" goes on';
  if (opened.daemon) await askDaemon(opened, { op: 'pause_all', reason });
  else {
    mkdirSync(opened.workspace.state, { recursive: true, mode: 0o700 });
    writeFileSync(pauseFile(opened.workspace), `${reason}\n`);
  }
  console.log(
    options.json ? JSON.stringify({ paused: true }) : 'paused: running attempts go on, nothing new is claimed',
  );
}

/** A task by its id, else an agent that a limit closed, else all claiming. */
export async function resume([id]: [string | undefined], options: Common): Promise<void> {
  const opened = open(options.workspace);
  if (!id) {
    if (opened.daemon) await askDaemon(opened, { op: 'resume_all' });
    else rmSync(pauseFile(opened.workspace), { force: true });
    console.log(options.json ? JSON.stringify({ paused: false }) : 'resumed');
    return;
  }
  const limits = new Limits(opened.workspace);
  if (limits.of(id) && !(await opened.queue.get(id))) {
    if (opened.daemon) await askDaemon(opened, { op: 'open_agent', agent: id });
    else limits.open(id);
    console.log(options.json ? JSON.stringify({ agent: id, open: true }) : `agent ${id} is open again`);
    return;
  }
  tell(await operate(opened, { op: 'resume', id }, (op) => verbs.resume(op, id)), options);
}
