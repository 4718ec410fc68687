// The queue as folders: the folder is the state, a rename the transition, and ENOENT a lost race.
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { now } from '../../clock.ts';
import { errno, TowpathError } from '../../errors.ts';
import type { Workspace } from '../../paths.ts';
import { parseTask, withState } from '../../task/file.ts';
import { idProblem } from '../../task/schema.ts';
import { mergeState, movedIn } from '../../task/state.ts';
import { QUEUES, type Queue, type State } from '../../task/terms.ts';
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
} from '../port.ts';
import { Durable, freeName, freePath } from './durable.ts';
import { Intake, type Waiting } from './intake.ts';
import { publishLock, readLock, removeLock, renewLock, rewriteLock } from './lock.ts';
import { isTaskName, readRegular, readTask, statOf, stemOf, taskNames } from './read.ts';
import { watchQueues } from './watcher.ts';

/** `refuse` is told of each file that was moved to failed/ unread by any agent. */
export interface FileQueueOptions {
  durability: 'full' | 'fast';
  onRefused?: (task: Task) => void;
  /** A reason of the workspace's own to refuse a task (no such role …), or null. */
  vet?: (task: Task) => string | null;
}

export class FileQueue implements QueuePort {
  readonly intake: Intake;
  readonly #workspace: Workspace;
  readonly #disk: Durable;
  readonly #options: FileQueueOptions;
  /** Names in incoming whose lock was there when they were to be claimed. */
  readonly #held = new Set<string>();

  constructor(workspace: Workspace, options: FileQueueOptions) {
    this.#workspace = workspace;
    this.#options = options;
    this.#disk = new Durable(options.durability);
    this.intake = new Intake(workspace.queue('incoming'), (task, name) => this.#admit(task, name));
  }

  async submit({ content, name }: Submission): Promise<string> {
    const bytes = typeof content === 'string' ? Buffer.from(content) : content;
    const parsed = parseTask(bytes);
    if (parsed.refusal) throw new TowpathError('task_refused', `${name}: ${parsed.refusal}`);
    const stem = stemOf(name);
    const problem = parsed.spec.id ? null : idProblem(stem);
    if (problem)
      throw new TowpathError('task_refused', `${name}: id: ${JSON.stringify(stem)} is not allowed: ${problem}`);
    const holder = parsed.spec.id ? await this.get(parsed.spec.id) : null;
    if (holder)
      throw new TowpathError('task_refused', `${name}: id: "${holder.id}" is taken by a task in ${holder.queue}/`);
    for (;;) {
      const free = freeName(
        name,
        (candidate) =>
          QUEUES.some((queue) => existsSync(join(this.#workspace.queue(queue), candidate))) ||
          (!parsed.spec.id && this.intake.byId(stemOf(candidate)) !== undefined),
      );
      const path = join(this.#workspace.queue('incoming'), free);
      if (!this.#disk.create(path, bytes)) continue;
      this.#disk.sync(dirname(path));
      return parsed.spec.id ?? stemOf(free);
    }
  }

  async claim(options: ClaimOptions): Promise<Claim | null> {
    const held = [...this.#held];
    this.#held.clear();
    for (const name of held) this.intake.handedOver(name);
    return this.#claimBest(options);
  }

  #claimBest({ owner, worker, accepts }: ClaimOptions): Claim | null {
    for (const waiting of this.intake.inOrder()) {
      if (accepts({ ...waiting, body: '' }) !== null) continue;
      const claim = this.#take(waiting, owner, worker);
      return claim ?? this.#claimBest({ owner, ...(worker ? { worker } : {}), accepts });
    }
    return null;
  }

  #take(waiting: Waiting, owner: Lock['owner'], worker?: string): Claim | null {
    const from = join(this.#workspace.queue('incoming'), waiting.name);
    this.intake.forget(waiting.name);
    // The file is read anew: what runs is what lies there now.
    const task = readTask(dirname(from), waiting.name, 'incoming');
    if (!task || task.id !== (task.spec.id ?? stemOf(waiting.name)) || task.refusal) {
      this.intake.look(waiting.name);
      return null;
    }
    const state = this.#trusted(task);
    const unsettled = this.#unsettled(task.id);
    const sameFile = unsettled.file === fileOf(from);
    const path = this.#workspace.lock(task.id);
    const at = now();
    const lock: Lock = {
      version: 1,
      task: task.id,
      attempt: (state.runs ?? 0) + 1,
      epoch: Math.max(state.epoch ?? 0, unsettled.epoch) + 1,
      phase: 'prepare',
      owner,
      ...(worker ? { worker } : {}),
      agent: null,
      repo: null,
      worktree: null,
      branch: null,
      claimed_at: at,
      heartbeat_at: at,
    };
    if (!publishLock(this.#disk, path, lock)) {
      // Somebody has it, perhaps a run that is just being ended because a person moved the file back: looked at again next time.
      this.#held.add(waiting.name);
      return null;
    }
    const to = join(this.#workspace.queue('claimed'), `${task.id}.md`);
    try {
      if (existsSync(to)) throw new TowpathError('wrong_state', `${to} exists`);
      // From here on the state in its file is ours, and counts when it comes back; what it brought along does not.
      if (state.epoch === undefined && !sameFile) this.#setRunsAside(task.id);
      mkdirSync(this.#workspace.runs(task.id), { recursive: true, mode: 0o700 });
      this.#disk.move(from, to);
      // Whoever dropped it may not have synced what they wrote.
      this.#disk.sync(to);
      if (state !== task.state) this.#writeDown(to, state);
      this.#remember(lock);
    } catch (thrown) {
      removeLock(path);
      if (errno(thrown) === 'ENOENT' || thrown instanceof TowpathError) return null;
      throw thrown;
    }
    return { task: { ...task, state, queue: 'claimed', path: to }, lock };
  }

  /** Beside a task's runs: the epoch of a claim that was not settled, and its file. A person may move that away, and it tells nothing then. */
  #mark(id: string): string {
    return join(this.#workspace.runs(id), 'unsettled');
  }

  #remember({ task, epoch }: Lock): void {
    const file = fileOf(join(this.#workspace.queue('claimed'), `${task}.md`));
    try {
      writeFileSync(this.#mark(task), `${epoch} ${file}`, { mode: 0o600 });
    } catch {
      // Only a file that is moved by hand needs it.
    }
  }

  #unsettled(id: string): { epoch: number; file: string } {
    try {
      const [epoch, file] = readFileSync(this.#mark(id), 'utf8').split(' ');
      return { epoch: Number(epoch) || 0, file: file ?? '' };
    } catch {
      return { epoch: 0, file: '' };
    }
  }

  /** What the state is by what a person did (a copy begins anew, a move means a command) is written once the file is ours. */
  #writeDown(path: string, state: State): void {
    try {
      this.#disk.replace(path, withState(readRegular(path), state));
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
    rmSync(this.#mark(lock.task), { force: true });
    return task;
  }

  async move(id: string, from: Queue | Queue[], { to, state }: Settlement): Promise<Task> {
    const task = await this.get(id);
    if (!task) throw new TowpathError('task_not_found', `no task "${id}"`, 'see "towpath list"');
    if (![from].flat().includes(task.queue))
      throw new TowpathError('wrong_state', `"${id}" is in ${task.queue}/, not in ${[from].flat().join('/ or ')}/`);
    // A claim that is ended so must leave its epoch behind as well.
    const epoch = task.queue === 'claimed' ? this.#unsettled(id).epoch || undefined : undefined;
    return this.#transfer(id, task.queue, to, epoch ? { epoch, ...state } : state, basename(task.path));
  }

  /** Leaving incoming the file is moved and then edited, else edited and then moved: never is a file edited where it may be claimed. */
  #transfer(id: string, from: Queue, to: Queue, change: Settlement['state'], name = `${id}.md`): Task {
    const source = join(this.#workspace.queue(from), name);
    // Looked at first: a file that a person has just moved to where it shall go must not be taken for somebody else's.
    if (!existsSync(source))
      throw new TowpathError('task_not_found', `"${id}" was moved out of ${from}/`, `see "towpath show ${id}"`);
    const target = this.#roomFor(join(this.#workspace.queue(to), `${id}.md`), source);
    let edited: Task | null;
    if (from === 'incoming') {
      this.#disk.move(source, target);
      this.intake.forget(name);
      edited = this.#edit(target, to, change, true);
    } else {
      edited = this.#edit(source, to, change, false);
      this.#disk.move(source, target);
    }
    const known = edited !== null && to !== 'incoming';
    const task = known ? { ...edited!, path: target } : readTask(dirname(target), basename(target), to);
    if (!task) throw new TowpathError('task_not_found', `"${id}" was moved away`);
    if (to === 'incoming') this.intake.handedOver(basename(target));
    return task;
  }

  /** Writes the state; returns the task as it is then, or null when its file is not to be touched. */
  #edit(path: string, queue: Queue, change: Settlement['state'], syncDir: boolean): Task | null {
    const stat = statSync(path, { throwIfNoEntry: false });
    const dir = dirname(path);
    const task = readTask(dir, basename(path), queue);
    // A link is never written through, and a huge file is not copied for a line: their reason is what reading them says.
    if (!task || !stat?.isFile() || /symbolic link|larger than/.test(task.refusal ?? '')) return null;
    const state: State = mergeState(this.#trusted(task), { ...change, queue, created_at: task.created_at });
    this.#disk.replace(path, withState(readRegular(path), state));
    if (syncDir) this.#disk.sync(dir);
    return { ...task, state };
  }

  /** A name that no other task has: whoever came in under a name that is ours steps aside. */
  #roomFor(target: string, source: string): string {
    if (target !== source && existsSync(target)) renameSync(target, freePath(target));
    return target;
  }

  /** A task that never ran has no runs: those that lie there are of an earlier task of that name, and must not pass for its own. */
  #setRunsAside(id: string): void {
    const runs = this.#workspace.runs(id);
    if (!existsSync(runs)) return;
    const aside = join(dirname(runs), '.earlier');
    mkdirSync(aside, { recursive: true });
    renameSync(runs, join(aside, `${id}-${Date.now()}`));
  }

  /** In incoming, state counts only where Towpath has run the task before: a dropped file must not bring its own. */
  #trusted(task: Task): State {
    if (task.queue !== 'incoming') return task.state;
    if (existsSync(this.#workspace.runs(task.id))) return movedIn(task.state);
    return Object.keys(task.state).length === 0 ? task.state : {};
  }

  #admit(task: Task, name: string): Task | null {
    const admitted = { ...task, state: this.#trusted(task) };
    // A name is also taken when another waiting task, in a file of another name, has it as its id.
    const taken = (candidate: string) =>
      (candidate !== name && existsSync(join(this.#workspace.queue('incoming'), candidate))) ||
      (this.intake.byId(stemOf(candidate))?.name ?? name) !== name ||
      QUEUES.some((queue) => queue !== 'incoming' && existsSync(join(this.#workspace.queue(queue), candidate)));
    const other = this.intake.byId(task.id);
    if (!task.refusal && task.spec.id && (taken(`${task.id}.md`) || (other && other.name !== name))) {
      const holder = QUEUES.find(
        (queue) => queue !== 'incoming' && existsSync(join(this.#workspace.queue(queue), `${task.id}.md`)),
      );
      return this.#refuse(
        admitted,
        name,
        `id: "${task.id}" is taken by a task in ${holder ?? 'incoming'}/: choose another`,
      );
    }
    if (task.refusal) return this.#refuse(admitted, name, task.refusal);
    if (!task.spec.id && (taken(name) || (other && other.name !== name))) {
      const free = freeName(name, taken);
      const path = join(dirname(task.path), free);
      renameSync(task.path, path);
      const renamed = readTask(dirname(path), free, 'incoming');
      return renamed && this.#admit(renamed, free);
    }
    const reason = this.#options.vet?.(admitted);
    return reason ? this.#refuse(admitted, name, reason) : admitted;
  }

  #refuse(task: Task, name: string, reason: string): null {
    const target = freePath(join(this.#workspace.queue('failed'), name));
    this.#disk.move(task.path, target);
    this.#edit(target, 'failed', { outcome: 'refused', reason, finished_at: now() }, true);
    const refused = readTask(dirname(target), basename(target), 'failed');
    if (refused) this.#options.onRefused?.({ ...refused, state: { ...refused.state, reason } });
    return null;
  }

  async recover(): Promise<Leftover[]> {
    const dir = this.#workspace.queue('claimed');
    const ids = new Set(taskNames(dir).map(stemOf));
    for (const name of readdirSync(dir)) if (name.endsWith('.lock.json')) ids.add(name.slice(0, -'.lock.json'.length));
    return [...ids].map((id) => ({
      task: readTask(dir, `${id}.md`, 'claimed'),
      lock: readLock(this.#workspace.lock(id)),
    }));
  }

  /** Takes over a claim whose owner is gone: the same lock with our name and the next epoch. */
  adopt(task: Task, lock: Lock | null, owner: Lock['owner']): Claim {
    const at = now();
    const base = lock ?? {
      version: 1 as const,
      task: task.id,
      attempt: (task.state.runs ?? 0) + 1,
      phase: 'prepare' as const,
      agent: null,
      repo: null,
      worktree: null,
      branch: null,
      claimed_at: at,
    };
    const adopted: Lock = {
      ...base,
      owner,
      epoch: Math.max(lock?.epoch ?? 0, task.state.epoch ?? 0) + 1,
      heartbeat_at: at,
    };
    rewriteLock(this.#disk, this.#workspace.lock(task.id), adopted);
    this.#remember(adopted);
    return { task, lock: adopted };
  }

  dropLock(id: string): void {
    removeLock(this.#workspace.lock(id));
  }

  lockOf(id: string): Lock | null | 'unreadable' {
    return readLock(this.#workspace.lock(id));
  }

  async get(id: string): Promise<Task | null> {
    if (id.includes('/') || id.includes('\0') || id === '' || id.startsWith('.')) return null;
    for (const queue of ['claimed', 'provisional', 'blocked', 'failed', 'done'] as const) {
      const task = readTask(this.#workspace.queue(queue), `${id}.md`, queue);
      if (task) return task;
    }
    const dir = this.#workspace.queue('incoming');
    const direct = readTask(dir, `${id}.md`, 'incoming');
    if (direct?.id === id || direct?.refusal) return this.#shown(direct);
    const known = this.intake.byId(id);
    const there = known && readTask(dir, known.name, 'incoming');
    if (there) return this.#shown(there);
    for (const name of taskNames(dir)) {
      const task = readTask(dir, name, 'incoming');
      if (task?.id === id) return this.#shown(task);
    }
    return null;
  }

  async list(queue?: Queue): Promise<Task[]> {
    const tasks = (queue ? [queue] : QUEUES).flatMap((one) => {
      const dir = this.#workspace.queue(one);
      return taskNames(dir).flatMap((name) => readTask(dir, name, one) ?? []);
    });
    const rank = (task: Task) =>
      `${QUEUES.indexOf(task.queue)}${task.queue === 'incoming' ? task.spec.priority : ''}${task.created_at}${task.id}`;
    return tasks.map((task) => this.#shown(task)).sort((a, b) => (rank(a) < rank(b) ? -1 : 1));
  }

  #shown(task: Task): Task {
    return { ...task, state: this.#trusted(task) };
  }

  async counts(): Promise<Record<Queue, number>> {
    return Object.fromEntries(QUEUES.map((queue) => [queue, taskNames(this.#workspace.queue(queue)).length])) as Record<
      Queue,
      number
    >;
  }

  watch(onHint: (hint: QueueHint) => void): Promise<() => Promise<void>> {
    return watchQueues(this.#workspace, (hint) => {
      if (hint.queue === 'incoming' && hint.name && isTaskName(hint.name)) this.intake.look(hint.name);
      onHint(hint);
    });
  }

  #isOurs(lock: Lock): boolean {
    const held = readLock(this.#workspace.lock(lock.task));
    return held !== null && held !== 'unreadable' && held.epoch === lock.epoch && held.owner.pid === lock.owner.pid;
  }

  #assertOurs(lock: Lock): void {
    if (!this.#isOurs(lock)) throw lost(lock);
  }
}

/** By what a file is known again under another name. */
function fileOf(path: string): string {
  const stat = statOf(path);
  return stat ? `${stat.ino}.${stat.birthtimeNs}` : 'none';
}

const lost = ({ task, epoch }: Lock): TowpathError =>
  new TowpathError('wrong_state', `the claim of "${task}" (epoch ${epoch}) is no longer ours: its result is discarded`);
