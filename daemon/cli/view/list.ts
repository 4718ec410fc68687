// towpath list: tasks as a table, or as the JSON that every other interface shows.

import type { Ledger } from '../../ledger/ledger.ts';
import type { Workspace } from '../../paths.ts';
import { readLock } from '../../queue/files/lock.ts';
import { someTaskNames } from '../../queue/files/read.ts';
import { type QueuePort, type Task, toJson } from '../../queue/port.ts';
import { QUEUES, type Queue, type TaskJson } from '../../task/terms.ts';
import { newest } from './newest.ts';
import { fillScreen, outcomeTone, paintOf, queueTone, type Screen } from './style.ts';
import { table } from './table.ts';
import { age } from './words.ts';

export interface ListSources {
  workspace: Workspace;
  queue: QueuePort;
  ledger: Pick<Ledger, 'latest'>;
  /** The ids of the first so many that wait, by who keeps them in order; null when nobody does. */
  waiting?: (limit: number) => Promise<string[] | null>;
}

/** The tasks of one queue, or of all in the order of the queues; with `limit` so many of each. A claimed one carries what its lock tells. */
export async function gatherList(sources: ListSources, only?: Queue, limit?: number): Promise<TaskJson[]> {
  const { workspace, queue } = sources;
  const tasks: Task[] = [];
  for (const name of only ? [only] : QUEUES)
    tasks.push(...(limit === undefined ? await queue.list(name) : await some(sources, name, limit)));
  return tasks
    .map((task) => {
      const lock = task.queue === 'claimed' ? readLock(workspace.lock(task.id)) : null;
      return toJson(task, lock === 'unreadable' ? null : lock);
    })
    .sort((a, b) => QUEUES.indexOf(a.queue) - QUEUES.indexOf(b.queue));
}

/** The queues of which a limit leaves something out. */
export const cutShort = (workspace: Workspace, limit: number, only?: Queue): Queue[] =>
  (only ? [only] : QUEUES).filter((name) => someTaskNames(workspace.queue(name), limit + 1).length > limit);

/** Those that run first, or that came last. */
async function some(sources: ListSources, name: Queue, limit: number): Promise<Task[]> {
  const { workspace, queue, waiting } = sources;
  if (name !== 'incoming') return newest(sources, name, limit);
  const many = cutShort(workspace, limit, name).length > 0;
  const ids = many ? await waiting?.(limit) : null;
  if (!ids) return (await queue.list(name)).slice(0, limit);
  const found: Task[] = [];
  for (const id of ids) {
    const task = await queue.get(id);
    if (task?.queue === name) found.push(task);
  }
  return found;
}

export function renderList(tasks: readonly TaskJson[], on: Partial<Screen> = {}): string {
  const screen = fillScreen(on);
  const paint = paintOf(screen);
  return table(
    tasks,
    [
      { head: 'ID', cell: (task) => task.id, min: 12, paint: paint.bold },
      { head: 'QUEUE', cell: (task) => task.queue, paint: (text, task) => paint.tone(queueTone(task.queue), text) },
      { head: 'PRIO', cell: (task) => task.priority ?? '', drop: 4 },
      { head: 'ROLE', cell: (task) => task.role ?? '', min: 6, drop: 5, paint: paint.dim },
      { head: 'AGENT', cell: (task) => task.agent ?? '', min: 6, drop: 3, paint: paint.dim },
      { head: 'AGE', cell: (task) => age(task.created_at, screen.now), align: 'right', drop: 2, paint: paint.dim },
      { head: 'TITLE', cell: (task) => (task.title === task.id ? '' : task.title), min: 14, drop: 1 },
      {
        head: 'OUTCOME',
        cell: (task) => task.outcome ?? '',
        drop: 6,
        paint: (text, task) => (task.outcome ? paint.tone(outcomeTone(task.outcome), text) : text),
      },
      {
        head: 'REASON',
        cell: (task) => (task.question ? `asks: ${task.question}` : (task.reason ?? '')),
        min: 10,
        drop: 7,
        paint: paint.dim,
      },
    ],
    screen,
  ).join('\n');
}

/** What to say on stderr when there is nothing to list. */
export const emptyList = (only?: Queue): string =>
  only === undefined || only === 'incoming'
    ? `no tasks${only ? ` in ${only}/` : ''}: towpath enqueue FILE.md`
    : `no tasks in ${only}/`;
