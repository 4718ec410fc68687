// The queue as folders: the folder is the state, a rename the transition, and ENOENT a lost race.
import { existsSync, readdirSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { now } from '../../clock.ts';
import { errno, TowpathError } from '../../errors.ts';
import type { Workspace } from '../../paths.ts';
import { withState } from '../../task/file.ts';
import { handMove } from '../../task/states.ts';
import type { Queue } from '../../task/terms.ts';
import type {
  Choice,
  Claim,
  ClaimOptions,
  Leftover,
  Lock,
  QueueHint,
  QueuePort,
  Settlement,
  Submission,
  Task,
  Vetted,
} from '../port.ts';
import { Door } from './admit.ts';
import { Durable, freeName } from './durable.ts';
import { Intake } from './intake.ts';
import { newLock, publishLock, readLock, removeLock, renewLock, rewriteLock } from './lock.ts';
import { Lookup } from './lookup.ts';
import { Mover } from './mover.ts';
import { isTaskName, readRegular, readTask, statOf, stemOf, taskNames } from './read.ts';
import { fileOf, Records } from './records.ts';
import { Snapshot } from './snapshot.ts';
import { submitFile } from './submit.ts';
import { sameChoice, signOf, type Waiting, waitingOf } from './waiting.ts';
import { watchQueues } from './watcher.ts';

/** `refuse` is told of each file that was moved to failed/ unread by any agent. */
export interface FileQueueOptions {
  durability: 'full' | 'fast';
  onRefused?: (task: Task) => void;
  /** A reason of the workspace's own to refuse a task (no such role …), or null. */
  vet?: (task: Vetted) => string | null;
  /** Told of each task that waits from now on. */
  onWaiting?: (task: Choice) => void;
  /** Told of each task that was read and that a person moved into incoming, from where, and when its file last changed, ms. */
  onMovedIn?: (task: Task, from: Queue, changed: number) => void;
  /** The version that reads: what it read of waiting files is kept for the next start. */
  version?: string;
}

export class FileQueue implements QueuePort {
  readonly intake: Intake;
  readonly #workspace: Workspace;
  readonly #disk: Durable;
  readonly #records: Records;
  readonly #mover: Mover;
  readonly #lookup: Lookup;
  readonly #options: FileQueueOptions;
  /** Names in incoming whose lock was there when they were to be claimed. */
  readonly #held = new Set<string>();
  readonly #door: Door;

  constructor(workspace: Workspace, options: FileQueueOptions) {
    this.#workspace = workspace;
    this.#options = options;
    this.#disk = new Durable(options.durability, workspace.queue('claimed'));
    this.#records = new Records(workspace);
    this.#mover = new Mover(workspace, this.#disk, this.#records);
    this.#door = new Door(workspace, this.#records, {
      vet: options.vet ?? (() => null),
      waiting: (id) => this.intake.byId(id)?.name,
      refuse: (task, name, reason) => this.#refuse(task, name, reason),
    });
    this.intake = new Intake(workspace.queue('incoming'), {
      admit: (task, name) => {
        const admitted = this.#door.admit(task, name);
        const from = task.state.queue;
        // What a dropped file brings along tells of no move.
        if (admitted?.state.queue && from && handMove(from, 'incoming') !== 'none')
          options.onMovedIn?.(admitted, from, Number(statOf(admitted.path)?.ctimeMs ?? 0));
        return admitted;
      },
      still: (waiting) => this.#door.stillOpen(waiting),
      onWaiting: options.onWaiting,
      ...(options.version ? { snapshot: new Snapshot(join(workspace.state, 'waiting'), options.version) } : {}),
    });
    this.#lookup = new Lookup(workspace, this.intake, this.#records);
  }

  submit(submission: Submission): Promise<string> {
    const find = { isNamed: (id: string) => this.#lookup.isNamed(id), get: (id: string) => this.get(id) };
    return submitFile(this.#workspace, this.#disk, find, submission);
  }

  async claim(options: ClaimOptions): Promise<Claim | null> {
    const held = [...this.#held];
    this.#held.clear();
    for (const name of held) this.intake.handedOver(name);
    return this.#claimBest(options);
  }

  #claimBest({ owner, worker, accepts, now: at }: ClaimOptions): Claim | null {
    // One that turns out to be gone, held or another is out of the order then: the rest is asked anew.
    for (let chosen: Waiting | undefined; ; ) {
      const order = at === undefined ? this.intake.inOrder() : this.intake.heads(at);
      chosen = order.find((waiting) => accepts(waiting) === null);
      if (!chosen) return null;
      const claim = this.#take(chosen, owner, worker);
      if (claim) return claim;
    }
  }

  #take(waiting: Waiting, owner: Lock['owner'], worker?: string): Claim | null {
    const { name } = waiting;
    const from = join(this.#workspace.queue('incoming'), name);
    // The file is read anew, and judged anew: what runs is what lies there now.
    const stat = statOf(from);
    const read = stat && readTask(dirname(from), name, 'incoming', stat);
    const task = read && this.#door.admit(read, name, true);
    if (!task || task.path !== from || !sameChoice(waitingOf(task, name, signOf(stat)), waiting)) {
      this.intake.forget(name);
      if (task) this.intake.look(basename(task.path));
      return null;
    }
    const { state } = task;
    const unsettled = this.#records.unsettled(task.id);
    const fresh = state.epoch === undefined && unsettled.file !== fileOf(from);
    const path = this.#workspace.lock(task.id);
    const lock = newLock(task.id, owner, {
      attempt: fresh ? 1 : this.#records.nextRun(task.id, state),
      epoch: Math.max(state.epoch ?? 0, unsettled.epoch) + 1,
      worker,
    });
    if (!publishLock(this.#disk, path, lock)) {
      // Somebody has it, perhaps a run that is just being ended because a person moved the file back: looked at again next time.
      this.intake.forget(waiting.name);
      this.#held.add(waiting.name);
      return null;
    }
    const to = join(this.#workspace.queue('claimed'), `${task.id}.md`);
    const taken = existsSync(to);
    try {
      if (taken) throw new TowpathError('wrong_state', `${to} exists`);
      // From here on the state in its file is ours, and counts when it comes back; what it brought along does not.
      this.#records.begin(task.id, fresh);
      this.#disk.move(from, to);
      // Whoever dropped it may not have synced what they wrote.
      this.#disk.sync(to);
      if (state !== read.state) this.#writeDown(to, task);
      this.#records.remember(lock);
    } catch (thrown) {
      // What was moved keeps its lock: the next look at what is claimed goes on with it.
      if (taken || !existsSync(to)) removeLock(path);
      if (errno(thrown) !== 'ENOENT' && !(thrown instanceof TowpathError)) throw thrown;
      this.intake.forget(waiting.name);
      return null;
    }
    this.intake.forget(waiting.name);
    return { task: { ...task, state, queue: 'claimed', path: to }, lock };
  }

  /** What the state is by what a person did (a copy begins anew, a move means a command) is written once the file is ours. */
  #writeDown(path: string, { state, created_at }: Task): void {
    try {
      this.#disk.replace(path, withState(readRegular(path), { ...state, queue: 'incoming', created_at }));
    } catch {
      // On a full disk the old state stays in: not worth losing the claim over.
    }
  }

  async renew(lock: Lock): Promise<void> {
    this.#assertOurs(lock);
    renewLock(this.#disk, this.#workspace.lock(lock.task), { ...lock, heartbeat_at: now() });
  }

  async settle(lock: Lock, { to, state }: Settlement): Promise<Task> {
    if (!this.#isOurs(lock)) {
      const settled = await this.get(lock.task);
      // Settled before, with this very claim: settling again changes nothing.
      if (settled && settled.queue !== 'claimed' && settled.state.epoch === lock.epoch) return settled;
      throw lost(lock);
    }
    const task = this.#transfer(lock.task, 'claimed', to, { ...state, epoch: lock.epoch });
    removeLock(this.#workspace.lock(lock.task));
    this.#records.settled(lock.task);
    return task;
  }

  async move(id: string, from: Queue | Queue[], { to, state }: Settlement): Promise<Task> {
    const task = await this.get(id);
    if (!task) throw new TowpathError('task_not_found', `no task "${id}"`, 'see "towpath list"');
    if (![from].flat().includes(task.queue))
      throw new TowpathError('wrong_state', `"${id}" is in ${task.queue}/, not in ${[from].flat().join('/ or ')}/`);
    // A claim that is ended so must leave its epoch behind as well, and so must one whose file a person took out of claimed/.
    const open = this.#records.unsettled(id);
    const its = task.queue === 'claimed' || open.file === fileOf(task.path);
    const epoch = its ? open.epoch || undefined : undefined;
    return this.#transfer(id, task.queue, to, epoch ? { epoch, ...state } : state, basename(task.path));
  }

  #transfer(id: string, from: Queue, to: Queue, state: Settlement['state'], name = `${id}.md`): Task {
    const task = this.#mover.transfer({ id, from, name, to, state });
    if (from === 'incoming') this.intake.forget(name);
    if (to === 'incoming') this.intake.handedOver(basename(task.path));
    return task;
  }

  #refuse(task: Task, name: string, reason: string): void {
    const failed = this.#workspace.queue('failed');
    // Not under the id of one that waits: that would be refused in turn.
    const waits = (one: string) => (this.intake.byId(stemOf(one))?.name ?? name) !== name;
    const target = join(
      failed,
      freeName(name, (one) => existsSync(join(failed, one)) || waits(one)),
    );
    this.#mover.moveThenEdit(task.path, target, 'failed', { outcome: 'refused', reason, finished_at: now() });
    const refused = readTask(dirname(target), basename(target), 'failed');
    if (refused) this.#options.onRefused?.({ ...refused, state: { ...refused.state, reason } });
  }

  async recover(): Promise<Leftover[]> {
    this.#disk.clear();
    this.#mover.finish();
    const dir = this.#workspace.queue('claimed');
    const ids = new Set(taskNames(dir).map(stemOf));
    for (const name of readdirSync(dir)) if (name.endsWith('.lock.json')) ids.add(name.slice(0, -'.lock.json'.length));
    return [...ids].map((id) => ({
      id,
      task: readTask(dir, `${id}.md`, 'claimed'),
      lock: readLock(this.#workspace.lock(id)),
    }));
  }

  /** Takes over a claim whose owner is gone: the same lock with our name and the next epoch. */
  adopt(task: Task, lock: Lock | null, owner: Lock['owner']): Claim {
    const epoch = Math.max(lock?.epoch ?? 0, task.state.epoch ?? 0) + 1;
    const base = lock ?? newLock(task.id, owner, { attempt: (task.state.runs ?? 0) + 1, epoch });
    const adopted: Lock = { ...base, owner, epoch, heartbeat_at: now() };
    const state = lock ? this.#records.claimed(task, lock) : task.state;
    rewriteLock(this.#disk, this.#workspace.lock(task.id), adopted);
    const believed = { ...task, state };
    if (state !== task.state) this.#writeDown(task.path, believed);
    this.#records.remember(adopted);
    return { task: believed, lock: adopted };
  }

  dropLock(id: string): void {
    removeLock(this.#workspace.lock(id));
  }

  lockOf(id: string): Lock | null | 'unreadable' {
    return readLock(this.#workspace.lock(id));
  }

  get(id: string): Promise<Task | null> {
    return Promise.resolve(this.#lookup.get(id));
  }

  list(queue?: Queue): Promise<Task[]> {
    return Promise.resolve(this.#lookup.list(queue));
  }

  counts(known: Partial<Record<Queue, number>> = {}): Promise<Record<Queue, number>> {
    return Promise.resolve(this.#lookup.counts(known));
  }

  watch(
    onHint: (hint: QueueHint) => void,
    onLost: (why: string | null) => void = () => {},
  ): Promise<() => Promise<void>> {
    const hinted = (hint: QueueHint) => {
      try {
        if (hint.queue === 'incoming' && hint.name && isTaskName(hint.name)) this.intake.look(hint.name);
        onHint(hint);
      } catch {
        // A fault of the machine: reading the whole folder meets it too, and there it is told and tried again.
        onHint({ queue: hint.queue });
      }
    };
    return watchQueues(this.#workspace, hinted, onLost);
  }

  #isOurs(lock: Lock): boolean {
    const held = readLock(this.#workspace.lock(lock.task));
    return held !== null && held !== 'unreadable' && held.epoch === lock.epoch && held.owner.pid === lock.owner.pid;
  }

  #assertOurs(lock: Lock): void {
    if (!this.#isOurs(lock)) throw lost(lock);
  }
}

const lost = ({ task, epoch }: Lock): TowpathError =>
  new TowpathError('wrong_state', `the claim of "${task}" (epoch ${epoch}) is no longer ours: its result is discarded`);
