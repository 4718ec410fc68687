// What Towpath privately knows of a task by its runs folder: which state to believe, which claim was left open, whose runs those are.
import { copyFileSync, existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { Workspace } from '../../paths.ts';
import { movedIn } from '../../task/state.ts';
import type { State } from '../../task/terms.ts';
import type { Lock, Task } from '../port.ts';
import { freePath } from './durable.ts';
import { statOf } from './read.ts';
import { ORIGIN_FILE } from './subtasks.ts';

export class Records {
  readonly #workspace: Workspace;

  constructor(workspace: Workspace) {
    this.#workspace = workspace;
  }

  /** The state to believe. In incoming it counts only where Towpath has claimed the task before: a dropped file must not bring its own. */
  trusted(task: Task): State {
    if (task.queue !== 'incoming' || Object.keys(task.state).length === 0) return task.state;
    if (existsSync(this.#workspace.runs(task.id))) return movedIn(task.state);
    return {};
  }

  /** The task with the state to believe; one whose state counts for nothing is as old as its file. */
  believed(task: Task): Task {
    const state = this.trusted(task);
    if (state === task.state || state.created_at !== undefined) return { ...task, state };
    const stat = statOf(task.path);
    return { ...task, state, ...(stat ? { created_at: new Date(Number(stat.mtimeMs)).toISOString() } : {}) };
  }

  /** The state of a claimed task. A claim that was cut off before it wrote down what state to believe does so now. */
  claimed(task: Task, lock: Lock): State {
    if (this.unsettled(task.id).epoch >= lock.epoch) return task.state;
    if (lock.epoch === 1) return Object.keys(task.state).length === 0 ? task.state : {};
    return movedIn(task.state);
  }

  /** The number of the next run: none that a folder has, also when its end was never written into the task. */
  nextRun(id: string, state: State): number {
    let run = (state.runs ?? 0) + 1;
    while (existsSync(this.#workspace.run(id, run))) run++;
    return run;
  }

  /** Makes the folder of a claimed task. `fresh`: the task never ran, so runs that lie there are of an earlier one of that name and must not pass for its own. */
  begin(id: string, fresh: boolean): void {
    const runs = this.#workspace.runs(id);
    if (fresh && existsSync(runs)) {
      const aside = join(dirname(runs), '.earlier');
      mkdirSync(aside, { recursive: true });
      renameSync(runs, freePath(join(aside, `${id}-${Date.now()}`)));
    }
    mkdirSync(runs, { recursive: true, mode: 0o700 });
    // A copy: killed before the claim, this is a fresh start again.
    const origin = this.#workspace.origin(id);
    if (existsSync(origin)) copyFileSync(origin, join(runs, ORIGIN_FILE));
  }

  /** Keeps the epoch of an open claim and its file: a person may move that away, and it tells nothing then. */
  remember({ task, epoch }: Lock): void {
    const file = fileOf(join(this.#workspace.queue('claimed'), `${task}.md`));
    try {
      writeFileSync(this.#mark(task), `${epoch} ${file}`, { mode: 0o600 });
    } catch {
      // Only a file that is moved by hand needs it.
    }
  }

  /** The claim that was not settled: epoch 0 and no file when there is none. */
  unsettled(id: string): { epoch: number; file: string } {
    try {
      const [epoch, file] = readFileSync(this.#mark(id), 'utf8').split(' ');
      return { epoch: Number(epoch) || 0, file: file ?? '' };
    } catch {
      return { epoch: 0, file: '' };
    }
  }

  settled(id: string): void {
    rmSync(this.#mark(id), { force: true });
    const origin = this.#workspace.origin(id);
    if (existsSync(origin)) rmSync(origin);
  }

  #mark(id: string): string {
    return join(this.#workspace.runs(id), 'unsettled');
  }
}

/** By what a file is known again under another name, or when its number is used again; `none` when it is gone. */
export function fileOf(path: string): string {
  const stat = statOf(path);
  return stat ? `${stat.ino}.${stat.birthtimeNs}` : 'none';
}
