// The queue port in memory: what the contract suite holds the real engines against, and a queue for tests that need no folders.
import { now } from '../../daemon/clock.ts';
import { TowpathError } from '../../daemon/errors.ts';
import type {
  Claim,
  ClaimOptions,
  Leftover,
  Lock,
  QueueHint,
  QueuePort,
  Settlement,
  Submission,
  Task,
} from '../../daemon/queue/port.ts';
import { parseTask, titleOf, withState } from '../../daemon/task/file.ts';
import { idProblem } from '../../daemon/task/schema.ts';
import { mergeState } from '../../daemon/task/state.ts';
import { QUEUES, type Queue } from '../../daemon/task/terms.ts';

interface Kept {
  queue: Queue;
  bytes: Uint8Array;
  submitted_at: string;
}

export class MemoryQueue implements QueuePort {
  readonly #tasks = new Map<string, Kept>();
  /** The last epoch of each id that was claimed: the state in its bytes is the queue's own from then on. */
  readonly #epochs = new Map<string, number>();
  readonly #locks = new Map<string, Lock | 'unreadable'>();
  readonly #watchers = new Set<(hint: QueueHint) => void>();

  async submit({ content, name }: Submission): Promise<string> {
    const bytes = Buffer.from(content);
    const { spec, refusal } = parseTask(bytes);
    const stem = name.replace(/\.md$/, '');
    const problem = refusal ?? (spec.id ? null : idProblem(stem));
    if (problem) throw new TowpathError('task_refused', `${name}: ${problem}`);
    if (spec.id && this.#tasks.has(spec.id)) throw new TowpathError('task_refused', `${name}: "${spec.id}" is taken`);
    const id = spec.id ?? this.#freeId(stem);
    this.put('incoming', id, bytes);
    return id;
  }

  async claim({ owner, worker, accepts }: ClaimOptions): Promise<Claim | null> {
    for (const task of await this.list('incoming')) {
      if (this.#locks.has(task.id) || accepts(task) !== null) continue;
      const at = now();
      const lock: Lock = {
        ...{
          version: 1,
          task: task.id,
          attempt: (task.state.runs ?? 0) + 1,
          epoch: (this.#epochs.get(task.id) ?? 0) + 1,
        },
        ...{ phase: 'prepare', owner, ...(worker ? { worker } : {}), agent: null },
        ...{ repo: null, worktree: null, branch: null, claimed_at: at, heartbeat_at: at },
      };
      const kept = this.#tasks.get(task.id)!;
      const foreign = !this.#epochs.has(task.id) && Object.keys(parseTask(kept.bytes).state).length > 0;
      this.#epochs.set(task.id, lock.epoch);
      this.#locks.set(task.id, lock);
      this.#place(task.id, foreign ? { ...kept, bytes: withState(kept.bytes, {}) } : kept, 'claimed');
      return { task: this.#read(task.id)!, lock: { ...lock } };
    }
    return null;
  }

  async renew(lock: Lock): Promise<void> {
    if (!this.#isOurs(lock)) throw lost(lock);
    this.#locks.set(lock.task, { ...lock, heartbeat_at: now() });
  }

  async settle(lock: Lock, settlement: Settlement): Promise<Task> {
    const task = this.#read(lock.task);
    if (!this.#isOurs(lock)) {
      if (task && task.queue !== 'claimed' && task.state.epoch === lock.epoch) return task;
      throw lost(lock);
    }
    const { to, state } = settlement;
    const settled = this.#transfer(lock.task, ['claimed'], { to, state: { ...state, epoch: lock.epoch } });
    this.#locks.delete(lock.task);
    return settled;
  }

  async move(id: string, from: Queue | Queue[], settlement: Settlement): Promise<Task> {
    return this.#transfer(id, [from].flat(), settlement);
  }

  async recover(): Promise<Leftover[]> {
    const claimed = [...this.#tasks].flatMap(([id, { queue }]) => (queue === 'claimed' ? [id] : []));
    return [...new Set([...claimed, ...this.#locks.keys()])].map((id) => ({
      id,
      task: claimed.includes(id) ? this.#read(id) : null,
      lock: this.#locks.get(id) ?? null,
    }));
  }

  async get(id: string): Promise<Task | null> {
    return this.#read(id);
  }

  async list(queue?: Queue): Promise<Task[]> {
    const rank = (task: Task) => [
      QUEUES.indexOf(task.queue),
      task.queue === 'incoming' ? task.spec.priority : '',
      task.created_at,
      task.id,
    ];
    const tasks = [...this.#tasks.keys()].flatMap((id) => this.#read(id) ?? []);
    return tasks
      .filter((task) => queue === undefined || task.queue === queue)
      .map((task) => ({ task, rank: rank(task) }))
      .sort((a, b) => {
        const at = a.rank.findIndex((value, n) => value !== b.rank[n]);
        return at >= 0 && a.rank[at]! < b.rank[at]! ? -1 : 1;
      })
      .map(({ task }) => task);
  }

  async counts(): Promise<Record<Queue, number>> {
    const all = [...this.#tasks.values()];
    const pairs = QUEUES.map((queue) => [queue, all.filter((kept) => kept.queue === queue).length]);
    return Object.fromEntries(pairs) as Record<Queue, number>;
  }

  async watch(onHint: (hint: QueueHint) => void): Promise<() => Promise<void>> {
    this.#watchers.add(onHint);
    return async () => void this.#watchers.delete(onHint);
  }

  /** As a person puts a file into a folder; null takes it away. */
  put(queue: Queue, id: string, bytes: Uint8Array | null): void {
    if (bytes) this.#place(id, { queue, bytes, submitted_at: now() }, queue);
    else this.#tasks.delete(id);
  }

  /** The lock as a crash may leave it; null takes it away. */
  setLock(id: string, lock: 'unreadable' | null): void {
    if (lock) this.#locks.set(id, lock);
    else this.#locks.delete(id);
  }

  bytesOf(id: string): Uint8Array | null {
    return this.#tasks.get(id)?.bytes ?? null;
  }

  #transfer(id: string, from: Queue[], { to, state }: Settlement): Task {
    const task = this.#read(id);
    const kept = this.#tasks.get(id);
    if (!task || !kept) throw new TowpathError('task_not_found', `no task "${id}"`);
    if (!from.includes(task.queue)) throw new TowpathError('wrong_state', `"${id}" is in ${task.queue}/`);
    const merged = mergeState(task.state, { ...state, queue: to, created_at: task.created_at });
    this.#place(id, { ...kept, bytes: withState(kept.bytes, merged) }, to);
    return this.#read(id)!;
  }

  #place(id: string, kept: Kept, to: Queue): void {
    const from = this.#tasks.get(id)?.queue;
    this.#tasks.set(id, { ...kept, queue: to });
    for (const queue of new Set([from ?? to, to])) for (const tell of this.#watchers) tell({ queue, name: `${id}.md` });
  }

  #read(id: string): Task | null {
    const kept = this.#tasks.get(id);
    if (!kept) return null;
    const { spec, data, body, state, refusal, ...rest } = parseTask(kept.bytes);
    return {
      ...{ id, title: titleOf({ spec, data, body, state, refusal, ...rest }) ?? id, queue: kept.queue },
      ...{ path: `memory:/${kept.queue}/${id}.md`, spec, data, body, refusal },
      state: kept.queue !== 'incoming' || this.#epochs.has(id) ? state : {},
      created_at: state.created_at ?? kept.submitted_at,
    };
  }

  #freeId(stem: string): string {
    for (let n = 1; ; n++) {
      const id = n === 1 ? stem : `${stem}-${n}`;
      if (!this.#tasks.has(id)) return id;
    }
  }

  #isOurs({ task, epoch, owner }: Lock): boolean {
    const held = this.#locks.get(task);
    return held !== undefined && held !== 'unreadable' && held.epoch === epoch && held.owner.pid === owner.pid;
  }
}

const lost = ({ task, epoch }: Lock): TowpathError =>
  new TowpathError('wrong_state', `the claim of "${task}" (epoch ${epoch}) is no longer ours`);
