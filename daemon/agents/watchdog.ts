// Tells a run that hangs from one that works in silence: no event, no open tool call, no CPU, I/O or context switch in its whole tree.
import type { Identity } from '../process/identity.ts';
import { treeOf } from '../process/tree.ts';
import { treeUsage } from '../process/usage.ts';

export interface Health {
  /** ISO time of the last output. */
  last_output: string | null;
  /** ISO time of the last sign of life of any kind. */
  last_sign: string;
  cpu_ms: number;
  io_bytes: number;
  switches: number;
  processes: number;
}

export interface WatchdogOptions {
  marker: string;
  root: Identity;
  total_ms: number;
  stuck_ms: number;
  first_output_ms: number;
  started_at: number;
}

/** A tree is measured this often, ms; less often than output is read, since it costs a look at every process. */
const SAMPLE_MS = 15_000;

export class Watchdog {
  readonly health: Health;
  readonly #options: WatchdogOptions;
  #sawOutput = false;
  #lastSign = Date.now();
  #lastSample = Date.now();
  #lastCheck = Date.now();
  /** Time that counts: what passed while the machine slept does not. */
  #elapsed: number;

  constructor(options: WatchdogOptions) {
    this.#options = options;
    this.#elapsed = Math.max(0, Date.now() - options.started_at);
    this.health = {
      last_output: null,
      last_sign: new Date().toISOString(),
      cpu_ms: 0,
      io_bytes: 0,
      switches: 0,
      processes: 0,
    };
  }

  /** To be called often. Says why the run must end, or null. */
  check(output: boolean, openTools: number): 'timeout' | 'stuck' | null {
    const { total_ms, stuck_ms, first_output_ms } = this.#options;
    const now = Date.now();
    const passed = now - this.#lastCheck;
    this.#lastCheck = now;
    // A gap far beyond our own rhythm, or a clock set back, is the machine's doing: no agent is blamed for it.
    if (passed < 0 || passed > 30_000) this.#lastSign = now;
    else this.#elapsed += passed;
    if (this.#elapsed > total_ms) return 'timeout';
    if (output) {
      this.#sawOutput = true;
      this.health.last_output = new Date(now).toISOString();
    }
    if (output || openTools > 0) this.#sign(now);
    if (!this.#sawOutput && this.#elapsed > first_output_ms) return 'stuck';
    if (now - this.#lastSample >= Math.min(SAMPLE_MS, stuck_ms / 4)) {
      this.#lastSample = now;
      this.#sample(now);
    }
    return now - this.#lastSign > stuck_ms ? 'stuck' : null;
  }

  #sign(now: number): void {
    this.#lastSign = now;
    this.health.last_sign = new Date(now).toISOString();
  }

  #sample(now: number): void {
    const usage = treeUsage(treeOf({ root: this.#options.root, marker: this.#options.marker }));
    const { cpu_ms, io_bytes, switches, processes } = this.health;
    if (
      usage.cpu_ms !== cpu_ms ||
      usage.io_bytes !== io_bytes ||
      usage.switches !== switches ||
      usage.processes !== processes
    )
      this.#sign(now);
    Object.assign(this.health, {
      cpu_ms: usage.cpu_ms,
      io_bytes: usage.io_bytes,
      switches: usage.switches,
      processes: usage.processes,
    });
  }
}
