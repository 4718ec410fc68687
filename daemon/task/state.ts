// The `towpath:` key as it is read back: each member that does not fit is dropped, none can break the daemon.
import { z } from 'zod';
import { handMove } from './states.ts';
import { OUTCOMES, QUEUES, type Queue, type State, type StateChange, WAITS_FOR } from './terms.ts';

const tokens = z.object({ input: z.number(), output: z.number(), cache_read: z.number(), cache_write: z.number() });
const whole = z.number().int().nonnegative();

const members = {
  queue: z.enum(QUEUES),
  outcome: z.enum(OUTCOMES),
  reason: z.string(),
  waits_for: z.enum(WAITS_FOR),
  awaits: z.array(z.string()),
  question: z.string(),
  asked_at: z.string(),
  attempts: whole,
  runs: whole,
  spent_run: whole,
  asked_again: whole,
  transients: whole,
  crashes: whole,
  epoch: whole,
  not_before: z.string(),
  agent: z.string(),
  model: z.string(),
  role: z.string(),
  session: z.string(),
  branch: z.string(),
  base: z.string(),
  commit: z.string(),
  worktree: z.string(),
  pr: z.string(),
  feedback: z.array(z.object({ from: z.string(), message: z.string(), at: z.string(), attempt: whole.optional() })),
  last_error: z.string(),
  last_tree: z.string(),
  resolved: z.object({ event: z.string(), decision: z.enum(['retry', 'skip']) }),
  skipped: z.boolean(),
  result: z.unknown(),
  cost_usd: z.number(),
  tokens,
  created_at: z.string(),
  claimed_at: z.string(),
  finished_at: z.string(),
  wrapped: z.boolean(),
} satisfies Record<keyof State, z.ZodType>;

/** The state in a task file, as far as it fits. */
export function readState(raw: unknown): State {
  if (typeof raw !== 'object' || raw === null || Array.isArray(raw)) return {};
  const state: Record<string, unknown> = {};
  for (const [key, schema] of Object.entries(members)) {
    const value = (raw as Record<string, unknown>)[key];
    if (value === undefined) continue;
    const parsed = schema.safeParse(value);
    if (parsed.success) state[key] = parsed.data;
  }
  return state as State;
}

/** A state with changes: undefined removes a member. */
export function mergeState(state: State, change: StateChange): State {
  const merged = Object.entries({ ...state, ...change }).filter(([, value]) => value !== undefined);
  return Object.fromEntries(merged) as State;
}

/** What a fresh start does without: attempts and all that led to them. Feedback, session and branch stay. */
export const FRESH: StateChange = {
  attempts: 0,
  outcome: undefined,
  reason: undefined,
  spent_run: undefined,
  transients: undefined,
  crashes: undefined,
  not_before: undefined,
  waits_for: undefined,
  awaits: undefined,
  question: undefined,
  asked_at: undefined,
  last_error: undefined,
  last_tree: undefined,
  resolved: undefined,
  skipped: undefined,
  finished_at: undefined,
};

/** What a task does without that begins anew, as if it had never run: also what came of it. What it cost stays. */
export const ANEW: StateChange = {
  ...FRESH,
  runs: undefined,
  session: undefined,
  feedback: undefined,
  result: undefined,
  branch: undefined,
  base: undefined,
  commit: undefined,
  worktree: undefined,
  pr: undefined,
};

/** The state of a task that a person moved into incoming, as the command would have left it: retry, or reject. */
export function movedIn(state: State): State {
  const meant = handMove(state.queue, 'incoming');
  if (meant === 'retry') return mergeState(state, FRESH);
  if (meant !== 'reject') return state;
  const feedback = {
    from: 'human',
    message: 'The result was sent back by hand, without a word.',
    at: new Date().toISOString(),
  };
  return mergeState(state, {
    outcome: 'rejected',
    reason: undefined,
    waits_for: undefined,
    awaits: undefined,
    feedback: [...(state.feedback ?? []), { ...feedback, ...(state.runs ? { attempt: state.runs } : {}) }],
  });
}

/** What a person decided who moved a task out of another queue: as the command would have left it, accepted, cancelled or paused. */
export function movedOut(to: Queue, id: string): StateChange {
  const nobody = { waits_for: undefined, awaits: undefined };
  const finished_at = new Date().toISOString();
  if (to === 'done') return { ...nobody, outcome: 'ok', reason: undefined, finished_at };
  if (to === 'failed') return { ...nobody, outcome: 'cancelled', reason: 'moved to failed/ by hand', finished_at };
  if (to !== 'blocked') return {};
  const reason = `moved to blocked/ by hand; "towpath resume ${id}" or a move to incoming/ lets it go on`;
  return { ...nobody, reason, waits_for: 'paused' };
}
