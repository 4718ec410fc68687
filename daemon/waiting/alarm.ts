// Wakes the loop at the earliest time that it was asked for.

/** Not longer than this, ms: the clock may be set meanwhile. */
const LONGEST_MS = 60_000;

export class Alarm {
  readonly #ring: () => void;
  #timer: NodeJS.Timeout | null = null;
  #at = 0;

  constructor(ring: () => void) {
    this.#ring = ring;
  }

  /** Rings in so many ms, or earlier. */
  in(ms: number): void {
    const wait = Math.min(ms, LONGEST_MS);
    const at = performance.now() + wait;
    if (this.#timer && this.#at <= at) return;
    this.stop();
    this.#at = at;
    this.#timer = setTimeout(() => {
      this.#timer = null;
      this.#ring();
    }, wait);
  }

  stop(): void {
    if (this.#timer) clearTimeout(this.#timer);
    this.#timer = null;
  }
}
