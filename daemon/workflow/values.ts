// What a variable stands for in a run: what was given, or what the tasks that are done put out.
import type { Wanted } from './check.ts';
import { itemId, type Plan, type PlannedStep, type Runs } from './plan.ts';
import { type Answer, outputOf, textOf } from './variables.ts';

/** What a task answered last; null when it never did, or was skipped. */
export type Told = (task: string) => Promise<Answer | null>;

/** The text of a variable; undefined when nobody made it and there is no default. */
export async function valueIn(runs: Runs, plan: Plan, wanted: Wanted, told: Told): Promise<string | undefined> {
  const { name, from, default: other } = wanted;
  if (from === null) return runs.given(plan.run, name) ?? other;
  const value = await outputIn(runs, plan, from, name, told);
  return value === undefined ? other : textOf(value);
}

async function outputIn(runs: Runs, plan: Plan, at: number, name: string, told: Told): Promise<unknown> {
  const step = plan.steps[at]!;
  if (!step.each) {
    const answer = await told(step.id);
    return answer ? outputOf(answer, name) : undefined;
  }
  const items = runs.items(plan.run, at)?.items;
  if (!items) return undefined;
  const answers = await Promise.all(items.map((_, n) => told(itemId(step, n + 1))));
  return answers.every((one) => one === null)
    ? items.length === 0
      ? []
      : undefined
    : answers.map((one) => (one ? outputOf(one, name) : null));
}

/** All that a step takes, by name; the names that nobody made are `missing`. */
export async function valuesFor(
  runs: Runs,
  plan: Plan,
  step: PlannedStep,
  item: string | undefined,
  told: Told,
): Promise<{ values: Map<string, string>; missing: string[] }> {
  const values = new Map<string, string>();
  const missing: string[] = [];
  for (const wanted of step.inputs) {
    const value = await valueIn(runs, plan, wanted, told);
    if (value === undefined) missing.push(wanted.name);
    else values.set(wanted.name, value);
  }
  if (step.each && item !== undefined) values.set(step.each.item, item);
  return { values, missing };
}
