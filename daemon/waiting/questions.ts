// Who waits for an answer, and since when: for the default answer, and for whoever asks what is asked.
import { epochMs } from '../clock.ts';
import type { State } from '../task/terms.ts';

/** A task that was answered by default so often and asks again needs a person: else it might ask for ever. */
const DEFAULTS_MOST = 3;

export class Questions {
  /** Since when, ms, by id; and whether the default answer may be given. */
  readonly #asked = new Map<string, { since: number; open: boolean }>();

  /** What the file of a task in blocked/ says now; null: it is there no more. */
  seen(id: string, state: State | null): void {
    if (state?.waits_for !== 'answer') return void this.#asked.delete(id);
    const told = epochMs(state.asked_at ?? state.claimed_at ?? '');
    const defaults = (state.feedback ?? []).filter(({ from }) => from === 'default').length;
    const since = told || (this.#asked.get(id)?.since ?? Date.now());
    this.#asked.set(id, { since, open: defaults < DEFAULTS_MOST });
  }

  /** Those who asked first. */
  first(count: number): string[] {
    const all = [...this.#asked].sort(([, a], [, b]) => a.since - b.since);
    return all.slice(0, count).map(([id]) => id);
  }

  /** Whether it has waited so long by now, ms. */
  isDue(id: string, after: number): boolean {
    const asked = this.#asked.get(id);
    return asked?.open === true && asked.since + after <= Date.now();
  }

  due(after: number): string[] {
    return [...this.#asked.keys()].filter((id) => this.isDue(id, after));
  }

  /** When the next one will have waited so long, ms; null when nobody waits. */
  next(after: number): number | null {
    let next: number | null = null;
    for (const { since, open } of this.#asked.values())
      if (open && since + after < (next ?? Number.POSITIVE_INFINITY)) next = since + after;
    return next;
  }
}
