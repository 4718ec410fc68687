// Keeps what was spent today, what running runs reserve and what the last ones took, so that choosing asks no database.
import type { Amount } from '../attempt/budget.ts';
import type { Context } from '../attempt/context.ts';
import { startOfDay } from '../clock.ts';
import type { EventMap } from '../events.ts';
import type { Ledger, RunCost } from '../ledger/ledger.ts';
import { budgetWait, type DayBudget, dayBudgets, type Held, meanOf } from './budget.ts';
import type { Wait } from './terms.ts';

/** So many of the last runs say what the next one takes. */
const SIMILAR = 20;

export class Purse {
  readonly #ledger: Pick<Ledger, 'costs' | 'lastCosts'>;
  readonly #ctx: Pick<Context, 'settings' | 'agents'>;
  #day = '';
  /** By agent. */
  #spent = new Map<string, Amount>();
  /** By project. */
  #projects = new Map<string, Amount>();
  /** By task. */
  readonly #held = new Map<string, Held>();
  /** The last runs of an agent in a role, and in all of them: the latest first. */
  readonly #last = new Map<string, RunCost[]>();

  /** `ctx` is asked anew each time: its settings are replaced when they are reloaded. */
  constructor(ledger: Pick<Ledger, 'costs' | 'lastCosts'>, ctx: Pick<Context, 'settings' | 'agents'>) {
    this.#ledger = ledger;
    this.#ctx = ctx;
    for (const run of ledger.lastCosts(SIMILAR).reverse()) this.#remember(run);
    this.refresh();
  }

  /** Adds up the day anew. Returns whether that changed anything. */
  refresh(now = Date.now()): boolean {
    const before = JSON.stringify([...this.#spent]);
    this.#addUp(now);
    return JSON.stringify([...this.#spent]) !== before;
  }

  /** A run ended: it counts as spent from now on, and no longer as reserved. The ledger must have heard of it before. */
  finished(run: EventMap['attempt_finished'], now = Date.now()): void {
    if (!this.#ctx.agents.free(run.agent)) {
      const { agent, role, cost_usd: usd, input, output, cache_read, cache_write, project } = run;
      const cost = { agent, role, usd, tokens: input + output + cache_read + cache_write, project };
      this.#remember(cost);
      // Asked, and not only added: a run that is told twice counts once, and it is on the disk before the task moves on.
      if (!this.#addUp(now)) this.#add(cost);
    }
    this.#held.delete(run.task);
  }

  /** A run is about to begin, or was found running (`unread`): it reserves what such runs take. */
  hold(task: string, agent: string, role: string, unread = false, project?: string): void {
    if (!this.#ctx.agents.free(agent)) this.#held.set(task, { agent, project, ...this.expected(agent, role), unread });
  }

  /** What a running run has used by now: from where it exceeds what was reserved, it counts. True when that was read for the first time. */
  live(task: string, { usd, tokens }: Amount): boolean {
    const held = this.#held.get(task);
    if (!held) return false;
    held.usd = Math.max(held.usd, usd);
    held.tokens = Math.max(held.tokens, tokens);
    const first = held.unread === true;
    held.unread = false;
    return first;
  }

  letGo(task: string): void {
    this.#held.delete(task);
  }

  /** What is reserved for those that are at work. */
  held(jobs: readonly { id: string }[]): Held[] {
    return jobs.flatMap(({ id }) => this.#held.get(id) ?? []);
  }

  /** What a run of this agent in this role takes, by the last ones; in any role where it had none in this; 0 where it had none at all. */
  expected(agent: string, role: string): Amount {
    return meanOf(this.#last.get(keyOf(agent, role)) ?? this.#last.get(keyOf(agent)) ?? []);
  }

  /** Why the budgets of the day do not allow a task of this agent and role beside what is held, or null. */
  wait(agent: string, role: string, held: readonly Held[], project?: string): Wait | null {
    if (this.#ctx.agents.free(agent)) return null;
    if (held.some(({ unread }) => unread))
      return { reason: 'it is not read yet what the agents that were found running have used', until: 'slot' };
    return budgetWait(this.budgets(held), agent, this.expected(agent, role), project);
  }

  /** Every budget of the day, and how far it is used. */
  budgets(held: readonly Held[]): DayBudget[] {
    return dayBudgets(this.#ctx.settings, this.#spent, held, this.#projects);
  }

  /** False for a ledger that cannot be read just now: what is known stays, as long as the day does. */
  #addUp(now: number): boolean {
    const day = startOfDay(now);
    const costs = this.#ledger.costs(day);
    if (costs === null && day === this.#day) return false;
    this.#day = day;
    this.#spent = new Map();
    this.#projects = new Map();
    for (const cost of costs ?? []) this.#add(cost);
    return costs !== null;
  }

  #add({ agent, usd, tokens, project }: RunCost): void {
    const add = (sums: Map<string, Amount>, key: string) => {
      const sum = sums.get(key) ?? { usd: 0, tokens: 0 };
      sums.set(key, { usd: sum.usd + (usd ?? 0), tokens: sum.tokens + tokens });
    };
    add(this.#spent, agent);
    if (project) add(this.#projects, project);
  }

  #remember(run: RunCost): void {
    for (const key of [keyOf(run.agent, run.role), keyOf(run.agent)])
      this.#last.set(key, [run, ...(this.#last.get(key) ?? [])].slice(0, SIMILAR));
  }
}

const keyOf = (agent: string, role = ''): string => `${agent}\n${role}`;
