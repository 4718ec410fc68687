// Holds a workflow together: who makes which variable, who waits for whom; all that does not fit is told with its place. Pure.
import { circleIn } from './graph.ts';
import type { Input, Step, StepOutcome, Word, Workflow } from './parse.ts';
import type { Problem } from './problem.ts';

/** A variable that a step takes: `from` is the step that makes it, null when it is given. */
export interface Wanted {
  name: string;
  from: number | null;
  default?: string;
}

/** A step by numbers instead of names. */
export interface Bound {
  step: Step;
  inputs: Wanted[];
  when: { step: number; outcomes: StepOutcome[] } | null;
  each: { list: Wanted; item: string; in_turn: boolean } | null;
  needs: number[];
}

export interface World {
  /** Names of the variables that were given; null when only the file is looked at. */
  given: ReadonlySet<string> | null;
  hasRole: (name: string) => boolean;
}

/** The steps with what they need. They are of use only when there is no problem. */
export function bind({ steps }: Workflow, world: World): { steps: Bound[]; problems: Problem[] } {
  const problems: Problem[] = [];
  const wrong = ({ line, column }: { line: number; column: number }, reason: string) =>
    problems.push({ line, column, reason });
  const named = new Map<string, number>();
  const makers = new Map<string, number>();
  for (const [at, step] of steps.entries()) {
    const key = step.name.toLowerCase();
    const other = named.get(key);
    if (other === undefined) named.set(key, at);
    else wrong(step, `the step "${step.name}" is there twice, see line ${steps[other]!.line}`);
    for (const output of step.outputs) {
      const maker = makers.get(output.text);
      if (maker === undefined) makers.set(output.text, at);
      else wrong(output, `\${${output.text}} is put out twice, see "${steps[maker]!.name}"`);
    }
  }
  const find = (word: Word, at: number): number | null => {
    const found = named.get(word.text.toLowerCase());
    if (found === undefined) wrong(word, `no step "${word.text}"`);
    else if (found === at) wrong(word, `"${word.text}" cannot wait for itself`);
    return found === undefined || found === at ? null : found;
  };
  const taken = new Set<string>();
  const wanted = (input: Input): Wanted => {
    const first = !taken.has(input.text);
    taken.add(input.text);
    const from = makers.get(input.text) ?? null;
    if (from === null && input.default === undefined && world.given?.has(input.text) === false && first)
      wrong(input, `\${${input.text}} is not defined: no step puts it out, so give it with --var ${input.text}=…`);
    return { name: input.text, from, ...(input.default === undefined ? {} : { default: input.default }) };
  };
  const bound = steps.map((step, at): Bound => {
    if (step.role && !world.hasRole(step.role.text))
      wrong(step.role, `the role "${step.role.text}" does not exist: write roles/${step.role.text}.md`);
    checkUse(step, wrong);
    const inputs = step.inputs.map(wanted);
    const list = step.each && wanted(step.each.list);
    for (const [n, { from }] of [...inputs, ...(list ? [list] : [])].entries())
      if (from === at) {
        const word = step.inputs[n] ?? step.each!.list;
        wrong(word, `"${step.name}" takes \${${word.text}}, which it puts out itself`);
      }
    const condition = step.when && find(step.when.step, at);
    const when = step.when && condition !== null ? { step: condition!, outcomes: step.when.outcomes } : null;
    const after = step.after.flatMap((word) => find(word, at) ?? []);
    const needs = [...inputs.map(({ from }) => from), list?.from ?? null, ...after, when?.step ?? null];
    return {
      ...{ step, inputs, when },
      each: list && step.each ? { list, item: step.each.item.text, in_turn: step.each.in_turn } : null,
      needs: [...new Set(needs.filter((need): need is number => need !== null && need !== at))].sort((a, b) => a - b),
    };
  });
  const circle = circleIn(bound);
  if (circle)
    wrong(steps[circle[0]!]!, `the steps wait for each other: ${circle.map((at) => steps[at]!.name).join(' → ')}`);
  for (const name of world.given ?? [])
    if (makers.has(name)) wrong({ line: 1, column: 1 }, `\${${name}} is given, but a step puts it out`);
    else if (!taken.has(name)) wrong({ line: 1, column: 1 }, `\${${name}} is given, but no step takes it`);
  return { steps: bound, problems };
}

type Wrong = (at: Word, reason: string) => void;

/** Whether a step takes what its instruction names, and names what it takes. */
function checkUse(step: Step, wrong: Wrong): void {
  const known = new Set<string>();
  const own = [...step.inputs, ...(step.each ? [step.each.item] : [])];
  for (const input of own) {
    if (known.has(input.text)) wrong(input, `"${step.name}" takes \${${input.text}} twice`);
    known.add(input.text);
    if (!step.uses.some(({ text }) => text === input.text))
      wrong(input, `\${${input.text}} is not used: the instruction of "${step.name}" does not name it`);
  }
  const told = new Set<string>();
  for (const use of step.uses) {
    if (known.has(use.text) || told.has(use.text)) continue;
    told.add(use.text);
    wrong(
      use,
      `\${${use.text}} is not defined: "${step.name}" does not take it as input; $\${${use.text}} is the plain text`,
    );
  }
}
