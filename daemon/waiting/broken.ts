// Work that broke off for a fault of the machine: it keeps its tree and its slot until it is entered again, a little later.
import type { Job } from './job.ts';

/** So much later, ms. */
const LATER_MS = 5000;

export class Broken {
  readonly #jobs = new Map<string, { job: Job; cools: boolean }>();
  readonly #enter: (id: string) => Promise<void>;
  readonly #waits: (id: string) => Promise<boolean>;

  /** `enter` begins what may begin again; `waits`: it is still there to be entered. */
  constructor(enter: (id: string) => Promise<void>, waits: (id: string) => Promise<boolean>) {
    this.#enter = enter;
    this.#waits = waits;
  }

  get jobs(): Job[] {
    return [...this.#jobs.values()].map(({ job }) => job);
  }

  /** It is not to be entered yet. */
  cools(id: string): boolean {
    return this.#jobs.get(id)?.cools ?? false;
  }

  add(job: Job): void {
    this.#jobs.set(job.id, { job, cools: true });
    this.#later(job.id);
  }

  /** It is at work again. */
  taken(id: string): void {
    this.#jobs.delete(id);
  }

  #later(id: string): void {
    setTimeout(() => void this.#again(id), LATER_MS);
  }

  async #again(id: string): Promise<void> {
    const broken = this.#jobs.get(id);
    if (!broken) return;
    broken.cools = false;
    await this.#enter(id);
    if (this.#jobs.get(id) !== broken) return;
    // A gate may wait for a slot, or the fault lasts; what a person took elsewhere is no longer ours.
    if (await this.#waits(id)) this.#later(id);
    else this.#jobs.delete(id);
  }
}
