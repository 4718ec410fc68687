// How many tasks lie in folders that are too large to be counted at every question: counted now and then, in pieces, and kept by what moves between.
import { opendir } from 'node:fs/promises';
import { errno } from '../../errors.ts';
import type { Workspace } from '../../paths.ts';
import { QUEUES, type Queue } from '../../task/terms.ts';
import { isTaskName, someTaskNames, statOf } from './read.ts';

/** Smaller folders are counted by whoever asks. */
export const LARGE = 5000;
/** A folder that changed is counted again after so many times what it took, and after this long at least, ms. */
const SHARE = 500;
const LEAST_MS = 60_000;
/** Entries read at a time. */
const BATCH = 2048;

interface Counted {
  count: number;
  mtime: bigint;
  at: number;
  took: number;
}

export class Counter {
  readonly #workspace: Workspace;
  readonly #counted = new Map<Queue, Counted>();

  constructor(workspace: Workspace) {
    this.#workspace = workspace;
  }

  /** The large ones; `incoming` is known better by who watches it. */
  get large(): Partial<Record<Queue, number>> {
    return Object.fromEntries([...this.#counted].map(([queue, { count }]) => [queue, count]));
  }

  moved(from: Queue | null, to: Queue): void {
    for (const [queue, by] of [
      [from, -1],
      [to, 1],
    ] as const) {
      const counted = queue && this.#counted.get(queue);
      if (counted) counted.count += by;
    }
  }

  /** Counts what is large and has changed. */
  async refresh(): Promise<void> {
    for (const queue of QUEUES) if (queue !== 'incoming') await this.#count(queue);
  }

  async #count(queue: Queue): Promise<void> {
    const dir = this.#workspace.queue(queue);
    const known = this.#counted.get(queue);
    const mtime = statOf(dir)?.mtimeNs ?? 0n;
    if (known && (known.mtime === mtime || Date.now() - known.at < Math.max(LEAST_MS, known.took * SHARE))) return;
    this.#counted.delete(queue);
    if (someTaskNames(dir, LARGE).length < LARGE) return;
    const began = Date.now();
    try {
      let count = 0;
      for await (const entry of await opendir(dir, { bufferSize: BATCH })) if (isTaskName(entry.name)) count++;
      this.#counted.set(queue, { count, mtime, at: Date.now(), took: Date.now() - began });
    } catch (thrown) {
      if (errno(thrown) !== 'ENOENT') throw thrown;
    }
  }
}
