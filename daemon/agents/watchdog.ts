// Tells a run that hangs from one that works in silence: no event, no open tool call, no CPU, I/O or context switch in its whole tree.
import { formatDuration, now as isoNow } from '../clock.ts';
import { collectShared, type Target } from '../process/tree.ts';
import { sum, type Usage, usageOf } from '../process/usage.ts';
import { type Health, unseen, writeHealth } from './kept.ts';
import type { Idle } from './port.ts';

export interface WatchdogOptions {
  /** Where what was seen is written down. */
  dir: string;
  target: Target;
  /** The pid of its shim, which is no part of the agent. */
  shim?: number | undefined;
  total_ms: number;
  stuck_ms: number;
  first_output_ms: number;
  /** How long it has run already, under an earlier daemon. */
  elapsed_ms: number;
  /** What the agent's own runtime does when it only waits; default: nothing at all. */
  idle?: Idle | undefined;
  /** It looks as if it hung, and what was seen. */
  onSuspect: (what: string) => void;
}

/** A tree is measured this often, ms; less often than output is read, since it costs a look at every process. */
const SAMPLE_MS = 15_000;
/** The first looks come sooner: who leaves its parents and its environment behind is known only if it was seen before. */
const EARLY_MS = [500, 1000, 2000, 4000, 8000];
/** Between two checks no more than this is counted: beyond it the machine slept, or we did, and nobody is blamed for it, ms. */
const STEP_MS = 2000;
/** What an idle runtime does comes in bursts: it is granted so many seconds' worth more. */
const BURST_S = 10;

export class Watchdog {
  readonly health: Health = unseen(isoNow());
  readonly #options: WatchdogOptions;
  /** Time that counts, by a clock that nobody sets. */
  #elapsed: number;
  #lastCheck = performance.now();
  #lastSign: number;
  #sawOutput = false;
  #warned = false;
  #early = 0;
  #slot: number;
  #sampled: number;
  #usage: Map<number, Usage> | undefined;
  #members = new Map<number, string>();

  constructor(options: WatchdogOptions) {
    this.#options = options;
    this.#elapsed = options.elapsed_ms;
    this.#lastSign = options.elapsed_ms;
    this.#sampled = performance.now();
    this.#slot = this.#slotOf(this.#sampled);
    this.#members = new Map(options.target.known);
  }

  get elapsed_ms(): number {
    return this.#elapsed;
  }

  /** Everyone who was seen and lived at the last look. */
  get members(): ReadonlyMap<number, string> {
    return this.#members;
  }

  /** To be called often. `event` is the kind of the last one. Says why the run must end, or null. */
  check(output: boolean, openTools: number, event: string | null = null): 'timeout' | 'stuck' | null {
    const { total_ms, stuck_ms, first_output_ms } = this.#options;
    const now = performance.now();
    this.#elapsed += Math.min(now - this.#lastCheck, STEP_MS);
    this.#lastCheck = now;
    this.health.open_tools = openTools;
    this.health.last_event = event ?? this.health.last_event;
    if (output) {
      this.#sawOutput = true;
      this.health.last_output = isoNow();
    }
    if (output || openTools > 0) this.#sign();
    if (this.#elapsed > total_ms) return 'timeout';
    if (this.#due(now)) this.#sample(now);
    if (!this.#sawOutput && this.#elapsed > first_output_ms) return 'stuck';
    const silent = this.#elapsed - this.#lastSign;
    if (silent > stuck_ms) {
      // It may have stirred since the last look.
      this.#sample(now);
      return this.#elapsed - this.#lastSign > stuck_ms ? 'stuck' : null;
    }
    if (!this.#warned) this.#warn(silent);
    return null;
  }

  #warn(silent: number): void {
    const { stuck_ms, first_output_ms, onSuspect } = this.#options;
    const mute = !this.#sawOutput && this.#elapsed > first_output_ms / 2;
    if (!mute && silent <= stuck_ms / 2) return;
    this.#warned = true;
    const seen = `${this.health.processes} processes, ${this.health.cpu_percent} % of a core`;
    onSuspect(
      mute
        ? `no output in ${formatDuration(this.#elapsed)} (${seen}): at ${formatDuration(first_output_ms)} it is ended as stuck (timeouts.first_output)`
        : `no sign of life for ${formatDuration(silent)}: no output, no open tool call, no activity (${seen}); at ${formatDuration(stuck_ms)} it is ended as stuck (timeouts.stuck)`,
    );
  }

  #sign(): void {
    this.#lastSign = this.#elapsed;
    this.health.last_sign = isoNow();
    if (this.#sawOutput) this.#warned = false;
  }

  /** Runs are measured at the same moments, so that they share the look at the machine. */
  #due(now: number): boolean {
    const early = EARLY_MS[this.#early];
    if (early !== undefined && this.#elapsed - this.#options.elapsed_ms >= early) {
      this.#early += 1;
      return true;
    }
    return this.#slotOf(now) !== this.#slot;
  }

  #slotOf = (now: number): number => Math.floor(now / Math.min(SAMPLE_MS, this.#options.stuck_ms / 4));

  #sample(now: number): void {
    this.#slot = this.#slotOf(now);
    const { target, dir, shim } = this.#options;
    let found: Map<number, string>;
    try {
      found = collectShared({ ...target, known: this.#members });
    } catch {
      // No file descriptor left: what cannot be seen proves nothing.
      this.#sign();
      return;
    }
    if (shim !== undefined) found.delete(shim);
    const usage = usageOf([...found.keys()]);
    const seconds = (now - this.#sampled) / 1000;
    const before = this.#usage;
    const came = [...found].some(([pid, started]) => this.#members.get(pid) !== started);
    const went = [...this.#members.keys()].some((pid) => !found.has(pid));
    if (!before || came || went || this.#worked(before, usage, seconds)) this.#sign();
    const all = sum(usage.values());
    const cpu = before && seconds > 0.1 ? (all.cpu_ms - sum(before.values()).cpu_ms) / (seconds * 10) : 0;
    Object.assign(this.health, all, { seen_at: isoNow(), cpu_percent: Math.max(0, Math.round(cpu * 10) / 10) });
    this.#usage = usage;
    this.#members = found;
    this.#sampled = now;
    writeHealth(dir, this.health, found);
  }

  /** Member by member: the sum can stay the same, or fall, while one works and another ends. */
  #worked(before: Map<number, Usage>, after: Map<number, Usage>, seconds: number): boolean {
    const { idle } = this.#options;
    const grown = { cpu_ms: 0, io_bytes: 0, switches: 0 };
    for (const [pid, usage] of after)
      for (const key of Object.keys(grown) as (keyof typeof grown)[])
        grown[key] += Math.max(0, usage[key] - (before.get(pid)?.[key] ?? 0));
    return (Object.keys(grown) as (keyof typeof grown)[]).some(
      (key) => grown[key] > (idle ? idle[key] * (seconds + BURST_S) : 0),
    );
  }
}
