// Tasks that wait for others: into blocked/ when a dependency is missing, out of it when all are done; circles are refused.
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { Context } from '../attempt/context.ts';
import { readWork } from '../attempt/work.ts';
import { now } from '../clock.ts';
import { findCycle, readiness } from '../queue/dependencies.ts';
import { taskNames } from '../queue/files/read.ts';
import type { Task } from '../queue/port.ts';
import { QUEUES, type Queue, type TaskSpec } from '../task/terms.ts';

type Wants = Pick<TaskSpec, 'depends_on' | 'on_dependency_failure'>;

export class Blocked {
  readonly #ctx: Context;
  /** Tasks in blocked/ that wait for dependencies. */
  readonly #waiting = new Map<string, Wants & { reason: string }>();
  /** Tasks that came into incoming and were not looked at for dependencies yet. */
  readonly #fresh = new Set<string>();
  #stale = true;
  #unread = true;
  #recount = true;
  #provisional: Task[] = [];

  constructor(ctx: Context) {
    this.#ctx = ctx;
  }

  /** A task came into incoming. */
  arrived(id: string): void {
    this.#fresh.add(id);
  }

  /** Something was done, failed or moved: who waits is judged anew. */
  changed(queue?: Queue): void {
    this.#stale = true;
    if (queue === undefined || queue === 'blocked') this.#unread = true;
    this.#recount = true;
  }

  /** Results that wait for a gate or a person. */
  get provisional(): number {
    return this.#provisional.length;
  }

  /** Some gate hook asked for patience, and will be asked again. */
  get gatesWait(): boolean {
    return this.#provisional.some(({ state }) => state.waits_for !== 'review' && state.not_before !== undefined);
  }

  /** Results whose gate has not run yet. */
  async ungated(): Promise<Task[]> {
    return this.#provisional.filter(
      (task) =>
        // One that a person accepted while the command was killed is only landed.
        (task.state.waits_for !== 'review' || readWork(this.#ctx.workspace, task.id)?.accepted) &&
        !task.refusal &&
        existsSync(this.#ctx.workspace.runs(task.id)),
    );
  }

  /** One pass over all that may have changed. */
  async sort(): Promise<void> {
    if (this.#unread) await this.#readBlocked();
    if (this.#recount) await this.#readProvisional();
    for (const id of this.#fresh) await this.#judgeFresh(id);
    this.#fresh.clear();
    if (!this.#stale) return;
    this.#stale = false;
    for (const [id, wants] of this.#waiting) await this.#judgeWaiting(id, wants);
  }

  async #readBlocked(): Promise<void> {
    this.#unread = false;
    this.#waiting.clear();
    for (const task of await this.#ctx.queue.list('blocked'))
      if (task.state.waits_for === 'dependencies')
        this.#waiting.set(task.id, { ...task.spec, reason: task.state.reason ?? '' });
  }

  async #readProvisional(): Promise<void> {
    this.#recount = false;
    this.#provisional = taskNames(this.#ctx.workspace.queue('provisional')).length
      ? await this.#ctx.queue.list('provisional')
      : [];
  }

  async #judgeFresh(id: string): Promise<void> {
    const task = this.#ctx.queue.intake.byId(id);
    if (!task || task.spec.depends_on.length === 0) return;
    const cycle = findCycle(id, (at) => this.#dependsOn(at));
    if (cycle) {
      const reason = `depends_on goes in a circle: ${cycle.join(' → ')}`;
      for (const member of new Set(cycle))
        await this.#move(member, 'failed', { outcome: 'refused', reason, finished_at: now(), waits_for: undefined });
      return;
    }
    const ready = readiness(task.spec, (dep) => this.#queueOf(dep));
    if (ready.kind === 'ready') return;
    if (ready.kind === 'cancel') return this.#cancel(id, ready.reason);
    await this.#move(id, 'blocked', { reason: ready.reason, waits_for: 'dependencies' });
    this.#waiting.set(id, { ...task.spec, reason: ready.reason });
  }

  async #judgeWaiting(id: string, wants: Wants & { reason: string }): Promise<void> {
    const ready = readiness(wants, (dep) => this.#queueOf(dep));
    if (ready.kind === 'ready') {
      this.#waiting.delete(id);
      return this.#move(id, 'incoming', { reason: undefined, waits_for: undefined });
    }
    if (ready.kind === 'cancel') {
      this.#waiting.delete(id);
      return this.#cancel(id, ready.reason);
    }
    if (ready.reason === wants.reason) return;
    wants.reason = ready.reason;
    await this.#ctx.queue.move(id, 'blocked', { to: 'blocked', state: { reason: ready.reason } });
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
    if (to === 'failed') this.#stale = true;
  }

  #dependsOn(id: string): readonly string[] {
    return this.#ctx.queue.intake.byId(id)?.spec.depends_on ?? this.#waiting.get(id)?.depends_on ?? [];
  }

  #queueOf(id: string): Queue | null {
    const found = QUEUES.find((queue) => existsSync(join(this.#ctx.workspace.queue(queue), `${id}.md`)));
    return found ?? (this.#ctx.queue.intake.byId(id) ? 'incoming' : null);
  }
}
