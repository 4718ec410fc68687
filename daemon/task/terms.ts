// The words of a task: queues, outcomes, what the daemon writes down, and the shape that users see as JSON.

export const QUEUES = ['incoming', 'claimed', 'provisional', 'done', 'blocked', 'failed'] as const;
export type Queue = (typeof QUEUES)[number];

/** How a run ended, decided from exit codes, structured events, git and the checks. */
export const OUTCOMES = [
  'ok',
  'check_failed',
  'rejected',
  'no_changes',
  'failed',
  'timeout',
  'stuck',
  'max_turns',
  'context_exceeded',
  'transient',
  'rate_limited',
  'auth',
  'billing',
  'budget',
  'needs_input',
  'conflict',
  'crashed',
  'refused',
  'cancelled',
] as const;
export type Outcome = (typeof OUTCOMES)[number];

export type Priority = 'P0' | 'P1' | 'P2' | 'P3';
export type Seniority = 'junior' | 'senior' | 'principal';
/** `none`, `human`, `agent` (the role `reviewer`), a role, or several of them. */
export type Review = string | string[];
/** What becomes of a branch that is accepted: it is kept, merged into its base, or offered as a pull request. */
export const ON_ACCEPT = ['branch', 'merge', 'pr'] as const;
export type OnAccept = (typeof ON_ACCEPT)[number];
/** Who answers a failed check: the agent that did the work, or first one that writes a patch, and where it is asked for a test of it. */
export const FIXES = ['none', 'patch', 'patch_with_test'] as const;
export type FixMode = (typeof FIXES)[number];

/** Tokens by class; a class that an agent does not tell is 0. */
export interface Tokens {
  input: number;
  output: number;
  cache_read: number;
  cache_write: number;
}

/** The role that a task has when it names none. */
export const DEFAULT_ROLE = 'implementer';

export const NO_TOKENS: Tokens = { input: 0, output: 0, cache_read: 0, cache_write: 0 };

/** One piece of feedback for the next attempt. `from` names the source: `check`, `gate`, `review`, `human`, `answer`, `default`, `agent`, `towpath`. */
export interface Feedback {
  from: string;
  message: string;
  at: string;
  /** The run that it speaks of. */
  attempt?: number;
}

/**
 * What a task waits for. `operator` waits for `resolve` or `retry`, `paused` for `resume`; `merge` and `pr` in provisional/ for
 * the train or the pull request, in blocked/ for `accept`, which tries it once more.
 */
export const WAITS_FOR = [
  'dependencies',
  'answer',
  'operator',
  'hook',
  'paused',
  'review',
  'fix',
  'test',
  'merge',
  'pr',
] as const;
export type WaitsFor = (typeof WAITS_FOR)[number];

/** The user's frontmatter after checking: defaults that need no settings are filled in, the others stay undefined. */
export interface TaskSpec {
  id?: string;
  title?: string;
  role?: string;
  seniority: Seniority;
  complexity: 'major' | 'minor';
  priority: Priority;
  project?: string;
  repo?: string;
  base?: string;
  agent?: string;
  model?: string;
  skills?: string[];
  mcp?: unknown;
  temperature?: number;
  max_turns?: number;
  depends_on: string[];
  on_dependency_failure: 'hold' | 'cancel' | 'run';
  checks?: Check[];
  review?: Review;
  fix?: FixMode;
  on_accept?: OnAccept;
  expect?: 'changes' | 'any';
  /** ms */
  timeout?: number;
  max_attempts?: number;
  budget_usd?: number;
  /** ISO date; a duration in the file counts from the file's own time. */
  not_before?: string;
  output_schema?: string | Record<string, unknown>;
  /** What agent `pattern` runs, with `inputs`. */
  pattern?: string;
  inputs?: Record<string, unknown>;
  outputs?: unknown;
}

/** A check: one line for `sh -c`, or an argv. Always the user's own words, nothing is pasted in. */
export type Check = string | string[];

/** The `towpath:` key: all that the daemon writes into a task file. Every member is optional; snake case is the file's form. */
export interface State {
  /** The queue that the last transition led to; a file that lies elsewhere was moved by hand. */
  queue?: Queue;
  outcome?: Outcome;
  reason?: string;
  waits_for?: WaitsFor;
  /** The tasks that its gate has filed and waits for: reviews, a fix, or tests; none while it waits for a person. */
  awaits?: string[];
  question?: string;
  /** Since when it waits for an answer. */
  asked_at?: string;
  /** Attempts spent. */
  attempts?: number;
  /** Runs made, also those that spent no attempt: the number of the run's folder. */
  runs?: number;
  /** The run that was counted last: settling it again, or its gate, does not count it twice. */
  spent_run?: number;
  /** The run whose answer did not fit its schema, and that is asked once more. */
  asked_again?: number;
  /** Transient ends in a row, and crashes in a row. */
  transients?: number;
  crashes?: number;
  epoch?: number;
  not_before?: string;
  agent?: string;
  model?: string;
  role?: string;
  session?: string;
  branch?: string;
  base?: string;
  commit?: string;
  worktree?: string;
  /** The address of its pull request. */
  pr?: string;
  feedback?: Feedback[];
  /** Fingerprints of the last failure and of the last tree: the same one twice over stops the retries. */
  last_error?: string;
  last_tree?: string;
  /** What an operator decided about a failed hook: carried out at the next run, then dropped. */
  resolved?: { event: string; decision: 'retry' | 'skip' };
  /** A step of a workflow that did not run: its condition did not hold, or what it takes was never made. */
  skipped?: boolean;
  result?: unknown;
  cost_usd?: number;
  tokens?: Tokens;
  created_at?: string;
  claimed_at?: string;
  finished_at?: string;
  /** The front matter could not be read, so this block was put before the untouched file. */
  wrapped?: boolean;
}

/** A change of state: undefined removes a member. */
export type StateChange = { [K in keyof State]?: State[K] | undefined };

/** A task as JSON: `show --json`, `list --json`, API, hooks. `data` is the user's frontmatter. */
export interface TaskJson {
  id: string;
  title: string;
  queue: Queue;
  path: string;
  data: Record<string, unknown>;
  body: string;
  outcome: Outcome | null;
  reason: string | null;
  /** What it asks a person, while it waits for the answer. */
  question: string | null;
  attempts: number;
  branch: string | null;
  base: string | null;
  commit: string | null;
  worktree: string | null;
  /** The address of its pull request. */
  pr: string | null;
  agent: string | null;
  model: string | null;
  role: string | null;
  priority: Priority;
  session: string | null;
  cost_usd: number | null;
  tokens: Tokens;
  feedback: Feedback[];
  result: unknown;
  created_at: string | null;
  claimed_at: string | null;
  finished_at: string | null;
}
