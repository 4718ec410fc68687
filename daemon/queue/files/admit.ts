// Whether a file that came into incoming is admitted as it is, under another name, or not at all.
import { existsSync, renameSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { Workspace } from '../../paths.ts';
import { placed } from '../../task/file.ts';
import { QUEUES, type Queue } from '../../task/terms.ts';
import type { Task, Vetted } from '../port.ts';
import { freeName } from './durable.ts';
import { readRegular, readTask, someTaskNames, statOf, stemOf } from './read.ts';
import type { Records } from './records.ts';
import { sharedSpec, type Waiting } from './waiting.ts';

/** How long a kind of task that passed the vetting passes it again, ms; each task is vetted for itself when it is claimed. */
const VETTED_MS = 1000;
const KINDS = 1000;
/** A queue with fewer files is small. */
const FEW = 256;

interface DoorOptions {
  /** A reason of the workspace's own to refuse a task, or null. */
  vet: (task: Vetted) => string | null;
  /** The name of the file that waits under an id. */
  waiting: (id: string) => string | undefined;
  /** Moves a file out of incoming with the reason. */
  refuse: (task: Task, name: string, reason: string) => void;
}

type Judgement = { kind: 'as_it_is' } | { kind: 'rename'; name: string } | { kind: 'refuse'; reason: string };

export class Door {
  readonly #workspace: Workspace;
  readonly #records: Records;
  readonly #options: DoorOptions;
  /** Kinds that passed the vetting, and when. */
  readonly #vetted = new Map<string, number>();
  readonly #names = new Map<Queue, Set<string> | 'many'>();

  constructor(workspace: Workspace, records: Records, options: DoorOptions) {
    this.#workspace = workspace;
    this.#records = records;
    this.#options = options;
  }

  /** The task under its final name and with the state to believe; null when it was refused. `exactly`: also what its kind passed a moment ago is asked again. */
  admit(task: Task, name: string, exactly = false): Task | null {
    const admitted = this.#records.believed(task);
    const found = this.#judge(admitted, name, exactly);
    if (found.kind === 'as_it_is') return admitted;
    if (found.kind === 'refuse') {
      this.#options.refuse(admitted, name, found.reason);
      this.#names.clear();
      return null;
    }
    const path = join(dirname(task.path), found.name);
    renameSync(task.path, path);
    const renamed = readTask(dirname(path), found.name, 'incoming');
    return renamed && this.admit(renamed, found.name);
  }

  /** Whether a task that an earlier daemon read and admitted would be admitted again. */
  stillOpen(waiting: Waiting): boolean {
    const { id, name, state } = waiting;
    const known = Object.keys(state).length === 0 || existsSync(this.#workspace.runs(id));
    const own = `${id}.md`;
    const free = name === own || !existsSync(join(this.#workspace.queue('incoming'), own));
    return known && free && this.#holderOf(own) === undefined && this.#vetKind(waiting, waiting.kind) === null;
  }

  /** Judges a file by its name, its id and what others have taken. */
  #judge(task: Task, name: string, exactly: boolean): Judgement {
    if (task.refusal) return { kind: 'refuse', reason: task.refusal };
    const { waiting, vet } = this.#options;
    // A name is also taken when another waiting task, in a file of another name, has it as its id.
    const taken = (candidate: string) =>
      (candidate !== name && existsSync(join(this.#workspace.queue('incoming'), candidate))) ||
      (waiting(stemOf(candidate)) ?? name) !== name ||
      this.#holderOf(candidate) !== undefined;
    // Whoever waits under an id keeps it, also when a file of that name comes in beside it.
    const isTaken =
      waiting(task.id) === name
        ? this.#holderOf(`${task.id}.md`) !== undefined
        : taken(task.spec.id ? `${task.id}.md` : name) || waiting(task.id) !== undefined;
    if (isTaken && task.spec.id) {
      const holder = this.#holderOf(`${task.id}.md`) ?? 'incoming';
      return { kind: 'refuse', reason: `id: "${task.id}" is taken by a task in ${holder}/: choose another` };
    }
    if (isTaken) return { kind: 'rename', name: freeName(name, taken) };
    const reason = exactly ? vet(task) : this.#vetKind(task, sharedSpec(task.spec).kind);
    return reason
      ? { kind: 'refuse', reason: statOf(task.path) ? placed(reason, readRegular(task.path)) : reason }
      : { kind: 'as_it_is' };
  }

  /** Only what passed is remembered, and what a kind does not tell is asked each time. */
  #vetKind(task: Vetted, kind: string): string | null {
    const plain =
      task.spec.output_schema === undefined &&
      task.spec.mcp === undefined &&
      task.spec.pattern === undefined &&
      task.spec.inputs === undefined &&
      task.spec.skills === undefined;
    if (plain && Date.now() - (this.#vetted.get(kind) ?? 0) < VETTED_MS) return null;
    const reason = this.#options.vet(task);
    if (this.#vetted.size > KINDS) this.#vetted.clear();
    if (!reason) this.#vetted.set(kind, Date.now());
    return reason;
  }

  /** In which other queue a name is taken. */
  #holderOf(name: string): Queue | undefined {
    return QUEUES.find((queue) => queue !== 'incoming' && this.#isIn(queue, name));
  }

  /** Where thousands come in at once, the names of a small queue are read once for all that are judged in one go. */
  #isIn(queue: Queue, name: string): boolean {
    const dir = this.#workspace.queue(queue);
    let names = this.#names.get(queue);
    if (this.#names.size === 0) queueMicrotask(() => this.#names.clear());
    if (names === undefined) {
      const some = someTaskNames(dir, FEW);
      names = some.length < FEW ? new Set(some) : 'many';
      this.#names.set(queue, names);
    }
    return names === 'many' ? existsSync(join(dir, name)) : names.has(name);
  }
}
