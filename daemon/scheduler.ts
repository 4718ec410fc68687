// The loop: reap, release, gate, claim, start. Nothing but calls; what decides is in the rooms.

import { attempt } from './attempt/attempt.ts';
import type { Amount } from './attempt/budget.ts';
import type { Context } from './attempt/context.ts';
import { repoOf } from './attempt/plan.ts';
import type { Who } from './attempt/who.ts';
import { messageOf } from './errors.ts';
import { gate } from './gate/gate.ts';
import { Holds } from './holds.ts';
import type { Choice, Claim, Task } from './queue/port.ts';
import { recover } from './recover.ts';
import { DEFAULT_ROLE } from './task/terms.ts';
import { Alarm } from './waiting/alarm.ts';
import { type Place, takerOf, waitOf, whoOf } from './waiting/assign.ts';
import type { Blocked } from './waiting/blocked.ts';
import { Broken } from './waiting/broken.ts';
import type { Held } from './waiting/budget.ts';
import type { Job, SchedulerOptions } from './waiting/job.ts';
import { allWait, whyFirst } from './waiting/left.ts';
import type { Purse } from './waiting/purse.ts';
import type { Wait } from './waiting/terms.ts';
import { Trains } from './waiting/trains.ts';

export class Scheduler {
  readonly jobs = new Map<string, Job>();
  readonly #ctx: Context;
  readonly #options: SchedulerOptions;
  readonly #blocked: Blocked;
  readonly #purse: Purse;
  readonly holds: Holds;
  readonly trains: Trains;
  stopping = false;
  /** The first look at incoming is over, or has taken long enough: what is known may be chosen from. */
  ready = false;
  /** No task that was taken here came to a bad end. */
  clean = true;
  readonly #broken = new Broken(
    (id) => {
      // Its queue may have been away when it broke off.
      this.#blocked.changed('provisional', `${id}.md`);
      return this.takeLeftovers();
    },
    (id) => this.#isLeft(id),
  );
  #leftovers: Promise<void> | null = null;
  #taken = 0;
  #running = false;
  #again = false;
  readonly #alarm = new Alarm(() => this.nudge());
  /** When a wait that the last round met ends, ms. */
  #soonest = Number.POSITIVE_INFINITY;
  #onIdle: () => void = () => {};

  constructor(ctx: Context, options: SchedulerOptions, blocked: Blocked, purse: Purse) {
    this.holds = new Holds(ctx.workspace, ctx.events);
    this.holds.onChange = () => this.nudge();
    this.#ctx = ctx;
    this.#options = options;
    ctx.agents.onAuto = () => this.nudge();
    this.#blocked = blocked;
    this.#purse = purse;
    this.trains = new Trains(ctx, this);
  }

  /** Called after each round that left nothing to do. */
  onRound(listener: () => void): void {
    this.#onIdle = listener;
  }

  /** Writes into each lock that its owner lives. */
  async heartbeat(): Promise<void> {
    for (const job of this.jobs.values()) if (job.claim) await this.#ctx.queue.renew(job.claim.lock).catch(() => {});
  }

  /** Something changed: look again, soon and once; or when so many ms are over. */
  nudge(ms?: number): void {
    if (ms !== undefined) this.#alarm.in(ms);
    else this.#again = true;
    if (!this.#running && this.#again) void this.#rounds();
  }

  async #rounds(): Promise<void> {
    this.#running = true;
    try {
      while (this.#again) {
        this.#again = false;
        await new Promise(setImmediate);
        await this.#round();
      }
    } catch (thrown) {
      // A full disk or a folder that is gone: told, and tried again in a while.
      if (!this.holds.blame(thrown))
        this.#ctx.events.emit('warning', { message: `could not look for work: ${messageOf(thrown)}` });
      this.#alarm.in(5000);
    } finally {
      this.#running = false;
    }
    this.#onIdle();
  }

  async #round(): Promise<void> {
    await this.#blocked.sort();
    if (this.#blocked.busy) this.#again = true;
    await this.#startGates();
    if (this.ready && !this.stopping) this.trains.depart(this.#blocked.handed('merge'), this.#blocked.handed('pr'));
    await this.#claimAll();
    this.#wakeForNext();
  }

  async #startGates(): Promise<void> {
    if (this.stopping) return;
    for (const task of await this.#blocked.ungated()) {
      if (this.jobs.size >= this.#ctx.settings.concurrency.total) return;
      if (this.jobs.has(task.id) || this.#broken.cools(task.id) || this.#treeBusy(task)) continue;
      const wait = task.state.not_before ? Date.parse(task.state.not_before) - Date.now() : 0;
      if (wait > 0) this.#alarm.in(wait);
      else {
        const ctx = { ...this.#ctx };
        this.#start(task, null, null, (signal) => gate(ctx, task, signal));
      }
    }
  }

  async #claimAll(): Promise<void> {
    const { queue, self, settings } = this.#ctx;
    this.#soonest = Number.POSITIVE_INFINITY;
    while (this.ready && !this.stopping && this.jobs.size < settings.concurrency.total) {
      if (this.#options.single && this.#taken > 0) return;
      const claim = await queue.claim({
        owner: self,
        ...(this.#options.worker ? { worker: this.#options.worker } : {}),
        now: Date.now(),
        accepts: (task) => {
          const wait = this.waitOf(task);
          if (typeof wait?.until === 'number') this.#soonest = Math.min(this.#soonest, wait.until);
          return wait?.reason ?? null;
        },
      });
      if (!claim) return;
      this.#taken++;
      this.#ctx.events.emit('transition', { task: claim.task.id, from: 'incoming', to: 'claimed' });
      this.take(claim);
    }
  }

  /** Runs a claim, also one that an earlier daemon made. */
  take(claim: Claim): void {
    // A copy: settings that are reloaded meanwhile are for the next claims.
    const who = takerOf(claim, this.#place);
    const onSpent = (amount: Amount) => this.#purse.live(claim.task.id, amount) && this.nudge();
    const ctx: Context = { ...this.#ctx, who, onSpent };
    this.#start(claim.task, claim, who, async (signal) => {
      const settled = await attempt(ctx, claim, signal);
      const job = this.jobs.get(claim.task.id);
      if (job) job.claim = null;
      return settled?.queue === 'provisional' && !signal.aborted ? gate(ctx, settled, signal) : settled;
    });
  }

  #start(task: Task, claim: Claim | null, who: Who | null, work: (signal: AbortSignal) => Promise<Task | null>): void {
    const { agent, role } = who ?? whoOf(task, this.#place);
    const abort = new AbortController();
    const done = work(abort.signal)
      .catch((thrown: unknown) => {
        this.holds.blame(thrown);
        this.#ctx.events.emit('warning', { task: task.id, message: `its work broke off: ${messageOf(thrown)}` });
        return null;
      })
      .then((ended) => {
        const job = this.jobs.get(task.id);
        if (ended || abort.signal.aborted) this.#purse.letGo(task.id);
        else if (job) this.#broken.add(job);
        this.jobs.delete(task.id);
        this.ended(task.id, ended);
      });
    const repo = repoOf(task, this.#ctx.settings, this.#ctx.workspace);
    this.#broken.taken(task.id);
    const minor = task.spec.complexity === 'minor';
    const endpoint = who?.endpoints[0]?.name ?? null;
    if (claim) this.#purse.hold(task.id, agent, role, claim.lock.agent !== null, task.spec.project);
    this.jobs.set(task.id, { id: task.id, agent, role, repo, minor, endpoint, abort, claim, done });
  }

  /** A task left the hands of this process; null: its work broke off. */
  ended(id: string, task: Task | null): void {
    const held = task?.queue === 'blocked' && task.state.waits_for !== 'dependencies';
    if (!task || task.queue === 'failed' || held) this.clean = false;
    this.#blocked.changed('provisional', `${id}.md`);
    if (task?.queue === 'blocked') this.#blocked.changed('blocked', `${id}.md`);
    this.nudge();
  }

  /** A claim or a gate that broke off is still there to be entered again. */
  async #isLeft(id: string): Promise<boolean> {
    if (this.holds.reason !== null) return true;
    const task = await this.#ctx.queue.get(id);
    return (
      task?.queue === 'claimed' ||
      (task?.queue === 'provisional' && (!task.state.waits_for || task.state.awaits !== undefined))
    );
  }

  /** Goes on with claimed tasks that nobody works on: an earlier daemon left them, or their work broke off. */
  takeLeftovers(): Promise<void> {
    this.#leftovers ??= this.#takeLeftovers().finally(() => {
      this.#leftovers = null;
      this.nudge();
    });
    return this.#leftovers;
  }

  async #takeLeftovers(): Promise<void> {
    if (this.stopping) return;
    const atWork = (id: string) => this.jobs.has(id) || this.#broken.cools(id);
    try {
      for (const claim of await recover(this.#ctx, atWork)) this.take(claim);
    } catch (thrown) {
      if (!this.holds.blame(thrown))
        this.#ctx.events.emit('warning', { message: `could not look at what is claimed: ${messageOf(thrown)}` });
    }
  }

  /** Why a waiting task does not run now, or null. */
  readonly waitOf = (task: Choice): Wait | null => {
    if (this.#options.role && (task.spec.role ?? DEFAULT_ROLE) !== this.#options.role)
      return { reason: `this daemon takes only tasks of role ${this.#options.role}`, until: 'never', fine: true };
    return waitOf(task, this.#place);
  };

  get #place(): Place {
    const budget: Place['budget'] = (agent, role, project) => this.#purse.wait(agent, role, this.reserved, project);
    return { ...this.#ctx, jobs: this.#inUse, hold: this.holds.reason, budget, provisional: this.#blocked.provisional };
  }

  #treeBusy(task: Task): boolean {
    const repo = repoOf(task, this.#ctx.settings, this.#ctx.workspace);
    const busy = (job: Job) => job.minor && job.repo === repo && job.id !== task.id;
    // A train waits for one that broke off, and not the other way round.
    const broke = this.#broken.jobs.some(({ id }) => id === task.id);
    return task.spec.complexity === 'minor' && (broke ? this.atWork : this.#inUse).some(busy);
  }

  /** Who has a slot, and a tree: also work that broke off, whose agent may live and whose files may lie there. */
  get atWork(): Job[] {
    return [...this.jobs.values(), ...this.#broken.jobs];
  }

  get #inUse(): Job[] {
    return [...this.atWork, ...this.trains.jobs];
  }

  /** What those at work keep of the budgets. */
  get reserved(): Held[] {
    return this.#purse.held(this.#inUse);
  }

  /** Why the first so many waiting tasks wait, by id; nobody while all slots are taken. */
  waits(count: number): Map<string, Wait> {
    if (this.jobs.size >= this.#ctx.settings.concurrency.total) return new Map();
    return whyFirst(this.#ctx.queue.intake, this.waitOf, count);
  }

  /** Sleeps until the first task whose time is known may run. */
  #wakeForNext(): void {
    const times = [this.#ctx.queue.intake.wakes, this.#blocked.wakes].map((at) => at ?? Number.POSITIVE_INFINITY);
    const next = Math.min(this.#soonest, ...times);
    if (next < Number.POSITIVE_INFINITY) this.#alarm.in(Math.max(20, next - Date.now()));
  }

  /** Ends the run of a task and waits until it is settled. */
  async end(id: string, why: 'cancel' | 'pause' | 'stop'): Promise<boolean> {
    const job = this.jobs.get(id);
    if (!job) return false;
    job.abort.abort(why);
    await job.done;
    return true;
  }

  close(): void {
    this.stopping = true;
    this.#alarm.stop();
  }

  /** Nothing runs, nothing is about to, and nothing ever will without a person. */
  get drained(): boolean {
    if (this.atWork.length > 0 || this.trains.busy || this.#running || this.#again || this.#blocked.gatesWait)
      return false;
    if (this.#options.single && this.#taken > 0) return true;
    if (this.#ctx.queue.intake.unsettled > 0 || this.#blocked.busy) return false;
    // A default answer is waited for like a backoff.
    if ((this.#blocked.wakes ?? Number.POSITIVE_INFINITY) - Date.now() <= this.#ctx.settings.retry.max) return false;
    return allWait(this.#ctx.queue.intake, this.waitOf, (wait) => wait?.until === 'never' || wait?.fine);
  }

  /** Whether all that is left in incoming and provisional waits as it should. */
  get leftIsFine(): boolean {
    return !this.#blocked.stuck && allWait(this.#ctx.queue.intake, this.waitOf, (wait) => wait?.fine);
  }
}
