// Finds tasks without changing anything: one by its id, those of a queue in running order, how many there are.
import { basename, join } from 'node:path';
import type { Workspace } from '../../paths.ts';
import { QUEUES, type Queue } from '../../task/terms.ts';
import type { Task } from '../port.ts';
import { LARGE } from './count.ts';
import type { Intake } from './intake.ts';
import { readRegular, readTask, someTaskNames, stemOf, taskNames } from './read.ts';
import type { Records } from './records.ts';

/** Waiting files that a command reads for the sake of one name. */
const MANY = 1000;

export class Lookup {
  readonly #workspace: Workspace;
  readonly #intake: Intake;
  readonly #records: Records;
  #named: Set<string> | undefined;

  constructor(workspace: Workspace, intake: Intake, records: Records) {
    this.#workspace = workspace;
    this.#intake = intake;
    this.#records = records;
  }

  /** Outside incoming the file's name is the id; in incoming the frontmatter may name another. */
  get(id: string): Task | null {
    if (id.includes('/') || id.includes('\0') || id === '' || id.startsWith('.')) return null;
    for (const queue of ['claimed', 'provisional', 'blocked', 'failed', 'done'] as const) {
      const task = readTask(this.#workspace.queue(queue), `${id}.md`, queue);
      if (task) return task;
    }
    const dir = this.#workspace.queue('incoming');
    const direct = readTask(dir, `${id}.md`, 'incoming');
    if (direct?.id === id || direct?.refusal) return this.#shown(direct);
    const known = this.#intake.byId(id);
    const there = known && readTask(dir, known.name, 'incoming');
    if (there) return this.#shown(there);
    if (this.#intake.knows) return null;
    for (const name of taskNames(dir)) {
      const task = mayHold(join(dir, name), id) ? readTask(dir, name, 'incoming') : null;
      if (task?.id === id) return this.#shown(task);
    }
    return null;
  }

  /** Whether a waiting file of another name has this id. Who has not looked at them all reads them once; of many that would take too long, and the daemon gives another name then. */
  isNamed(id: string): boolean {
    if (this.#intake.knows) return this.#intake.byId(id) !== undefined;
    const dir = this.#workspace.queue('incoming');
    if (!this.#named) {
      const names = someTaskNames(dir, MANY);
      const read = names.length < MANY ? names.filter((name) => mayName(join(dir, name))) : [];
      const tasks = read.flatMap((name) => readTask(dir, name, 'incoming') ?? []);
      this.#named = new Set(tasks.flatMap(({ id, path }) => (id === stemOf(basename(path)) ? [] : [id])));
    }
    return this.#named.has(id);
  }

  list(only?: Queue): Task[] {
    const tasks = (only ? [only] : QUEUES).flatMap((queue) => {
      const dir = this.#workspace.queue(queue);
      return taskNames(dir).flatMap((name) => readTask(dir, name, queue) ?? []);
    });
    const rank = ({ queue, spec, created_at, id }: Task) =>
      `${QUEUES.indexOf(queue)}${queue === 'incoming' ? spec.priority : ''}${created_at}${id}`;
    return tasks.map((task) => this.#shown(task)).sort((a, b) => (rank(a) < rank(b) ? -1 : 1));
  }

  counts(known: Partial<Record<Queue, number>>): Record<Queue, number> {
    const count = (queue: Queue) => {
      const dir = this.#workspace.queue(queue);
      const said = known[queue];
      const some = said === undefined ? LARGE : someTaskNames(dir, LARGE).length;
      return some < LARGE ? some : (said ?? taskNames(dir).length);
    };
    return Object.fromEntries(QUEUES.map((queue) => [queue, count(queue)])) as Record<Queue, number>;
  }

  #shown(task: Task): Task {
    return this.#records.believed(task);
  }
}

/** Whether a file's front matter may name an id, if it has any. */
function mayName(path: string): boolean {
  try {
    const text = readRegular(path).toString();
    return /^\ufeff?---/.test(text) && /\bid\b|\\/.test(text);
  } catch {
    return false;
  }
}

/** Whether a file's own front matter may name this id: it holds the letters, or escapes that may stand for them. */
function mayHold(path: string, id: string): boolean {
  try {
    const bytes = readRegular(path);
    return bytes.includes('id') && (bytes.includes(id) || bytes.includes('\\'));
  } catch {
    return false;
  }
}
