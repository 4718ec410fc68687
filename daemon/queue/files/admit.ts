// Whether a file that came into incoming is admitted as it is, under another name, or not at all.
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { Workspace } from '../../paths.ts';
import { QUEUES } from '../../task/terms.ts';
import type { Task } from '../port.ts';
import { freeName } from './durable.ts';
import { stemOf } from './read.ts';

export type Admission = { kind: 'as_it_is' } | { kind: 'rename'; name: string } | { kind: 'refuse'; reason: string };

/** Judges a file by its name, its id and what others have taken; `waiting` tells the name of the file that waits under an id. */
export function admission(
  task: Task,
  name: string,
  workspace: Workspace,
  waiting: (id: string) => string | undefined,
  vet: (task: Task) => string | null,
): Admission {
  if (task.refusal) return { kind: 'refuse', reason: task.refusal };
  // A name is also taken when another waiting task, in a file of another name, has it as its id.
  const taken = (candidate: string) =>
    (candidate !== name && existsSync(join(workspace.queue('incoming'), candidate))) ||
    (waiting(stemOf(candidate)) ?? name) !== name ||
    holderOf(candidate, workspace) !== undefined;
  const isTaken = taken(task.spec.id ? `${task.id}.md` : name) || (waiting(task.id) ?? name) !== name;
  if (isTaken && task.spec.id) {
    const holder = holderOf(`${task.id}.md`, workspace) ?? 'incoming';
    return { kind: 'refuse', reason: `id: "${task.id}" is taken by a task in ${holder}/: choose another` };
  }
  if (isTaken) return { kind: 'rename', name: freeName(name, taken) };
  const reason = vet(task);
  return reason ? { kind: 'refuse', reason } : { kind: 'as_it_is' };
}

const holderOf = (name: string, workspace: Workspace) =>
  QUEUES.find((queue) => queue !== 'incoming' && existsSync(join(workspace.queue(queue), name)));
