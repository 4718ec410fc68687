// Whether the day's budgets allow one more run: what is spent, what the running ones reserve, what such a task costs. Pure.
import { type Amount, amountText, type Unit } from '../attempt/budget.ts';
import type { RunCost } from '../ledger/ledger.ts';
import type { Settings } from '../settings.ts';
import type { Wait } from './terms.ts';

/** What a running run is expected to cost, or has cost already when that is more. */
export interface Held extends Amount {
  agent: string;
  project?: string | undefined;
  /** An earlier daemon began it, and what it has used was not read yet. */
  unread?: boolean;
}

/** One limit on a day, and how far it is used. */
export interface DayBudget {
  /** Where it is set. */
  key: string;
  /** null: all agents together. */
  agent: string | null;
  /** null: all projects together. */
  project: string | null;
  unit: Unit;
  limit: number;
  spent: number;
  reserved: number;
  /** How many runs reserve it. */
  runs: number;
}

/** Sums of parts of a cent leave a rest. */
const REST = 1e-9;

/** The budgets of the settings, with what was spent by each agent today, what is held, and what each project spent. */
export function dayBudgets(
  { budget, agents, projects }: Settings,
  spent: ReadonlyMap<string, Amount>,
  held: readonly Held[],
  spentOf: ReadonlyMap<string, Amount>,
): DayBudget[] {
  const used = (unit: Unit, agent: string | null) => ({
    spent: sum([...spent].flatMap(([name, amount]) => (agent === null || agent === name ? [amount[unit]] : []))),
    reserved: sum(held.flatMap((one) => (agent === null || agent === one.agent ? [one[unit]] : []))),
    runs: held.filter((one) => agent === null || agent === one.agent).length,
  });
  const of = (prefix: string, agent: string | null, unit: Unit, limit: number | undefined): DayBudget[] =>
    limit === undefined
      ? []
      : [{ key: `${prefix}budget.day_${unit}`, agent, project: null, unit, limit, ...used(unit, agent) }];
  const ofProject = (project: string, limit: number | undefined): DayBudget[] => {
    const runs = held.filter((one) => one.project === project);
    const reserved = sum(runs.map(({ usd }) => usd));
    const counted = { spent: spentOf.get(project)?.usd ?? 0, reserved, runs: runs.length };
    const key = `projects.${project}.budget.day_usd`;
    return limit === undefined ? [] : [{ key, agent: null, project, unit: 'usd', limit, ...counted }];
  };
  return [
    ...of('', null, 'usd', budget.day_usd),
    ...of('', null, 'tokens', budget.day_tokens),
    ...Object.entries(agents).flatMap(([name, { budget: own }]) => [
      ...of(`agents.${name}.`, name, 'usd', own.day_usd),
      ...of(`agents.${name}.`, name, 'tokens', own.day_tokens),
    ]),
    ...Object.entries(projects).flatMap(([name, { budget: own }]) => ofProject(name, own.day_usd)),
  ];
}

/** The first budget that does not allow a run of this agent, in this project, that is expected to take so much; null when all do. */
export function budgetWait(
  budgets: readonly DayBudget[],
  agent: string,
  expected: Amount,
  project?: string,
): Wait | null {
  const full = budgets.find((one) => {
    if (one.agent !== null && one.agent !== agent) return false;
    if (one.project !== null && one.project !== project) return false;
    const used = one.spent + one.reserved;
    return used >= one.limit - REST || used + expected[one.unit] > one.limit + REST;
  });
  // Nothing that this daemon does ends it before midnight, and then it looks again.
  return full ? { reason: reasonOf(full, expected[full.unit]), until: 'never' } : null;
}

function reasonOf({ key, unit, limit, spent, reserved, runs }: DayBudget, expected: number): string {
  const text = (amount: number) => amountText(unit, amount);
  const such = expected > 0 ? `, such a task takes about ${text(expected)}` : '';
  const next = expected > limit ? 'when the budget is raised' : 'after midnight, or when the budget is raised';
  const held = runs > 0 ? ` and ${text(reserved)} reserved by ${runs === 1 ? '1 run' : `${runs} runs`}` : '';
  return `${key}: ${text(spent)} ${unit === 'usd' ? 'spent' : 'used'}${held} today of ${text(limit)}${such}: it runs ${next}`;
}

/** What runs took on the average; those that did not tell their cost say nothing of it. */
export function meanOf(runs: readonly RunCost[]): Amount {
  const known = runs.flatMap(({ usd }) => (usd === null ? [] : [usd]));
  return {
    usd: known.length ? sum(known) / known.length : 0,
    tokens: runs.length ? sum(runs.map(({ tokens }) => tokens)) / runs.length : 0,
  };
}

const sum = (amounts: readonly number[]): number => amounts.reduce((total, amount) => total + amount, 0);
