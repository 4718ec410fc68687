// What a queue does, whichever engine holds the tasks. At-least-once: a claim is exclusive while its lock lives, every
// claim has a rising epoch, a result that carries an older epoch is refused, and settling twice is settling once.
import type { Identity } from '../process/identity.ts';
import {
  DEFAULT_ROLE,
  NO_TOKENS,
  type Queue,
  type State,
  type StateChange,
  type TaskJson,
  type TaskSpec,
} from '../task/terms.ts';

/** A task as the daemon works with it. */
export interface Task {
  id: string;
  title: string;
  queue: Queue;
  /** Absolute path of its file. */
  path: string;
  spec: TaskSpec;
  /** The user's frontmatter as they wrote it, without `towpath`. */
  data: Record<string, unknown>;
  body: string;
  state: State;
  /** Why it can never run as it stands; such a task has an empty spec. */
  refusal: string | null;
  created_at: string;
}

/** What is chosen by: all that is kept of a waiting task until it is claimed and read. */
export interface Choice {
  id: string;
  created_at: string;
  spec: Pick<
    TaskSpec,
    | 'priority'
    | 'role'
    | 'agent'
    | 'project'
    | 'repo'
    | 'complexity'
    | 'seniority'
    | 'model'
    | 'not_before'
    | 'depends_on'
    | 'on_dependency_failure'
  >;
  state: Pick<State, 'not_before' | 'outcome' | 'reason'>;
}

/** What a task is judged by before it may wait: of one that an earlier daemon read, only what choosing needs is known. */
export interface Vetted {
  id: string;
  spec: Choice['spec'] & Partial<TaskSpec>;
}

/** The JSON beside a claimed task: `queues/claimed/<id>.lock.json`. */
export interface Lock {
  version: 1;
  task: string;
  attempt: number;
  epoch: number;
  phase: Phase;
  owner: Identity;
  worker?: string;
  agent: AgentProcess | null;
  repo: string | null;
  worktree: string | null;
  branch: string | null;
  claimed_at: string;
  heartbeat_at: string;
}

export type Phase = 'prepare' | 'execute' | 'settle';

/** The running agent: the process itself, and the shim that keeps its exit code. */
export interface AgentProcess extends Identity {
  name: string;
  session: string | null;
  shim?: Identity;
}

/** A claimed task together with the lock that makes it ours. */
export interface Claim {
  task: Task;
  lock: Lock;
}

/** A claim found at the start: what to do with it depends on who is alive. `lock` is null when it is missing, `unreadable` when it cannot be read. */
export interface Leftover {
  id: string;
  task: Task | null;
  lock: Lock | null | 'unreadable';
}

/** Where a settled task goes, and what is written down with it. Members of `state` replace; undefined removes. */
export interface Settlement {
  to: Queue;
  state: StateChange;
}

export interface Submission {
  /** The whole file. */
  content: string | Uint8Array;
  /** The file's name, with `.md`; a taken stem gets `-2`, `-3` … */
  name: string;
}

/** `accepts` says null when the task may run now, else the reason why it waits. */
export interface ClaimOptions {
  owner: Identity;
  worker?: string;
  accepts: (task: Choice) => string | null;
  /** With it, ms, tasks that may not start yet are passed over unasked, and what is said of one task holds for all of its kind. */
  now?: number;
}

/** A hint that something may have changed in a queue; the truth is what a look shows. */
export type QueueHint = { queue: Queue; name?: string };

export interface QueuePort {
  /** Puts a new task into incoming, whole and synced. Returns its id. */
  submit(submission: Submission): Promise<string>;
  /** The best waiting task that `accepts` lets through, or null. */
  claim(options: ClaimOptions): Promise<Claim | null>;
  /** Writes a claim's lock anew (phase, agent, worktree …). Throws `wrong_state` when the claim is no longer ours. */
  renew(lock: Lock): Promise<void>;
  /** Ends a claim: writes state, moves the task, removes the lock. Refuses an older epoch with `wrong_state`. */
  settle(lock: Lock, settlement: Settlement): Promise<Task>;
  /** Moves a task that nobody has claimed (refused, accepted, retried, …). Throws `task_not_found` or `wrong_state`. */
  move(id: string, from: Queue | Queue[], settlement: Settlement): Promise<Task>;
  /** What an earlier daemon left claimed. */
  recover(): Promise<Leftover[]>;
  get(id: string): Promise<Task | null>;
  /** Tasks of one queue, or of all, in the order they would run. */
  list(queue?: Queue): Promise<Task[]>;
  /** How many tasks lie in each queue. Of a large one `known` is believed, if it says. */
  counts(known?: Partial<Record<Queue, number>>): Promise<Record<Queue, number>>;
  /** Hints until the returned function is called. `onLost` is told why there are none for a while, and null when there are again. */
  watch(onHint: (hint: QueueHint) => void, onLost?: (why: string | null) => void): Promise<() => Promise<void>>;
}

/** The task as users see it. */
export function toJson(task: Task, lock?: Lock | null): TaskJson {
  const { state, spec } = task;
  return {
    id: task.id,
    title: task.title,
    queue: task.queue,
    path: task.path,
    data: task.data,
    body: task.body,
    outcome: task.refusal ? 'refused' : (state.outcome ?? null),
    reason: task.refusal ?? state.reason ?? defaultReason(task),
    question: task.queue === 'blocked' && state.waits_for === 'answer' ? (state.question ?? null) : null,
    attempts: state.attempts ?? 0,
    branch: lock?.branch ?? state.branch ?? null,
    base: state.base ?? null,
    commit: state.commit ?? null,
    worktree: lock?.worktree ?? state.worktree ?? null,
    pr: state.pr ?? null,
    agent: lock?.agent?.name ?? state.agent ?? spec.agent ?? null,
    model: state.model ?? spec.model ?? null,
    role: state.role ?? spec.role ?? DEFAULT_ROLE,
    priority: spec.priority,
    session: lock?.agent?.session ?? state.session ?? null,
    cost_usd: state.cost_usd ?? null,
    tokens: state.tokens ?? NO_TOKENS,
    feedback: state.feedback ?? [],
    result: state.result ?? null,
    created_at: task.created_at,
    claimed_at: lock?.claimed_at ?? state.claimed_at ?? null,
    finished_at: state.finished_at ?? null,
  };
}

/** A task that a person moved into failed/ or blocked/ has no reason of its own. */
function defaultReason(task: Task): string | null {
  if (task.queue === 'failed') return 'moved to failed/ by hand; "towpath retry" runs it again';
  if (task.queue === 'blocked') return 'moved to blocked/ by hand; "towpath retry" or a move to incoming/ runs it';
  return null;
}
