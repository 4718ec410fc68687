// What a run may use: the budgets of the attempt and of the task, in USD and in tokens of all classes. Pure.
import type { Usage } from '../agents/port.ts';
import { tokensOf } from '../agents/usage.ts';
import type { Settings } from '../settings.ts';
import { NO_TOKENS, type State, type TaskSpec } from '../task/terms.ts';

export type Unit = 'usd' | 'tokens';
/** USD and tokens of all classes together. */
export type Amount = Record<Unit, number>;

/** One limit on a run. */
export interface Cap {
  /** Where it is set. */
  key:
    | 'budget_usd'
    | 'budget.task_usd'
    | 'budget.task_tokens'
    | 'budget.attempt_usd'
    | 'budget.attempt_tokens'
    | `projects.${string}.budget.task_usd`;
  unit: Unit;
  limit: number;
  /** What counted against it before the run. */
  before: number;
}

/** What a run used; a cost that nobody knows counts as none. */
export const amountOf = (usage: Usage): Amount => ({ usd: usage.cost_usd ?? 0, tokens: tokensOf(usage) });

/** The limits of the next run of a task. */
export function capsOf({ spec, state }: { spec: TaskSpec; state: State }, { budget, projects }: Settings): Cap[] {
  const { project = '' } = spec;
  const own = projects[project]?.budget.task_usd;
  const spent: Amount = { usd: state.cost_usd ?? 0, tokens: tokensOf(state.tokens ?? NO_TOKENS) };
  const cap = (key: Cap['key'], unit: Unit, limit: number | undefined, before: number): Cap[] =>
    limit === undefined ? [] : [{ key, unit, limit, before }];
  return [
    ...(spec.budget_usd !== undefined
      ? cap('budget_usd', 'usd', spec.budget_usd, spent.usd)
      : own !== undefined
        ? cap(`projects.${project}.budget.task_usd`, 'usd', own, spent.usd)
        : cap('budget.task_usd', 'usd', budget.task_usd, spent.usd)),
    ...cap('budget.task_tokens', 'tokens', budget.task_tokens, spent.tokens),
    ...cap('budget.attempt_usd', 'usd', budget.attempt_usd, 0),
    ...cap('budget.attempt_tokens', 'tokens', budget.attempt_tokens, 0),
  ];
}

/** Of a limit, after so much more; below a millionth of a dollar nothing is left. */
const leftOf = ({ limit, before }: Cap, spent = 0): number => Number((limit - before - spent).toFixed(6));

/** What a run may still cost at its start; null when nothing limits it. */
export function usdLeft(caps: readonly Cap[]): number | null {
  const left = caps.filter(({ unit }) => unit === 'usd').map((cap) => leftOf(cap));
  return left.length === 0 ? null : Math.max(0, Math.min(...left));
}

/** Why no further run of a task may begin, or null. */
export function usedUp(caps: readonly Cap[], task: string): string | null {
  const cap = caps.find((one) => leftOf(one) <= 0);
  return cap ? `${share(cap, cap.before)}: ${toRaise(cap, task)}` : null;
}

/** Why a run that has used so much may use no more, or null. */
export function exceeded(caps: readonly Cap[], spent: Amount, task: string): string | null {
  const cap = caps.find((one) => leftOf(one, spent[one.unit]) < 0);
  return cap ? `the agent was ended: ${share(cap, cap.before + spent[cap.unit])}: ${toRaise(cap, task)}` : null;
}

/** What to do about a budget that the agent itself kept. */
export function advice(caps: readonly Cap[], task: string): string {
  const usd = caps.filter(({ unit }) => unit === 'usd').sort((a, b) => leftOf(a) - leftOf(b));
  return usd[0] ? toRaise(usd[0], task) : `"towpath retry ${task}" tries it again`;
}

const share = ({ unit, limit, key }: Cap, used: number): string =>
  `${amountText(unit, used)} of ${amountText(unit, limit)} ${unit === 'usd' ? 'spent' : 'used'} (${key})`;

function toRaise({ key }: Cap, task: string): string {
  if (key.startsWith('budget.attempt')) return `"towpath retry ${task}" begins another attempt, or raise ${key} before`;
  const what = key.endsWith('budget.task_usd') ? `${key}, or set budget_usd in the task` : key;
  return `raise ${what}, then "towpath retry ${task}"; unraised it is blocked again`;
}

/** `$4.20`, `$0.0034`, `12,345 tokens`. */
export function amountText(unit: Unit, amount: number): string {
  if (unit === 'tokens') return `${Math.round(amount).toLocaleString('en-US')} tokens`;
  return `$${amount > 0 && amount < 0.1 ? amount.toFixed(4).replace(/0{1,2}$/, '') : amount.toFixed(2)}`;
}
