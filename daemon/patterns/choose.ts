// Which pattern a task runs and with which inputs; what does not fit is refused with the key, the value and what is allowed.
import { messageOf, TowpathError } from '../errors.ts';
import type { Workspace } from '../paths.ts';
import { fill, type Misfit, NO_SUCH_KEY } from '../task/answer.ts';
import type { TaskJson } from '../task/terms.ts';
import { type Pattern, patternNames, readPattern } from './read.ts';

export interface Chosen {
  pattern: Pattern;
  /** With the defaults of its schema. */
  inputs: Record<string, unknown>;
}

/** So many of what is wrong are told. */
const TOLD = 3;

/** What a task says of patterns. */
export interface Asked {
  pattern?: string | undefined;
  inputs?: Record<string, unknown> | undefined;
}

const VARIABLE = /\$\{[A-Za-z_][A-Za-z0-9_]*\}/;
const holdsVariable = (value: unknown): boolean => VARIABLE.test(JSON.stringify(value) ?? '');

/** The pattern and the inputs that a task asks for. Variables of a workflow stand in them as they are. Throws `not_found`, `task_refused`. */
export function choosePattern({ pattern: name, inputs = {} }: Asked, workspace: Workspace): Chosen {
  if (name === undefined)
    throw new TowpathError(
      'task_refused',
      `pattern: missing with agent: pattern: one of ${patternNames(workspace).join(', ')}`,
    );
  const pattern = readPattern(workspace, name);
  if (!holdsVariable(inputs)) return withInputs(pattern, inputs);
  const filled = fill(inputs, pattern.inputs, { named: `${name}: inputs`, coerce: true });
  // What is not known yet is judged once it is.
  const misfits =
    'misfits' in filled
      ? filled.misfits.filter(({ value, allowed }) => allowed === NO_SUCH_KEY || !holdsVariable(value))
      : [];
  if (misfits.length > 0) throw refusal(pattern, misfits);
  return { pattern, inputs };
}

/** The same with the variables filled in and checked. Throws `task_refused`. */
export function filledIn({ pattern, inputs }: Chosen, fill: (text: string) => string): Chosen {
  if (!holdsVariable(inputs)) return { pattern, inputs };
  const walk = (at: unknown): unknown => {
    if (typeof at === 'string') return fill(at);
    if (Array.isArray(at)) return at.map(walk);
    if (typeof at !== 'object' || at === null) return at;
    return Object.fromEntries(Object.entries(at).map(([key, value]) => [key, walk(value)]));
  };
  // What a step puts out is text.
  return withInputs(pattern, walk(inputs) as Record<string, unknown>, true);
}

/** `coerce`: texts from a command line become what the schema asks for. Throws `task_refused`. */
export function withInputs(pattern: Pattern, given: Record<string, unknown>, coerce = false): Chosen {
  const filled = fill(given, pattern.inputs, { named: `${pattern.name}: inputs`, coerce });
  if ('value' in filled) return { pattern, inputs: filled.value as Record<string, unknown> };
  throw refusal(pattern, filled.misfits);
}

function refusal({ name, inputs }: Pattern, misfits: readonly Misfit[]): TowpathError {
  const known = Object.keys((inputs['properties'] as object | undefined) ?? {}).join(', ') || 'none';
  const words = ({ path, value, allowed }: Misfit) =>
    `inputs${path && `.${path}`}: ${JSON.stringify(value)?.slice(0, 80) ?? 'nothing'} is not allowed: ${allowed}`;
  const told = misfits.slice(0, TOLD).map(words).join('; ');
  return new TowpathError('task_refused', `${told} (pattern ${name} takes: ${known})`);
}

/** Why a task can never run for what it says of patterns, or null. `agent` is null where it is not known. */
export function patternProblem(own: Asked, agent: string | null, workspace: Workspace): string | null {
  if (own.pattern !== undefined && agent !== null && agent !== 'pattern')
    return `pattern: "${own.pattern}" is not allowed with agent: ${agent}: write agent: pattern`;
  if (agent !== 'pattern') return null;
  try {
    choosePattern(own, workspace);
    return null;
  } catch (thrown) {
    return thrown instanceof TowpathError ? thrown.line : messageOf(thrown);
  }
}

/** What a pattern reads on stdin: version 1 of the contract. */
export const patternCall = (call: {
  /** null: it is only tried. */
  task: TaskJson | null;
  attempt: number | null;
  inputs: Record<string, unknown>;
  workspace: string;
  repo: string;
  worktree: string;
  branch: string | null;
  dry_run: boolean;
}): Record<string, unknown> => ({ version: 1, event: 'pattern', agent: 'pattern', model: null, result: null, ...call });
