// Waiting tasks by kind, each kind in running order, and those whose time has not come by when it comes: a round asks one of each kind.
import { Heap } from './heap.ts';
import { before, type Waiting } from './waiting.ts';

export class Lanes {
  readonly #lanes = new Map<string, Heap<Waiting>>();
  #now = 0;
  readonly #asleep = new Heap<Waiting>((a, b) => a.from - b.from || before(a, b));

  add(one: Waiting, now = Date.now()): void {
    one.asleep = one.from > now;
    if (one.asleep) {
      this.#asleep.push(one);
      return;
    }
    const lane = this.#lanes.get(one.kind) ?? new Heap<Waiting>(before);
    this.#lanes.set(one.kind, lane);
    lane.push(one);
  }

  remove(one: Waiting): void {
    one.gone = true;
    if (one.asleep) this.#asleep.lost();
    else this.#lanes.get(one.kind)?.lost();
  }

  /** The first of each kind that may start by now, in running order. */
  heads(now: number): Waiting[] {
    if (now < this.#now) this.#setBack(now);
    this.#now = now;
    for (let next = this.#asleep.top(); next && next.from <= now; next = this.#asleep.top())
      this.add(this.#asleep.pop()!, now);
    const heads: Waiting[] = [];
    for (const [kind, lane] of this.#lanes) {
      const head = lane.top();
      if (head) heads.push(head);
      else this.#lanes.delete(kind);
    }
    return heads.sort(before);
  }

  /** The clock went back: some are awake whose time has not come. */
  #setBack(now: number): void {
    for (const [kind, lane] of [...this.#lanes]) {
      const members = [...lane.members()];
      if (!members.some(({ from }) => from > now)) continue;
      this.#lanes.delete(kind);
      for (const one of members) this.add(one, now);
    }
  }

  /** When the next one wakes, ms; null when none sleeps. */
  get wakes(): number | null {
    return this.#asleep.top()?.from ?? null;
  }

  /** Those that sleep, in no order. */
  sleepers(): Iterable<Waiting> {
    return this.#asleep.members();
  }

  /** The first so many in running order that may start by now, then those that sleep, the soonest first. */
  first(count: number, now = Date.now()): Waiting[] {
    const found: Waiting[] = [];
    this.heads(now);
    for (const lane of this.#lanes.values()) {
      let left = count;
      for (const one of lane.inOrder()) {
        if (left-- === 0) break;
        found.push(one);
      }
    }
    found.sort(before);
    if (found.length < count)
      for (const one of this.#asleep.inOrder()) {
        if (found.length === count) break;
        found.push(one);
      }
    return found.slice(0, count);
  }
}
