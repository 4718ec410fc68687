// Takes a task file from one queue to another with its state written: never edited where it may be claimed, never there without its reason.
import { existsSync, lstatSync, renameSync, statSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { TowpathError } from '../../errors.ts';
import type { Workspace } from '../../paths.ts';
import { withState } from '../../task/file.ts';
import { mergeState } from '../../task/state.ts';
import type { Queue, State } from '../../task/terms.ts';
import type { Settlement, Task } from '../port.ts';
import { type Durable, freePath } from './durable.ts';
import { Intents } from './intents.ts';
import { readRegular, readTask, UNTOUCHED } from './read.ts';
import type { Records } from './records.ts';

/** What a state takes in a file, bytes; long feedback takes more. */
const STATE_ROOM = 16 * 1024;
/** A larger file is not copied for a line. */
const COPY_MAX = 16 * 1024 * 1024;

export interface Transfer {
  id: string;
  from: Queue;
  /** The file's name there. */
  name: string;
  to: Queue;
  state: Settlement['state'];
}

export class Mover {
  readonly #workspace: Workspace;
  readonly #disk: Durable;
  readonly #records: Records;
  readonly #intents: Intents;

  constructor(workspace: Workspace, disk: Durable, records: Records) {
    this.#workspace = workspace;
    this.#disk = disk;
    this.#records = records;
    this.#intents = new Intents(workspace.moves);
  }

  /** Leaving incoming the file is moved and then edited, else edited and then moved. Returns the task as it is then. */
  transfer({ id, from, name, to, state }: Transfer): Task {
    const source = join(this.#workspace.queue(from), name);
    // Looked at first: a file that a person has just moved to where it shall go must not be taken for somebody else's.
    if (!existsSync(source))
      throw new TowpathError('task_not_found', `"${id}" was moved out of ${from}/`, `see "towpath show ${id}"`);
    const target = join(this.#workspace.queue(to), `${id}.md`);
    // A name that no other task has: whoever came in under a name that is ours steps aside.
    if (target !== source && existsSync(target)) renameSync(target, freePath(target));
    let edited: Task | null;
    if (from === 'incoming') edited = this.moveThenEdit(source, target, to, state);
    else {
      const done = source === target ? () => {} : this.#intents.keep({ source, target, to });
      edited = this.#edit(source, to, state, false);
      this.#disk.move(source, target);
      done();
    }
    const known = edited !== null && to !== 'incoming';
    const task = known ? { ...edited!, path: target } : readTask(dirname(target), basename(target), to);
    if (!task) throw new TowpathError('task_not_found', `"${id}" was moved away`);
    return task;
  }

  /** Out of incoming. Room for the state is made first: on a full disk the file stays where it is, and none arrives without its reason. */
  moveThenEdit(source: string, target: string, queue: Queue, change: Settlement['state']): Task | null {
    const { size } = lstatSync(source);
    const done = this.#intents.keep({ source, target, to: queue, change });
    const room = this.#disk.reserve(target, (size > COPY_MAX ? 0 : size) + STATE_ROOM);
    try {
      this.#disk.move(source, target);
    } finally {
      room.give();
    }
    const edited = this.#edit(target, queue, change, true);
    done();
    return edited;
  }

  /** Finishes the moves that a kill cut in two. */
  finish(): void {
    this.#intents.finishAll(({ source, target, to, change }) => {
      // Elsewhere by now, or not begun: then there is nothing to finish.
      if (existsSync(source) && existsSync(target)) return;
      const said = (path: string) => readTask(dirname(path), basename(path), to)?.state.queue;
      if (change === undefined && existsSync(source) && said(source) === to) this.#disk.move(source, target);
      if (change !== undefined && existsSync(target) && said(target) !== to) this.#edit(target, to, change, true);
    });
  }

  /** Writes the state; returns the task as it is then, or null when its file is not to be touched. */
  #edit(path: string, queue: Queue, change: Settlement['state'], syncDir: boolean): Task | null {
    const stat = statSync(path, { throwIfNoEntry: false });
    const dir = dirname(path);
    const task = readTask(dir, basename(path), queue);
    // A link is never written through: its reason is what reading it says, and so is that of a huge file.
    if (!task || !stat?.isFile() || stat.size > COPY_MAX || UNTOUCHED.includes(task.refusal ?? '')) return null;
    const state: State = mergeState(this.#records.trusted(task), { ...change, queue, created_at: task.created_at });
    this.#disk.replace(path, withState(readRegular(path), state));
    if (syncDir) this.#disk.sync(dir);
    return { ...task, state };
  }
}
