// Follows what one run uses: puts a price on it where the agent tells none, tells it on, and says when it is too much.
import { Output } from '../agents/output.ts';
import type { AgentEvent, Usage } from '../agents/port.ts';
import { priced, priceOf } from '../agents/price.ts';
import { amountOf, exceeded } from './budget.ts';
import type { Context } from './context.ts';
import type { Plan } from './plan.ts';

export class Meter {
  readonly #ctx: Context;
  readonly #task: string;
  readonly #plan: Plan;
  /** The model that answers, once it is told. */
  #model: string | null = null;

  constructor(ctx: Context, task: string, plan: Plan) {
    this.#ctx = ctx;
    this.#task = task;
    this.#plan = plan;
  }

  heard(event: AgentEvent): void {
    if (event.type === 'session' && event.model) this.#model = event.model;
  }

  /** By the model that answered; by the one that was asked for where that has no price. */
  priced(usage: Usage, model: string | null = this.#model): Usage {
    return priced(usage, priceOf(this.#ctx.settings.prices, model, this.#plan.model));
  }

  /** What a run used that went down with the machine, by what is left of its output. */
  async lost(dir: string): Promise<Usage> {
    const reader = this.#plan.chosen.agent.reader();
    const { run_output: keep, disk_free } = this.#ctx.settings.limits;
    const output = new Output(dir, reader, { keep, disk_free }, (event) => this.heard(event));
    // Of output that cannot be read nothing is known.
    await output.end().catch(() => {});
    return this.priced(reader.spent);
  }

  /** Why the run may use no more, or null. */
  over(spent: Usage): string | null {
    const amount = amountOf(this.priced(spent));
    this.#ctx.onSpent?.(amount);
    return exceeded(this.#plan.caps, amount, this.#task);
  }
}
