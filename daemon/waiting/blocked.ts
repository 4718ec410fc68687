// Tasks that wait for others: into blocked/ when a dependency is missing, out of it when all are done; circles are refused.
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { Context } from '../attempt/context.ts';
import { answered } from '../attempt/question.ts';
import { readWork } from '../attempt/work.ts';
import { formatDuration, now } from '../clock.ts';
import { isBeingAccepted } from '../gate/accept.ts';
import { helpersOver } from '../gate/helpers/helper.ts';
import { findCycle } from '../queue/dependencies.ts';
import { isTaskName, stemOf } from '../queue/files/read.ts';
import type { Choice, Task } from '../queue/port.ts';
import { TRANSIENTS_PER_ATTEMPT } from '../task/outcome.ts';
import { QUEUES, type Queue } from '../task/terms.ts';
import { Dependents } from './dependents.ts';
import { Questions } from './questions.ts';
import { judge } from './steps.ts';

/** How long one sorting may take; what is left is for the next round, ms. */
const SLICE_MS = 40;
/** All are judged anew after so many times what it took, and after this long at least, ms. */
const ALL_SHARE = 500;
const ALL_MS = 25_000;
/** Where a dependency lies is kept in the reason of those who wait for it, unless they are more. */
const TOLD = 20;

export class Blocked {
  readonly #ctx: Context;
  readonly #dependents: Dependents;
  readonly questions = new Questions();
  /** Names in blocked/ to look at, tasks there to judge, and tasks that came into incoming with dependencies. */
  readonly #looks = new Set<string>();
  readonly #due = new Set<string>();
  readonly #fresh = new Set<string>();
  #all = { ended: 0, took: 0, under: true };
  #recount = true;
  #provisional: Task[] = [];

  constructor(ctx: Context) {
    this.#ctx = ctx;
    this.#dependents = new Dependents(ctx.workspace.queue('blocked'), (id, state) => this.questions.seen(id, state));
    this.#lookAtAll();
  }

  /** A task came into incoming. One with dependencies is kept there until they are judged. */
  arrived({ id, spec }: Choice): void {
    if (spec.depends_on.length > 0) this.#fresh.add(id);
    this.#touched(id);
  }

  /** A file was put into a queue or taken out of it; without a name nobody knows which. */
  changed(queue: Queue, name?: string): void {
    if (queue === 'provisional') this.#recount = true;
    if (name === undefined) this.#lookAtAll();
    else if (isTaskName(name)) {
      if (queue === 'blocked') this.#looks.add(name);
      this.#touched(stemOf(name));
    }
  }

  /** For what no hint told: all are judged anew, the less often the longer it takes. */
  refresh(): void {
    this.#recount = true;
    const { ended, took, under } = this.#all;
    if (!under && Date.now() - ended >= Math.max(ALL_MS, took * ALL_SHARE)) this.#lookAtAll();
  }

  /** Results that wait for a gate or a person; those whose gate waits for agents, and those that are accepted, are no work that piles up. */
  get provisional(): number {
    return this.#provisional.filter(({ state }) => !state.awaits && !isHanded(state)).length;
  }

  /** Accepted results that wait for the train, or for their pull request. */
  handed(to: 'merge' | 'pr'): Task[] {
    return this.#provisional.filter(
      ({ id, state, refusal }) => state.waits_for === to && !refusal && readWork(this.#ctx.workspace, id)?.accepted,
    );
  }

  /** Some gate hook asked for patience, or a remote is away, and will be asked again; one that was asked often is no longer waited for. */
  get gatesWait(): boolean {
    return this.#provisional.some(
      ({ state }) => state.waits_for !== 'review' && state.not_before !== undefined && !isStuck(state),
    );
  }

  /** Something accepted was tried in vain so often that only a daemon that stays goes on with it. */
  get stuck(): boolean {
    return this.#provisional.some(({ state }) => isStuck(state));
  }

  /** Somebody is still to be judged. */
  get busy(): boolean {
    return this.#looks.size + this.#due.size + this.#fresh.size > 0;
  }

  /** Results whose gate has not run yet, or for whom what it waits for is over. */
  async ungated(): Promise<Task[]> {
    const found: Task[] = [];
    for (const task of this.#provisional) {
      if (task.refusal || !existsSync(this.#ctx.workspace.runs(task.id))) continue;
      const { waits_for, awaits } = task.state;
      const accepted = readWork(this.#ctx.workspace, task.id)?.accepted ?? false;
      // One that a person accepted while the command was killed is only landed; one that was handed on is no longer here.
      const isDue = isHanded(task.state)
        ? !accepted
        : (waits_for !== 'review' && waits_for !== 'fix' && waits_for !== 'test') ||
          accepted ||
          (awaits && (await helpersOver(this.#ctx, task)));
      if (isDue) found.push(task);
    }
    // A command may have moved it meanwhile, or be about to.
    return found.filter(({ id, path }) => existsSync(path) && !isBeingAccepted(id));
  }

  /** When the next question gets the default answer, ms; null when none does. */
  get wakes(): number | null {
    const { after } = this.#ctx.settings.questions;
    return after === undefined ? null : this.questions.next(after);
  }

  /** Goes through what may have changed, for a while; `busy` tells whether something is left. */
  async sort(): Promise<void> {
    if (this.#recount) await this.#readProvisional();
    const began = performance.now();
    const inTime = () => performance.now() - began < SLICE_MS;
    for (const name of taken(this.#looks, inTime)) {
      const id = this.#dependents.look(name);
      if (id) this.#due.add(id);
    }
    for (const id of taken(this.#due, inTime)) await this.#judgeWaiting(id);
    for (const id of taken(this.#fresh, inTime)) await this.#judgeFresh(id);
    await this.#answerByDefault();
    if (!this.#all.under) return;
    this.#all.took += performance.now() - began;
    this.#all.ended = Date.now();
    this.#all.under = this.busy;
  }

  #lookAtAll(): void {
    this.#recount = true;
    this.#all = { ended: 0, took: 0, under: true };
    for (const name of this.#dependents.names()) this.#looks.add(name);
    for (const id of this.#dependents.ids()) this.#due.add(id);
  }

  #touched(id: string): void {
    for (const waiting of this.#dependents.on(id)) this.#due.add(waiting);
  }

  async #readProvisional(): Promise<void> {
    this.#recount = false;
    this.#provisional = await this.#ctx.queue.list('provisional');
  }

  async #judgeFresh(id: string): Promise<void> {
    const { intake } = this.#ctx.queue;
    const task = intake.byId(id);
    if (!task) return;
    const cycle = findCycle(id, (at) => this.#dependsOn(at));
    if (cycle) {
      const reason = `depends_on goes in a circle: ${cycle.join(' → ')}`;
      for (const member of new Set(cycle))
        await this.#move(member, 'failed', { outcome: 'refused', reason, finished_at: now(), waits_for: undefined });
      return;
    }
    const ready = await judge(this.#ctx, id, task.spec, (dep) => this.#queueOf(dep));
    if (ready.kind === 'ready') return intake.release(id);
    if (ready.kind === 'over') return this.#move(id, ready.to, ready.state);
    if (ready.kind === 'cancel') return this.#cancel(id, ready.reason);
    await this.#move(id, 'blocked', { reason: ready.reason, waits_for: 'dependencies' });
    this.#dependents.add(id, { ...task.spec, ...(ready.on ? { depends_on: ready.on } : {}), reason: ready.reason });
  }

  async #judgeWaiting(id: string): Promise<void> {
    const wants = this.#dependents.get(id);
    if (!wants) return;
    const ready = await judge(this.#ctx, id, wants, (dep) => this.#queueOf(dep));
    if (ready.kind === 'ready' || ready.kind === 'over') {
      this.#dependents.remove(id);
      if (ready.kind === 'over') return this.#move(id, ready.to, ready.state);
      return this.#move(id, 'incoming', { reason: undefined, waits_for: undefined });
    }
    if (ready.kind === 'cancel') {
      this.#dependents.remove(id);
      return this.#cancel(id, ready.reason);
    }
    if (ready.on) this.#dependents.add(id, { ...wants, depends_on: ready.on });
    if (ready.reason === wants.reason) return;
    // Each change of a reason is a write: where thousands wait for one task, only for whom they wait is kept true.
    const many = wants.depends_on.some((dep) => this.#dependents.on(dep).size > TOLD);
    if (many && withoutPlaces(ready.reason) === withoutPlaces(wants.reason)) return;
    const kept = this.#dependents.get(id);
    if (kept) kept.reason = ready.reason;
    // A command may have moved it meanwhile.
    if ((await this.#ctx.queue.get(id))?.queue !== 'blocked') return;
    await this.#ctx.queue.move(id, 'blocked', { to: 'blocked', state: { reason: ready.reason } });
  }

  /** Whoever has waited for a person long enough goes on as the settings say. */
  async #answerByDefault(): Promise<void> {
    const { default_answer, after } = this.#ctx.settings.questions;
    if (default_answer === undefined || after === undefined) return;
    for (const id of this.questions.due(after)) {
      const task = await this.#ctx.queue.get(id);
      this.questions.seen(id, task?.queue === 'blocked' ? task.state : null);
      if (!task || !this.questions.isDue(id, after)) continue;
      await this.#move(id, 'incoming', answered(task, default_answer, 'default'));
      this.questions.seen(id, null);
      const message = `nobody answered within ${formatDuration(after)}: it goes on with the default answer`;
      this.#ctx.events.emit('warning', { task: id, message });
    }
  }

  #cancel(id: string, reason: string): Promise<void> {
    return this.#move(id, 'failed', { outcome: 'cancelled', reason, finished_at: now(), waits_for: undefined });
  }

  /** Moves one that may have been moved by hand meanwhile: then there is nothing to do. */
  async #move(id: string, to: Queue, state: Parameters<Context['queue']['move']>[2]['state']): Promise<void> {
    const task = await this.#ctx.queue.get(id);
    if (!task || (task.queue !== 'incoming' && task.queue !== 'blocked') || task.queue === to) return;
    const moved = await this.#ctx.queue.move(id, task.queue, { to, state });
    this.#ctx.events.emit('transition', {
      task: id,
      from: task.queue,
      to,
      outcome: moved.state.outcome,
      reason: moved.state.reason,
    });
    this.#touched(id);
  }

  #dependsOn(id: string): readonly string[] {
    return this.#ctx.queue.intake.byId(id)?.spec.depends_on ?? this.#dependents.get(id)?.depends_on ?? [];
  }

  #queueOf(id: string): Queue | null {
    const found = QUEUES.find((queue) => existsSync(join(this.#ctx.workspace.queue(queue), `${id}.md`)));
    return found ?? (this.#ctx.queue.intake.byId(id) ? 'incoming' : null);
  }
}

/** Members are taken out one by one while there is time; one that is added meanwhile has its turn too. */
function* taken(set: Set<string>, inTime: () => boolean): Generator<string> {
  for (const one of set) {
    if (!inTime()) return;
    set.delete(one);
    let over = false;
    try {
      yield one;
      over = true;
    } finally {
      // What broke off is tried again.
      if (!over) set.add(one);
    }
  }
}

const isStuck = (state: Task['state']): boolean => isHanded(state) && (state.transients ?? 0) >= TRANSIENTS_PER_ATTEMPT;

export const isHanded = ({ waits_for }: Task['state']): boolean => waits_for === 'merge' || waits_for === 'pr';

/** `waits for a (claimed), b (incoming)` without where they lie. */
const withoutPlaces = (reason: string): string => reason.replace(/ \([a-z ]+\)/g, '');
