// Finds tasks without changing anything: one by its id, those of a queue in running order, how many there are.
import type { Workspace } from '../../paths.ts';
import { QUEUES, type Queue } from '../../task/terms.ts';
import type { Task } from '../port.ts';
import type { Intake } from './intake.ts';
import { readTask, taskNames } from './read.ts';
import type { Records } from './records.ts';

export class Lookup {
  readonly #workspace: Workspace;
  readonly #intake: Intake;
  readonly #records: Records;

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
    for (const name of taskNames(dir)) {
      const task = readTask(dir, name, 'incoming');
      if (task?.id === id) return this.#shown(task);
    }
    return null;
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

  counts(): Record<Queue, number> {
    const counted = QUEUES.map((queue) => [queue, taskNames(this.#workspace.queue(queue)).length]);
    return Object.fromEntries(counted) as Record<Queue, number>;
  }

  #shown(task: Task): Task {
    return { ...task, state: this.#records.trusted(task) };
  }
}
