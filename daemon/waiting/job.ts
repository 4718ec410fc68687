// A task at work in this process, and which of them it takes.
import type { Claim } from '../queue/port.ts';

/** A task at work in this process: an attempt, its gate, or both in a row. */
export interface Job {
  id: string;
  agent: string;
  role: string;
  repo: string;
  minor: boolean;
  /** The model server that it was sent to. */
  endpoint: string | null;
  abort: AbortController;
  /** Null while only its gate runs. */
  claim: Claim | null;
  done: Promise<void>;
}

export interface SchedulerOptions {
  worker?: string;
  /** Only tasks of this role. */
  role?: string;
  /** One task, then no more. */
  single: boolean;
}
