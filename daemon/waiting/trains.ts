// Accepted results on their way: one train for each repository and base branch, and pull requests that are being opened.
import type { Context } from '../attempt/context.ts';
import { messageOf } from '../errors.ts';
import { isTold, openPull } from '../gate/pull/pull.ts';
import { keyOf, type Line, lineOf } from '../gate/train/riders.ts';
import { runTrain } from '../gate/train/train.ts';
import type { Task } from '../queue/port.ts';
import { worktreesDir } from '../settings.ts';
import { sweepTrains } from '../worktree/train.ts';
import type { Job } from './job.ts';

/** What broke off for a fault of the machine is tried again so much later, ms. */
const LATER_MS = 5000;
/** How often it is looked whether the repository's own tree is free, ms. */
const LOOK_MS = 100;

/** The scheduler, as far as it is needed here. */
interface Around {
  /** Who works here. */
  readonly atWork: readonly Job[];
  readonly holds: { blame(thrown: unknown): unknown };
  /** A task has gone on. */
  ended(id: string, task: Task): void;
  /** Something may start, at once or in so many ms. */
  nudge(ms?: number): void;
}

export class Trains {
  readonly #ctx: Context;
  readonly #around: Around;
  readonly #running = new Map<string, { abort: AbortController; done: Promise<void> }>();
  readonly #cools = new Map<string, number>();
  /** Repositories in whose own tree something is merged, or is about to be. */
  readonly #held: Job[] = [];
  #swept = false;

  constructor(ctx: Context, around: Around) {
    this.#ctx = ctx;
    this.#around = around;
  }

  get busy(): boolean {
    return this.#running.size > 0 || this.#cools.size > 0;
  }

  /** Each keeps minor tasks out of a tree, as another minor task would. */
  get jobs(): readonly Job[] {
    return this.#held;
  }

  /** Starts what may start: `merge` and `pr` are those that wait for it. */
  depart(merge: readonly Task[], pr: readonly Task[]): void {
    if (!this.#swept) this.#start('sweep', (ctx) => this.#sweep(ctx));
    for (const task of this.#swept ? this.#due(merge) : []) {
      const line = lineOf(this.#ctx, task.id);
      if (line) this.#start(`merge ${keyOf(line)}`, (ctx, signal) => this.#train(ctx, line, signal));
    }
    for (const task of this.#due(pr.filter((one) => !isTold(this.#ctx, one))))
      this.#start(`pr ${task.id}`, async (ctx, signal) => {
        const waiting = await openPull(ctx, task.id, signal);
        if (waiting) this.#around.ended(task.id, waiting);
      });
  }

  /** Those that need not wait any longer; the others are looked at again when their time has come. */
  #due(tasks: readonly Task[]): Task[] {
    return tasks.filter(({ state }) => {
      const wait = state.not_before ? Date.parse(state.not_before) - Date.now() : 0;
      if (wait > 0) this.#around.nudge(wait);
      return wait <= 0;
    });
  }

  /** Calls all of them off. */
  end(): void {
    for (const { abort } of this.#running.values()) abort.abort('stop');
  }

  async done(): Promise<void> {
    await Promise.all([...this.#running.values()].map(({ done }) => done));
  }

  #start(key: string, work: (ctx: Context, signal: AbortSignal) => Promise<void>): void {
    if (this.#running.has(key) || this.#cools.has(key)) return;
    const abort = new AbortController();
    // A copy: settings that are reloaded meanwhile are for what starts then.
    const done = work({ ...this.#ctx }, abort.signal)
      .catch((thrown: unknown) => {
        if (abort.signal.aborted) return;
        this.#around.holds.blame(thrown);
        this.#ctx.events.emit('warning', { message: `an accepted result was held up: ${messageOf(thrown)}` });
        const timer = setTimeout(() => {
          this.#cools.delete(key);
          this.#around.nudge();
        }, LATER_MS);
        this.#cools.set(key, Number(timer));
      })
      .then(() => {
        this.#running.delete(key);
        this.#around.nudge();
      });
    this.#running.set(key, { abort, done });
  }

  /** What trains of an earlier daemon left when they were killed goes before another departs. */
  async #sweep(ctx: Context): Promise<void> {
    await sweepTrains(worktreesDir(ctx.settings, ctx.workspace)).catch((thrown: unknown) =>
      ctx.events.emit('warning', { message: `what an earlier train left could not be removed: ${messageOf(thrown)}` }),
    );
    this.#swept = true;
  }

  #train(ctx: Context, line: Line, signal: AbortSignal): Promise<void> {
    return runTrain(ctx, line, {
      signal,
      left: (task) => this.#around.ended(task.id, task),
      alone: (repo, work) => this.#alone(repo, signal, work),
    });
  }

  /** A minor task's agent in the tree would take what is merged for its own work: each waits for the other. */
  async #alone<T>(repo: string, signal: AbortSignal, work: () => Promise<T>): Promise<T> {
    const own = `merge into ${repo}`;
    const job: Job = {
      ...{ id: own, agent: '', role: '', repo, minor: true, endpoint: null, claim: null },
      ...{ abort: new AbortController(), done: Promise.resolve() },
    };
    this.#held.push(job);
    try {
      while (this.#around.atWork.some(({ minor, repo: at }) => minor && at === repo)) {
        if (signal.aborted) throw new Error('called off');
        await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
      }
      return await work();
    } finally {
      this.#held.splice(this.#held.indexOf(job), 1);
      this.#around.nudge();
    }
  }
}
