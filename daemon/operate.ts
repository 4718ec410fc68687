// What a person may do to a task, one verb a function; the same with and without a daemon.

import { runTarget } from './agents/kept.ts';
import { cleanUp, keepsFailed } from './attempt/clean.ts';
import type { Owner } from './attempt/context.ts';
import { readDivided } from './attempt/divided.ts';
import { failure } from './attempt/ending.ts';
import { answered } from './attempt/question.ts';
import { now } from './clock.ts';
import { messageOf, TowpathError } from './errors.ts';
import { accept as acceptResult, inTree } from './gate/accept.ts';
import { close, turnBack } from './gate/gate.ts';
import { openHelpers } from './gate/helpers/helper.ts';
import { endTree } from './process/end.ts';
import type { Settlement, Task } from './queue/port.ts';
import { FRESH } from './task/state.ts';
import type { Queue } from './task/terms.ts';

/** Ends the running attempt of a task and waits until it is settled; false when this process runs none. */
export type EndRunning = (id: string, why: 'cancel' | 'pause') => Promise<boolean>;

export type Operator = Owner & { endRunning: EndRunning };

const gone = undefined;
async function find(op: Operator, id: string, ...queues: Queue[]): Promise<Task> {
  const task = await op.queue.get(id);
  if (!task) throw new TowpathError('task_not_found', `no task "${id}"`, 'see "towpath list"');
  if (queues.length && !queues.includes(task.queue))
    throw new TowpathError(
      'wrong_state',
      `"${id}" is in ${task.queue}/`,
      `this works in ${queues.map((queue) => `${queue}/`).join(', ')}`,
    );
  return task;
}

async function move(op: Operator, task: Task, to: Queue, state: Settlement['state']): Promise<Task> {
  const moved = await op.queue.move(task.id, task.queue, { to, state });
  op.events.emit('transition', {
    task: task.id,
    from: task.queue,
    to,
    outcome: moved.state.outcome,
    reason: moved.state.reason,
  });
  return moved;
}

/** provisional → done, by a person's word; or once more to the train or the pull request, from where that was held up. */
export async function accept(op: Operator, id: string): Promise<Task> {
  const task = await find(op, id, 'provisional', 'blocked');
  const held = task.state.waits_for === 'merge' || task.state.waits_for === 'pr';
  if (task.queue === 'blocked' && !held) await find(op, id, 'provisional');
  const other = await inTree(op, task);
  if (other)
    throw new TowpathError(
      'wrong_state',
      `"${other}" is at work in the repository's own tree, where "${id}" belongs`,
      `accept it when that is over, or "towpath cancel ${other}" first`,
    );
  const taken = await fromGate(op, task);
  const done = taken.queue === 'done' ? taken : await acceptResult(op, await find(op, id, 'provisional', 'blocked'));
  await callOff(op, id);
  return done;
}

/** A result that a person decides on: a gate that is at work on it lets go and does not take it up again. It may have come to its end. */
async function fromGate(op: Operator, { id, queue, state }: Task): Promise<Task> {
  if (queue !== 'provisional' || (state.waits_for !== undefined && !state.awaits)) return find(op, id);
  const mark = { reason: `waits for the word of a person`, waits_for: 'review', awaits: gone } as const;
  await op.queue.move(id, 'provisional', { to: 'provisional', state: mark });
  await op.endRunning(id, 'cancel');
  return find(op, id);
}

/** A person has decided: who still reviews or mends need not. */
async function callOff(op: Operator, id: string): Promise<void> {
  for (const one of await openHelpers(op, id))
    await cancel(op, one).catch((thrown: unknown) =>
      op.events.emit('warning', { task: one, message: `could not be called off: ${messageOf(thrown)}` }),
    );
}

/** provisional → incoming with feedback, or failed when the attempts are spent. */
export async function reject(op: Operator, id: string, message: string): Promise<Task> {
  await fromGate(op, await find(op, id, 'provisional'));
  const back = await turnBack(
    op,
    await find(op, id, 'provisional'),
    null,
    failure('rejected', 'rejected by a person', { feedback: message, from: 'human' }),
  );
  await callOff(op, id);
  return back;
}

/** The tasks that a divided one waits for, in some of the queues. */
async function partsOf(op: Operator, id: string, ...queues: Queue[]): Promise<string[]> {
  const ids = readDivided(op.workspace, id)?.subtasks.map((part) => part.id) ?? [];
  const found = await Promise.all(ids.map((one) => op.queue.get(one)));
  return found.flatMap((one) => (one && queues.includes(one.queue) ? [one.id] : []));
}

/**
 * failed, blocked, done → incoming, with all attempts anew. Feedback, session and branch stay. Of one that waits for subtasks, those
 * that failed are retried.
 */
export async function retry(op: Operator, id: string): Promise<Task> {
  const task = await find(op, id, 'failed', 'blocked', 'done');
  const failed = task.queue === 'blocked' || task.queue === 'failed' ? await partsOf(op, id, 'failed') : [];
  for (const one of failed) await retry(op, one);
  // It goes on waiting for them.
  if (failed.length > 0 && task.queue === 'blocked' && task.state.waits_for === 'dependencies')
    return op.queue.move(id, 'blocked', { to: 'blocked', state: { reason: `waits for ${failed.join(', ')} again` } });
  return move(op, task, 'incoming', FRESH);
}

/** blocked → incoming with the answer to the agent's question. */
export async function answer(op: Operator, id: string, message: string): Promise<Task> {
  const task = await find(op, id, 'blocked');
  return move(op, task, 'incoming', answered(task, message));
}

/** What to do about a failed hook: run it again, go on without it, or give the task up. */
export async function resolve(op: Operator, id: string, decision: 'retry' | 'skip' | 'abort'): Promise<Task> {
  const task = await find(op, id, 'blocked');
  const event = /^hook (\w+) failed/.exec(task.state.reason ?? '')?.[1];
  if (task.state.waits_for !== 'hook' || !event)
    throw new TowpathError(
      'wrong_state',
      `"${id}" does not wait for a hook: ${task.state.reason ?? 'no reason given'}`,
      `see "towpath why ${id}"`,
    );
  if (decision === 'abort')
    return move(op, task, 'failed', {
      outcome: 'cancelled',
      reason: `${task.state.reason?.replace(/; decide with .*/, '')} (aborted by the operator)`,
      waits_for: gone,
      finished_at: now(),
    });
  return move(op, task, 'incoming', { resolved: { event, decision }, waits_for: gone, reason: gone });
}

/** Anything that is not over → failed. A running agent is ended first, its work kept. */
export async function cancel(op: Operator, id: string): Promise<Task> {
  const task = await find(op, id, 'incoming', 'claimed', 'provisional', 'blocked');
  // First those that it waits for: killed in between, it still says who is missing.
  for (const one of await partsOf(op, id, 'incoming', 'claimed', 'provisional', 'blocked')) await cancel(op, one);
  await fromGate(op, task);
  await op.endRunning(id, 'cancel');
  const after = await find(op, id);
  // Its gate may have come to its end: what has landed is not taken back.
  if (after.queue === 'failed' || after.queue === 'done') return after;
  if (after.queue === 'claimed') return release(op, after);
  // Its gate may have had it in the repository's own tree.
  if (after.queue === 'provisional') await close(op, after);
  const moved = await move(op, after, 'failed', {
    outcome: 'cancelled',
    reason: 'cancelled by the operator',
    waits_for: gone,
    awaits: gone,
    finished_at: now(),
  });
  if (!keepsFailed(op, id)) await cleanUp(op, id, moved.state.runs ?? 1);
  await callOff(op, id);
  return moved;
}

/** A claim that no daemon tends: its agent is ended by identity, then the task is cancelled. */
async function release(op: Operator, task: Task): Promise<Task> {
  const lock = op.queue.lockOf(task.id);
  if (lock === 'unreadable')
    throw new TowpathError(
      'wrong_state',
      `the lock of "${task.id}" cannot be read`,
      'start the daemon: it looks closer',
    );
  if (lock?.agent) await endTree(runTarget(op.workspace.run(task.id, lock.attempt), lock.agent));
  const moved = await move(op, task, 'failed', {
    outcome: 'cancelled',
    reason: 'cancelled by the operator',
    finished_at: now(),
    ...(lock ? { epoch: lock.epoch } : {}),
  });
  op.queue.dropLock(task.id);
  if (!keepsFailed(op, task.id)) await cleanUp(op, task.id, lock?.attempt ?? 1);
  return moved;
}

/** Holds a task in blocked/ until it is resumed; a running agent is ended and goes on later by its session. */
export async function pause(op: Operator, id: string): Promise<Task> {
  const task = await find(op, id, 'incoming', 'claimed');
  if (await op.endRunning(id, 'pause')) return find(op, id);
  if (task.queue === 'claimed')
    throw new TowpathError(
      'daemon_not_running',
      `"${id}" is claimed and no daemon tends it`,
      'start one, or cancel the task',
    );
  return move(op, task, 'blocked', {
    reason: `paused by the operator; "towpath resume ${id}" lets it go on`,
    waits_for: 'paused',
  });
}

export async function resume(op: Operator, id: string): Promise<Task> {
  const task = await find(op, id, 'blocked');
  if (task.state.waits_for !== 'paused' && task.state.queue === 'blocked')
    throw new TowpathError(
      'wrong_state',
      `"${id}" is not paused: ${task.state.reason ?? 'no reason given'}`,
      `see "towpath why ${id}"`,
    );
  return move(op, task, 'incoming', { waits_for: gone, reason: gone });
}

/** The verbs that need nothing but an id. */
export const PLAIN_VERBS = { accept, retry, cancel, pause, resume } as const;
