// Tasks in blocked/ that wait for dependencies, as their files say, and who waits for whom.
import { join } from 'node:path';
import { readTask, statOf, stemOf, taskNames } from '../queue/files/read.ts';
import { type Sign, sameSign, signOf } from '../queue/files/waiting.ts';
import type { Choice } from '../queue/port.ts';
import type { State } from '../task/terms.ts';

type Wants = Pick<Choice['spec'], 'depends_on' | 'on_dependency_failure'>;
export interface Dependent extends Wants {
  reason: string;
}

export class Dependents {
  readonly #dir: string;
  /** Every file that was looked at, also those that wait for something else. */
  readonly #seen = new Map<string, Sign>();
  readonly #waiting = new Map<string, Dependent>();
  readonly #by = new Map<string, Set<string>>();
  /** Told what each file that was read says of itself, and null when it is gone. */
  readonly #onRead: (id: string, state: State | null) => void;

  constructor(dir: string, onRead: (id: string, state: State | null) => void) {
    this.#dir = dir;
    this.#onRead = onRead;
  }

  get(id: string): Dependent | undefined {
    return this.#waiting.get(id);
  }

  ids(): Iterable<string> {
    return this.#waiting.keys();
  }

  /** Who waits for a task. */
  on(dependency: string): ReadonlySet<string> {
    return this.#by.get(dependency) ?? NOBODY;
  }

  add(id: string, { depends_on, on_dependency_failure, reason }: Dependent): void {
    this.remove(id);
    this.#waiting.set(id, { depends_on, on_dependency_failure, reason });
    for (const one of depends_on) {
      const waiting = this.#by.get(one) ?? new Set();
      this.#by.set(one, waiting.add(id));
    }
  }

  remove(id: string): void {
    for (const one of this.#waiting.get(id)?.depends_on ?? []) {
      const waiting = this.#by.get(one);
      waiting?.delete(id);
      if (waiting?.size === 0) this.#by.delete(one);
    }
    this.#waiting.delete(id);
  }

  /** Names that are there, and names that were. */
  names(): Set<string> {
    return new Set([...taskNames(this.#dir), ...this.#seen.keys()]);
  }

  /** Reads a file when it is new or changed. Returns its id when it has to be judged. */
  look(name: string): string | null {
    const id = stemOf(name);
    const stat = statOf(join(this.#dir, name));
    if (!stat || stat.isDirectory()) {
      this.#seen.delete(name);
      this.remove(id);
      this.#onRead(id, null);
      return null;
    }
    const sign = signOf(stat);
    const seen = this.#seen.get(name);
    if (seen && sameSign(seen, sign)) return null;
    this.#seen.set(name, sign);
    const task = readTask(this.#dir, name, 'blocked', stat);
    this.#onRead(id, task?.state ?? null);
    if (task?.state.waits_for !== 'dependencies') {
      this.remove(id);
      return null;
    }
    this.add(id, { ...task.spec, reason: task.state.reason ?? '' });
    return id;
  }
}

const NOBODY: ReadonlySet<string> = new Set();
