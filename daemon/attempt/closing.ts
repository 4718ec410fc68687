// Limits as a run meets them: what it says closes its agent or its model server, and its first answer opens what was on trial.
import type { AgentEvent, Verdict } from '../agents/port.ts';
import { now } from '../clock.ts';
import { onTrial, PAST_RESET_MS, UNKNOWN_RESET_MS } from '../limits.ts';
import type { Outcome } from '../task/terms.ts';
import type { Context } from './context.ts';
import type { Plan } from './plan.ts';
import { readRun } from './record.ts';

/** What a run's limit closes: the model server that it was sent to, else its agent. */
export const payerOf = (agent: string, endpoints: readonly { name: string }[] | undefined): string =>
  endpoints?.[0]?.name ?? agent;

/** A limit closes until its reset; a refused key or an empty account closes until a person says so. True when it did. */
export function closeLimits(
  ctx: Context,
  plan: Plan,
  run_dir: string,
  verdict: Verdict,
  { outcome, reason }: { outcome: Outcome; reason: string },
): boolean {
  const endpoints = readRun(run_dir)?.request?.endpoints ?? [];
  if (endpoints[0]) ctx.endpoints.tell(endpoints[0].name, outcome === 'transient');
  if (plan.chosen.settings.limits === 'off') return false;
  const payer = payerOf(plan.chosen.agent.name, endpoints);
  const close = (until: string | null) => {
    ctx.limits.close(payer, { until, reason, since: now() });
    ctx.events.emit('agent_closed', { agent: payer, until, reason });
    return true;
  };
  if (outcome === 'rate_limited') {
    // A reset that is past by our clock would start the agent again at once, and again.
    const told = verdict.retry_at ? Date.parse(verdict.retry_at) : Date.now() + UNKNOWN_RESET_MS;
    return close(new Date(told > Date.now() ? told : Date.now() + PAST_RESET_MS).toISOString());
  }
  if (outcome === 'auth' || outcome === 'billing') return close(null);
  // It was tried and gave no answer of its own, yet it ended as one that is not limited.
  if (outcome !== 'transient' && outcome !== 'crashed' && outcome !== 'cancelled') answered(ctx, payer);
  return false;
}

/** Signs that a model has answered. */
const ANSWERS: ReadonlySet<AgentEvent['type']> = new Set(['agent_thought', 'tool_call']);

/** Opens the payer of a run that is on trial, at its first answer: the others need not wait for the end. */
export function hearAnswer(ctx: Context, payer: string, event: AgentEvent): void {
  if (ANSWERS.has(event.type)) answered(ctx, payer);
}

function answered(ctx: Context, payer: string): void {
  const limit = ctx.limits.of(payer);
  if (limit && onTrial(limit) && ctx.limits.open(payer)) ctx.events.emit('agent_opened', { agent: payer });
}
