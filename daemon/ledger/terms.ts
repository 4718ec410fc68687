// What the ledger answers: the shapes of its rows and of its sums.
import type { Outcome, Queue, Tokens } from '../task/terms.ts';

/** One event as it was emitted; `data` is all of it but `at`, `event` and `task`. */
export interface LedgerEvent {
  id: number;
  at: string;
  event: string;
  task: string | null;
  data: Record<string, unknown>;
}

/** One run of an agent; `outcome` is null while it runs (or when its end was never seen). */
export interface Attempt {
  task: string;
  attempt: number;
  agent: string;
  model: string | null;
  role: string;
  outcome: Outcome | null;
  reason: string | null;
  started_at: string;
  finished_at: string | null;
  duration_ms: number | null;
  tokens: Tokens;
  cost_usd: number | null;
}

export interface CheckRow {
  at: string;
  task: string;
  attempt: number;
  command: string;
  code: number | null;
  ok: boolean;
  duration_ms: number;
  tree: string | null;
}

/** Runs that share a day, a project, an agent, a role or a model. */
export interface StatsGroup {
  key: string;
  runs: number;
  /** Runs whose end was not seen yet. */
  open: number;
  outcomes: Partial<Record<Outcome, number>>;
  tokens: Tokens;
  cost_usd: number;
  /** Runs that told no cost, though they ended. */
  cost_unknown: number;
  duration_ms: number;
}

/** What a task that reached done took in all, over every run it had. */
export interface AcceptedTask {
  task: string;
  runs: number;
  cost_usd: number;
  /** Runs of it that told no cost. */
  cost_unknown: number;
  duration_ms: number;
  done_at: string;
}

export interface Stats {
  since: string | null;
  total: StatsGroup;
  by_day: StatsGroup[];
  /** `(none)` for runs of no project. */
  by_project: StatsGroup[];
  by_agent: StatsGroup[];
  by_role: StatsGroup[];
  by_model: StatsGroup[];
  /** How many tasks reached each queue. */
  reached: Partial<Record<Queue, number>>;
  /** Patches for failed checks; those that were refused were not tried. */
  fixes: { tried: number; helped: number; rolled_back: number; refused: number };
  accepted: { tasks: AcceptedTask[]; cost_usd: number; cost_per_task_usd: number | null };
}

/** What one run used, for the budgets: USD (null: not told) and tokens of all classes. */
export interface RunCost {
  agent: string;
  role: string;
  usd: number | null;
  tokens: number;
  project?: string | undefined;
}
