// The output of a running agent: its lines are read as they come, and of more than the limit the middle is cut out.
import { statfsSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { type Cuts, cutOf, punch, readCuts, writeCuts } from '../process/cut.ts';
import { type Follower, follow, type Place } from '../process/lines.ts';
import type { AgentEvent, Reader } from './port.ts';

export interface OutputLimits {
  /** Of each of stdout and stderr so much is kept, bytes. */
  keep: number;
  /** While less of the disk is free, nobody may go far beyond that, bytes. */
  disk_free: number;
}

/** So much is read before the files are looked at again. */
const STEP = 16 * 1024 * 1024;
/** Where nothing can be cut out, or we are too slow, so many times the limit is bearable. */
const FAR = 10;

interface Kept {
  place: Place;
  /** Where it was in stderr, for a reader that reads it. */
  errors?: Place;
  state: unknown;
}

/** Follows one run's stdout, and its stderr where the reader wants it. What an earlier daemon cut out is not missed: it left what its reader knew. */
export class Output {
  readonly #dir: string;
  readonly #reader: Reader;
  readonly #limits: OutputLimits;
  readonly #lines: Follower;
  readonly #errors: Follower | undefined;
  #cuts: Cuts;
  /** Why nothing can be cut out. */
  #unable: string | null = null;

  constructor(dir: string, reader: Reader, limits: OutputLimits, onEvent: (event: AgentEvent) => void) {
    this.#dir = dir;
    this.#reader = reader;
    this.#limits = limits;
    this.#cuts = readCuts(dir);
    const kept = this.#cuts.reader as Kept | undefined;
    if (kept) reader.restore(kept.state);
    const tell = (events: AgentEvent[] = []) => {
      for (const event of events) onEvent(event);
    };
    this.#lines = follow(join(dir, 'stdout'), { from: kept?.place, onLine: (line) => tell(reader.line(line)) });
    if (reader.errorLine)
      this.#errors = follow(join(dir, 'stderr'), {
        from: kept?.errors,
        onLine: (line) => tell(reader.errorLine?.(line)),
      });
  }

  /** Reads what came since; resolves with the number of lines. */
  async poll(): Promise<number> {
    const sizes = [this.#stat('stdout').size, this.#stat('stderr').size] as const;
    let lines = 0;
    do {
      lines += await this.#lines.poll(STEP);
      lines += (await this.#errors?.poll(STEP)) ?? 0;
      await this.#trim();
    } while (this.#lines.at < sizes[0] || (this.#errors && this.#errors.at < sizes[1]));
    return lines;
  }

  /** The same once nobody writes any more, with a last line that has no newline. */
  async end(): Promise<void> {
    await this.poll();
    await this.#lines.end();
    await this.#errors?.end();
  }

  /** Why the run must end: it has written far beyond the limit, and the disk cannot bear it. */
  get over(): string | null {
    const { keep, disk_free } = this.#limits;
    const kept = Math.max(this.#kept('stdout'), this.#kept('stderr'));
    if (kept <= keep * FAR) return null;
    const much = `it printed ${megabytes(kept)}, and limits.run_output is ${megabytes(keep)}`;
    if (this.#unable !== null) return `${much}: nothing can be cut out here (${this.#unable})`;
    const { bavail, bsize } = statfsSync(this.#dir);
    return bavail * bsize < disk_free ? `${much}: it prints faster than it can be read, and the disk is full` : null;
  }

  #stat = (name: 'stdout' | 'stderr'): { size: number } =>
    statSync(join(this.#dir, name), { throwIfNoEntry: false }) ?? { size: 0 };

  #kept(name: 'stdout' | 'stderr'): number {
    const cut = this.#cuts[name];
    return this.#stat(name).size - (cut ? cut.to - cut.from : 0);
  }

  async #trim(): Promise<void> {
    for (const name of ['stdout', 'stderr'] as const) {
      if (this.#unable !== null) return;
      const { size } = this.#stat(name);
      const reads = name === 'stdout' ? this.#lines : this.#errors;
      const cut = cutOf(size, reads?.at ?? size, this.#limits.keep, this.#cuts[name]);
      if (!cut) continue;
      const errors = this.#errors ? { errors: this.#errors.place } : {};
      const reader = { place: this.#lines.place, ...errors, state: this.#reader.state } satisfies Kept;
      const cuts = { ...this.#cuts, [name]: cut, ...(reads ? { reader } : {}) };
      try {
        writeCuts(this.#dir, cuts);
        this.#unable = await punch(join(this.#dir, name), cut);
        if (this.#unable === null) this.#cuts = cuts;
        else writeCuts(this.#dir, this.#cuts);
      } catch {
        // A full disk: tried again at the next look.
        return;
      }
    }
  }
}

const megabytes = (bytes: number): string => `${Math.round(bytes / 1e6)} MB`;
