// What each outcome leads to: the next queue, whether it spends an attempt, whether its reason is told to the next one.
import { createHash } from 'node:crypto';
import type { Outcome, Queue, WaitsFor } from './terms.ts';

export interface Consequence {
  to: Queue;
  /** Counts against max_attempts. */
  spends: boolean;
  /** The reason becomes feedback in the next prompt. */
  feedback: boolean;
  /** How long the next run waits: by attempts spent, by transients in a row, until the agent reopens, or not at all. */
  wait: 'attempts' | 'transients' | 'limit' | 'none';
  waits_for?: WaitsFor;
}

const again = { to: 'incoming', spends: true, feedback: true, wait: 'attempts' } as const;
const final = { to: 'failed', spends: false, feedback: false, wait: 'none' } as const;

/** The table of the contract, section 4. `ok` leads to the gate. */
export const CONSEQUENCES: Readonly<Record<Outcome, Consequence>> = {
  ok: { to: 'provisional', spends: true, feedback: false, wait: 'none' },
  check_failed: again,
  rejected: again,
  no_changes: again,
  failed: again,
  timeout: again,
  stuck: again,
  max_turns: again,
  context_exceeded: again,
  conflict: again,
  transient: { to: 'incoming', spends: false, feedback: false, wait: 'transients' },
  rate_limited: { to: 'incoming', spends: false, feedback: false, wait: 'limit' },
  auth: { to: 'blocked', spends: false, feedback: false, wait: 'none', waits_for: 'operator' },
  billing: { to: 'blocked', spends: false, feedback: false, wait: 'none', waits_for: 'operator' },
  budget: { to: 'blocked', spends: false, feedback: false, wait: 'none', waits_for: 'operator' },
  needs_input: { to: 'blocked', spends: false, feedback: false, wait: 'none', waits_for: 'answer' },
  crashed: { to: 'incoming', spends: false, feedback: false, wait: 'none' },
  refused: final,
  cancelled: final,
};

/** Transients in a row that together spend one attempt. */
export const TRANSIENTS_PER_ATTEMPT = 10;
/** Crashes of daemon or machine in a row after which a task is taken for poison. */
export const CRASHES_UNTIL_POISON = 3;

/** Exponential backoff: initial · 2^(n-1), at most max, in ms; `jitter` in [0, 1) takes up to half of it off. */
export function backoff(n: number, initial: number, max: number, jitter = 0): number {
  const full = Math.min(max, initial * 2 ** Math.min(30, Math.max(0, n - 1)));
  return Math.round(full * (1 - jitter / 2));
}

/** Times, durations, hashes and temporary paths: what differs between two runs of the same failure. Counts stay: 3 failures are not 1. */
const FLEETING =
  /\d{4}-\d\d-\d\dT?[\d:., ]*Z?|\b\d\d?:\d\d(:\d\d)?([.,]\d+)?\b|\b\d+([.,]\d+)?\s?(ms|s|sec|seconds|min)\b|\b(0x)?[0-9a-f]{7,}\b|\/(tmp|var\/folders)\/\S+|\bpid \d+/gi;

/** By what the same failure is known again. */
export function fingerprint(outcome: Outcome, message: string): string {
  const lasting = message.replace(FLEETING, '#').replace(/\s+/g, ' ');
  return `${outcome}:${createHash('sha256').update(lasting).digest('hex').slice(0, 16)}`;
}
