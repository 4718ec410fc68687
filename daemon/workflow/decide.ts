// Whether a step may begin, is skipped, or must wait, by how the steps before it ended. Pure.
import type { PlannedStep } from './plan.ts';

/** How a step stands. */
export type Standing = 'open' | 'ok' | 'failed' | 'skipped';

export type Decision =
  | { kind: 'skip'; reason: string }
  /** It depends on these steps as any task depends on others. */
  | { kind: 'depends'; on: number[] };

/** `standing` says how another step stands, by its number. */
export function decide(
  steps: readonly PlannedStep[],
  step: PlannedStep,
  standing: (step: number) => Standing,
): Decision {
  const name = (at: number) => `"${steps[at]!.name}"`;
  const { when } = step;
  const condition = when && standing(when.step);
  if (when && condition !== 'open' && !when.outcomes.includes(condition!)) {
    const ended = condition === 'skipped' ? 'was skipped' : `ended ${condition}`;
    return {
      kind: 'skip',
      reason: `skipped: ${name(when.step)} ${ended}, and this is for ${when.outcomes.join(' or ')}`,
    };
  }
  const wanted = [...step.inputs, ...(step.each ? [step.each.list] : [])];
  for (const { name: variable, from, default: other } of wanted)
    if (from !== null && other === undefined && standing(from) === 'skipped')
      return { kind: 'skip', reason: `skipped: it takes \${${variable}} of ${name(from)}, which was skipped` };
  // The step of the condition may have failed: that is what was asked for.
  return { kind: 'depends', on: step.needs.filter((need) => need !== when?.step || condition === 'open') };
}
