// How a run ended becomes where its task goes: the outcome table applied to one task. Pure.
import type { Verdict } from '../agents/port.ts';
import type { Settlement } from '../queue/port.ts';
import { headChars } from '../task/cut.ts';
import { backoff, CONSEQUENCES, CRASHES_UNTIL_POISON, fingerprint, TRANSIENTS_PER_ATTEMPT } from '../task/outcome.ts';
import type { Feedback, Outcome, State, Tokens, WaitsFor } from '../task/terms.ts';

/** The end of a run or of a gate. `hold` and `later` are no outcomes: a hook or a fault of the place put the task off. */
export type Ending =
  | {
      kind: 'outcome';
      outcome: Outcome;
      reason: string;
      feedback?: string;
      from?: string;
      tree?: string;
      /** The commit that it was tried on: the same failure on another one is another failure. */
      base?: string;
      verdict?: Verdict;
    }
  | { kind: 'hold'; reason: string; waits_for: WaitsFor; outcome?: Outcome }
  | { kind: 'later'; reason: string; delay_ms: number | null }
  /** The work stands, its answer does not fit: the session is asked once more, and no attempt is spent. */
  | { kind: 'ask'; reason: string };

export interface Policy {
  max_attempts: number;
  initial: number;
  max: number;
  now: number;
  /** In [0, 1). */
  jitter: number;
}

/** The policy of now, by the settings. */
export const policyOf = (retry: { initial: number; max: number }, max_attempts: number): Policy => ({
  max_attempts,
  initial: retry.initial,
  max: retry.max,
  now: Date.now(),
  jitter: Math.random(),
});

const FEEDBACK_KEPT = 10;
const FEEDBACK_CHARS = 8000;
const REASON_CHARS = 1000;

export const failure = (
  outcome: Outcome,
  reason: string,
  more: Partial<Extract<Ending, { kind: 'outcome' }>> = {},
): Ending => ({
  kind: 'outcome',
  outcome,
  reason,
  ...more,
});

/** Where a task goes and what is written down, by its state so far and its ending. */
export function decide(state: State, run: number | null, ending: Ending, policy: Policy): Settlement {
  if (ending.kind === 'hold')
    return {
      to: 'blocked',
      state: {
        ...{ reason: clip(ending.reason), waits_for: ending.waits_for, not_before: undefined },
        ...(ending.outcome ? { outcome: ending.outcome } : {}),
      },
    };
  if (ending.kind === 'later') {
    const delay = ending.delay_ms ?? policy.initial;
    return {
      to: 'incoming',
      state: { reason: clip(ending.reason), not_before: new Date(policy.now + delay).toISOString() },
    };
  }
  if (ending.kind === 'ask')
    return {
      to: 'incoming',
      state: {
        reason: clip(ending.reason),
        not_before: undefined,
        asked_again: run ?? undefined,
        feedback: addFeedback(state.feedback, { reason: ending.reason, from: 'schema' }, policy.now, run),
      },
    };
  const { outcome } = ending;
  const means = CONSEQUENCES[outcome];
  const transients = outcome === 'transient' ? (state.transients ?? 0) + 1 : 0;
  const crashes = outcome === 'crashed' ? (state.crashes ?? 0) + 1 : 0;
  const overflow = transients >= TRANSIENTS_PER_ATTEMPT || crashes >= CRASHES_UNTIL_POISON;
  const fresh = run === null || run !== state.spent_run;
  const spends = (means.spends && fresh) || overflow;
  const attempts = (state.attempts ?? 0) + (spends ? 1 : 0);
  const verdict = ending.verdict;
  const error = fingerprint(outcome, ending.feedback ?? ending.reason) + (ending.base ? `@${ending.base}` : '');
  const again = means.to === 'incoming' && (means.spends || overflow);
  const sameError = again && outcome !== 'rejected' && state.last_error === error;
  const sameTree = again && ending.tree !== undefined && state.last_tree === ending.tree;
  const spent = again && attempts >= policy.max_attempts;
  const why = sameError
    ? 'the same error twice over'
    : sameTree
      ? 'the same diff twice over'
      : spent
        ? `${attempts} of ${policy.max_attempts} attempts spent`
        : '';
  const to = why ? 'failed' : means.to;
  const reason = why ? `${ending.reason || outcome} (${why})` : ending.reason;
  const waiting =
    to === 'incoming'
      ? notBefore(ending.verdict?.retry_at ?? null, means.wait, attempts, transients, policy)
      : undefined;
  return {
    to,
    state: {
      outcome,
      reason: reason ? clip(reason) : undefined,
      waits_for: to === 'blocked' ? means.waits_for : undefined,
      question: outcome === 'needs_input' ? (verdict?.question ?? ending.reason) : undefined,
      asked_at: outcome === 'needs_input' ? new Date(policy.now).toISOString() : undefined,
      attempts,
      ...(spends && run !== null ? { spent_run: run } : {}),
      transients: transients && !overflow ? transients : undefined,
      crashes: crashes && !overflow ? crashes : undefined,
      asked_again: undefined,
      not_before: waiting,
      ...(again ? { last_error: error, ...(ending.tree ? { last_tree: ending.tree } : {}) } : {}),
      ...(means.feedback ? { feedback: addFeedback(state.feedback, ending, policy.now, run) } : {}),
      ...(to === 'failed' ? { finished_at: new Date(policy.now).toISOString() } : {}),
      // What the operator decided about a gate hook is for the gate that comes now.
      resolved: outcome === 'ok' && state.resolved?.event === 'gate' ? state.resolved : undefined,
    },
  };
}

/** What a run used, added to what the task used before. */
export function addUsage(state: State, verdict: Verdict): Pick<State, 'tokens' | 'cost_usd'> {
  const { cost_usd, ...tokens } = verdict.usage;
  if (!cost_usd && Object.values(tokens).every((amount) => amount === 0)) return {};
  const sum = { ...(state.tokens ?? { input: 0, output: 0, cache_read: 0, cache_write: 0 }) };
  for (const key of Object.keys(sum) as (keyof Tokens)[]) sum[key] += tokens[key];
  const cost = cost_usd === null ? state.cost_usd : Number(((state.cost_usd ?? 0) + cost_usd).toFixed(6));
  return { tokens: sum, ...(cost === undefined ? {} : { cost_usd: cost }) };
}

export function addFeedback(
  known: Feedback[] | undefined,
  ending: { feedback?: string; reason: string; from?: string },
  at: number,
  run: number | null,
): Feedback[] {
  const message = headChars(ending.feedback ?? ending.reason, FEEDBACK_CHARS);
  const entry = {
    from: ending.from ?? 'towpath',
    message,
    at: new Date(at).toISOString(),
    ...(run ? { attempt: run } : {}),
  };
  return [...(known ?? []), entry].slice(-FEEDBACK_KEPT);
}

function notBefore(
  retryAt: string | null,
  wait: 'attempts' | 'transients' | 'limit' | 'none',
  attempts: number,
  transients: number,
  policy: Policy,
): string | undefined {
  if (retryAt) return retryAt;
  if (wait === 'attempts') return later(policy, backoff(attempts, policy.initial, policy.max));
  if (wait === 'transients') return later(policy, backoff(transients, policy.initial, policy.max, policy.jitter));
  return undefined;
}

const later = (policy: Policy, ms: number): string => new Date(policy.now + ms).toISOString();
const clip = (text: string): string => (text.length > REASON_CHARS ? `${headChars(text, REASON_CHARS)} …` : text);
