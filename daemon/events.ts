// The one map of what happens: log, ledger, stream, notify hooks and the terminal are mere listeners of it.
import { EventEmitter } from 'node:events';
import { now } from './clock.ts';
import { redactAll } from './secrets.ts';
import type { Outcome, Queue } from './task/terms.ts';

/** One sentence an event. `task` is always the id. Every member is data, safe to log: no prompt, no secret. */
export interface EventMap {
  /** The daemon took the workspace. */
  daemon_started: { pid: number; version: string };
  /** The daemon let go of the workspace. */
  daemon_stopped: { reason: string };
  /** Claiming stopped for a fault of the machine or by an operator, and why. */
  claiming_paused: { reason: string };
  claiming_resumed: Record<string, never>;
  /** The settings were read again: the keys that serve from now on, and those that do after a restart. */
  settings_reloaded: { changed: string[]; after_restart: string[] };
  /** A task went from one queue to another. */
  transition: {
    task: string;
    from: Queue | null;
    to: Queue;
    outcome?: Outcome | undefined;
    reason?: string | undefined;
  };
  /** A run began: the agent is about to be started. */
  attempt_started: {
    task: string;
    attempt: number;
    agent: string;
    model: string | null;
    role: string;
    branch: string | null;
    resumed: boolean;
    /** The model server that it was sent to. */
    endpoint?: string | undefined;
    project?: string | undefined;
  };
  /** A run ended, with what it used. Durations in ms; cost null when not told. */
  attempt_finished: {
    task: string;
    attempt: number;
    outcome: Outcome;
    reason: string;
    agent: string;
    model: string | null;
    role: string;
    duration_ms: number;
    input: number;
    output: number;
    cache_read: number;
    cache_write: number;
    cost_usd: number | null;
    /** Whose budget it counts against. */
    project?: string | undefined;
  };
  /** A line of what an agent does, for people; not kept in the ledger (the run's folder has all of it). */
  agent_output: { task: string; attempt: number; kind: string; text: string };
  /** A limit, a refused key or an empty account closed an agent or a model server; until null: until a person opens it. */
  agent_closed: { agent: string; until: string | null; reason: string };
  /** It answers again, or a person opened it. */
  agent_opened: { agent: string };
  /** A hook ran. */
  hook_finished: {
    task: string | null;
    /** Which event of the hooks: `pre_task` … */
    moment: string;
    hook: string;
    ok: boolean;
    decision: string;
    reason: string;
    duration_ms: number;
  };
  /** A line that a hook printed. */
  hook_output: { task: string | null; moment: string; hook: string; text: string };
  /** A check ran in a task's worktree. */
  check_finished: {
    task: string;
    attempt: number;
    command: string;
    code: number | null;
    ok: boolean;
    duration_ms: number;
    tree: string | null;
    /** The role of the agent that brought the command; without it the check is the user's own. */
    by?: string | undefined;
  };
  /** A gate filed a task for an agent: a review, a fix or tests of `parent`. */
  helper_filed: { task: string; kind: 'review' | 'fix' | 'test'; parent: string };
  /** A patch for a failed check was tried, or could not be. */
  fix_finished: { task: string; attempt: number; outcome: 'helped' | 'rolled_back' | 'refused'; reason: string };
  /** What a tester brought was run, or could not be. */
  test_finished: { task: string; attempt: number; outcome: 'passed' | 'failed' | 'refused'; reason: string };
  /** A failed hook asks the operator. */
  operator_asked: { task: string; moment: string; reason: string };
  /** Something odd that a person should know of, without a change of state. */
  warning: { task?: string; message: string };
}

export type EventName = keyof EventMap;
export type TowpathEvent = { [K in EventName]: { at: string; event: K } & EventMap[K] }[EventName];

/** Emits and subscribes; a listener that throws never stops the one who emitted. */
export class Events {
  #emitter = new EventEmitter({ captureRejections: false }).setMaxListeners(50);

  emit<K extends EventName>(event: K, data: EventMap[K]): void {
    const record = redactAll({ at: now(), event, ...data } as TowpathEvent);
    for (const listener of this.#emitter.listeners('event')) {
      try {
        (listener as (e: TowpathEvent) => void)(record);
      } catch (thrown) {
        process.emitWarning(`a listener of "${event}" failed: ${String(thrown)}`);
      }
    }
  }

  /** Returns the function that ends the subscription. */
  on(listener: (event: TowpathEvent) => void): () => void {
    this.#emitter.on('event', listener);
    return () => void this.#emitter.off('event', listener);
  }
}
