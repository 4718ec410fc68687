// One look a second at the daemon: memory, descriptors, tasks that came to an end, and how long a dropped probe waited for its program.
import { readdirSync } from 'node:fs';
import { rssMb, wallMs } from '../measure.ts';
import type { Towpath } from '../workspace.ts';
import type { Random } from './random.ts';
import { filedFor, type Note, probe } from './work.ts';

export interface Sample {
  /** Seconds since the beginning. */
  at: number;
  /** 0: none ran, and then there is nothing to know of it. */
  pid: number;
  rss: number;
  descriptors: number;
  ended: number;
}

/** A probe: when it was dropped, s, and after how many ms its program ran. */
export interface Latency {
  at: number;
  ms: number;
}

export class Sampler {
  readonly samples: Sample[] = [];
  readonly latencies: Latency[] = [];
  readonly probes = new Map<string, string>();
  readonly #place: Towpath;
  readonly #began = wallMs();
  readonly #next: Random;
  readonly #side: string;
  readonly #waiting = new Map<string, number>();
  #staged: (() => number) | null = null;
  #id = '';

  constructor(place: Towpath, next: Random, side: string) {
    this.#place = place;
    this.#next = next;
    this.#side = side;
  }

  get seconds(): number {
    return (wallMs() - this.#began) / 1000;
  }

  look(): void {
    const { pid } = this.#place;
    const at = this.seconds;
    try {
      const dropped = (queue: string) => this.#place.names(queue).filter((id) => filedFor(id) === null).length;
      const ended = dropped('done') + dropped('failed');
      const descriptors = readdirSync(`/proc/${pid}/fd`).length;
      this.samples.push({ at, pid, rss: rssMb(pid), descriptors, ended });
    } catch {
      // The daemon or the queues are gone for a moment: there is nothing to see.
      this.samples.push({ at, pid: 0, rss: 0, descriptors: 0, ended: this.samples.at(-1)?.ended ?? 0 });
    }
  }

  /** Drops the probe that was staged at the last call, and stages the next one: a file that is moved at once after it was written looks half-written. */
  probe(): void {
    try {
      if (this.#staged) {
        this.#waiting.set(this.#id, this.#staged());
        this.#staged = null;
      }
      const { id, text } = probe(this.probes.size, this.#next, this.#side);
      this.#staged = this.#place.stage(id, text);
      this.#id = id;
      this.probes.set(id, text);
    } catch {
      // No room, or no queue: once more at the next call.
    }
  }

  /** The one that was staged last is not dropped any more. */
  endProbes(): void {
    if (this.#staged) this.probes.delete(this.#id);
    this.#staged = null;
  }

  started({ id, what, ms }: Note): void {
    const dropped = this.#waiting.get(id);
    if (what !== 'start' || dropped === undefined) return;
    this.#waiting.delete(id);
    this.latencies.push({ at: dropped / 1000 - this.#began / 1000, ms: ms - dropped });
  }
}
