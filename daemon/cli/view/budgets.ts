// The budgets of the day for `status` and `stats`: what is spent and reserved of each.
import { AgentRegistry } from '../../agents/registry.ts';
import { amountText } from '../../attempt/budget.ts';
import type { Ledger } from '../../ledger/ledger.ts';
import type { Workspace } from '../../paths.ts';
import type { Settings } from '../../settings.ts';
import type { DayBudget, Held } from '../../waiting/budget.ts';
import { Purse } from '../../waiting/purse.ts';
import { plural } from './words.ts';

/** `reserved` is what a running daemon tells. */
export const budgetsToday = (
  workspace: Workspace,
  ledger: Ledger,
  settings: Settings,
  reserved: readonly Held[],
): DayBudget[] => new Purse(ledger, { settings, agents: new AgentRegistry(settings, workspace) }).budgets(reserved);

/** One line for each budget: `today claude: $3.10 of $50.00 spent, 2 runs reserve $1.60`. */
export const budgetLines = (budgets: readonly DayBudget[]): string[] =>
  budgets.map((one) => `today${whose(one)}: ${spentOf(one)}`);

const whose = ({ agent, project }: DayBudget): string =>
  project !== null ? `, project ${project}` : agent !== null ? `, ${agent}` : '';

/** `$3.10 of $50.00 spent, 2 runs reserve $1.60` */
export function spentOf({ unit, limit, spent, reserved, runs }: DayBudget): string {
  const held = runs > 0 ? `, ${plural(runs, 'run')} ${runs === 1 ? 'reserves' : 'reserve'}` : '';
  const used = unit === 'usd' ? 'spent' : 'used';
  return `${amountText(unit, spent)} of ${amountText(unit, limit)} ${used}${held && `${held} ${amountText(unit, reserved)}`}`;
}
