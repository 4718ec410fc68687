// An eight-hour run compressed to minutes: thousands of tasks, random faults from a seed, a look a second, and what must hold at the end.
import { execFile } from 'node:child_process';
import { mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { wallMs } from '../measure.ts';
import { BIN, makeRepo, Towpath, tempDir } from '../workspace.ts';
import { type Disk, disk } from './disk.ts';
import { type Fault, inflict, inTurn } from './faults.ts';
import { Notes } from './notes.ts';
import { random } from './random.ts';
import { type Latency, type Sample, Sampler } from './sampler.ts';
import { furnish, type Note, SETTINGS, task } from './work.ts';

/** Tasks that lie in incoming at the same time, about. */
const BACKLOG = 40;
/** After this share of the tasks no daemon is killed any more: the last one lives through all other faults, and must not grow. */
const KILLS_UNTIL = 0.4;
/** Nothing ended for so long: it never will, ms. */
const PATIENCE_MS = 120_000;
const TICK_MS = 50;
const LOOK_MS = 1000;

export interface Mark {
  what: Fault;
  /** Seconds since the beginning. */
  at: number;
  /** Wall time of its begin and end, ms. */
  from: number;
  to: number;
}

/** All that is known at the end. */
export interface Record {
  place: Towpath;
  tasks: Map<string, string>;
  notes: Notes;
  killed: Set<string>;
  samples: Sample[];
  latencies: Latency[];
  marks: Mark[];
  seconds: number;
  problems: string[];
}

export interface Options {
  tasks: number;
  seed: number;
  /** Tasks between two faults. */
  every: number;
}

/** Plays it; `judge` looks at the workspace once the daemon has left. */
export async function soak<T>(options: Options, judge: (record: Record) => Promise<T>): Promise<T> {
  const place = disk();
  try {
    return await new Soak(options, place).play(judge);
  } finally {
    place.remove();
  }
}

class Soak {
  readonly #options: Options;
  readonly #disk: Disk;
  readonly #place: Towpath;
  readonly #side = tempDir();
  readonly #next;
  readonly #notes: Notes;
  readonly #sampler: Sampler;
  readonly #tasks = new Map<string, string>();
  readonly #earlier: string[] = [];
  readonly #killed = new Set<string>();
  readonly #marks: Mark[] = [];
  readonly #problems: string[] = [];
  #staged: { id: string; drop: () => number }[] = [];
  #dropped = 0;
  #over = false;

  constructor(options: Options, where: Disk) {
    this.#options = options;
    this.#disk = where;
    this.#next = random(options.seed);
    const root = join(where.dir, 'ws');
    mkdirSync(root);
    this.#place = new Towpath(SETTINGS, root);
    makeRepo(this.#place.path('project'));
    furnish(this.#place, this.#side);
    this.#notes = new Notes(join(this.#side, 'ledger'));
    this.#sampler = new Sampler(this.#place, random(options.seed + 1), this.#side);
  }

  async play<T>(judge: (record: Record) => Promise<T>): Promise<T> {
    try {
      await this.#place.start();
      const beside = [this.#feed(), this.#sample(), this.#answer()];
      const ending = this.#faults().then(() => this.#end());
      // Those beside end last, unless one of them throws.
      await Promise.race([Promise.all(beside), ending]);
      this.#over = true;
      await Promise.all(beside);
      await this.#place.stop();
      this.#notes.read();
      return await judge({
        ...{ place: this.#place, tasks: new Map([...this.#tasks, ...this.#sampler.probes]), notes: this.#notes },
        ...{ killed: this.#killed, samples: this.#sampler.samples, latencies: this.#sampler.latencies },
        ...{ marks: this.#marks, seconds: this.#sampler.seconds },
        problems: [...this.#problems, ...this.#notes.doubles],
      });
    } finally {
      this.#over = true;
      await this.#place.stop({ now: true });
    }
  }

  get #ended(): number {
    return this.#sampler.samples.at(-1)?.ended ?? 0;
  }

  /** Keeps incoming filled; what cannot be written or moved now is tried again. */
  async #feed(): Promise<void> {
    for (; !this.#over; await sleep(TICK_MS)) {
      for (const note of this.#notes.read()) this.#sampler.started(note);
      try {
        while (this.#staged.length > 0) {
          const { id, drop } = this.#staged[0]!;
          drop();
          this.#staged.shift();
          this.#dropped++;
          if (id.startsWith('ok-')) this.#earlier.push(id);
        }
        const waiting = readdirSync(this.#place.path('queues/incoming')).filter((name) => !name.startsWith('limit'));
        for (let n = waiting.length; n < BACKLOG && this.#dropped + this.#staged.length < this.#options.tasks; n++)
          this.#stage();
      } catch {
        // The disk is full or the queue is gone.
      }
    }
  }

  #stage(): void {
    const n = this.#tasks.size;
    const { id, text } = task(n, this.#next, this.#side, this.#earlier.slice(-50));
    const drop = this.#place.stage(id, text);
    this.#tasks.set(id, text);
    this.#staged.push({ id, drop });
  }

  async #sample(): Promise<void> {
    for (; !this.#over; await sleep(LOOK_MS)) {
      this.#sampler.look();
      if (this.#dropped < this.#options.tasks) this.#sampler.probe();
      else this.#sampler.endProbes();
    }
  }

  /** A person who answers what is asked, and opens an agent again when all else is done. */
  async #answer(): Promise<void> {
    const say = (...args: string[]) =>
      promisify(execFile)(BIN, [...args, '--workspace', this.#place.root]).catch(() => {});
    for (let n = 0; !this.#over; n++) {
      await sleep(500);
      const asked = this.#names('blocked').filter((id) => id.startsWith('ask'));
      for (const id of asked) {
        writeFileSync(join(this.#side, 'answered', id), '');
        await say('answer', id, '-m', 'that way');
      }
      const left = this.#names('incoming');
      if (n % 10 === 0 && this.#dropped === this.#options.tasks && left.some((id) => id.startsWith('limit')))
        await say('resume', 'limited');
    }
  }

  #names(queue: string): string[] {
    try {
      return readdirSync(this.#place.path('queues', queue)).map((name) => name.slice(0, -3));
    } catch {
      return [];
    }
  }

  async #faults(): Promise<void> {
    const { every, tasks } = this.#options;
    const turn = inTurn(this.#next);
    for (let due = every; due < tasks * 0.95; due += every) {
      while (this.#ended < due && this.#dropped < tasks) await sleep(TICK_MS);
      const drawn = turn.next().value;
      const what = drawn === 'daemon killed' && due > tasks * KILLS_UNTIL ? 'agent killed' : drawn;
      if (what === 'disk full' && !this.#disk.full) continue;
      const [at, from] = [this.#sampler.seconds, wallMs()];
      await inflict(what, {
        ...{ place: this.#place, disk: this.#disk, next: this.#next },
        open: () => this.#notes.open.filter(({ id }) => !this.#killed.has(id)),
        killed: ({ id }: Note) => this.#killed.add(id),
      });
      this.#marks.push({ what, at, from, to: wallMs() });
      const { child } = this.#place;
      if (child?.exitCode !== null || child.signalCode !== null)
        throw new Error(`the daemon ended by itself: ${this.#place.said}`);
    }
  }

  /** Until all tasks have come to an end, or none does any more. */
  async #end(): Promise<void> {
    let most = -1;
    for (let since = Date.now(); this.#dropped < this.#options.tasks || this.#ended < this.#all; await sleep(200)) {
      if (this.#ended > most) {
        most = this.#ended;
        since = Date.now();
      } else if (Date.now() - since > PATIENCE_MS) {
        this.#problems.push(`${this.#all - most} tasks never ended`);
        return;
      }
    }
  }

  get #all(): number {
    return this.#tasks.size + this.#sampler.probes.size;
  }
}
