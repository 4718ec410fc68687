// Which pattern a task runs and with which inputs; what does not fit is refused with the key, the value and what is allowed.
import { messageOf, TowpathError } from '../errors.ts';
import type { Workspace } from '../paths.ts';
import { fill, type Misfit } from '../task/answer.ts';
import type { TaskJson, TaskSpec } from '../task/terms.ts';
import { type Pattern, patternNames, readPattern } from './read.ts';

export interface Chosen {
  pattern: Pattern;
  /** With the defaults of its schema. */
  inputs: Record<string, unknown>;
}

/** So many of what is wrong are told. */
const TOLD = 3;

/** The pattern and the inputs of a task for agent `pattern`. Throws `not_found`, `task_refused`. */
export function choosePattern(
  { pattern: name, inputs = {} }: Pick<TaskSpec, 'pattern' | 'inputs'>,
  workspace: Workspace,
) {
  if (name === undefined)
    throw new TowpathError(
      'task_refused',
      `pattern: nothing is not allowed with agent: pattern: one of ${patternNames(workspace).join(', ')}`,
    );
  return withInputs(readPattern(workspace, name), inputs);
}

/** `coerce`: texts from a command line become what the schema asks for. Throws `task_refused`. */
export function withInputs(pattern: Pattern, given: Record<string, unknown>, coerce = false): Chosen {
  const filled = fill(given, pattern.inputs, { named: `${pattern.name}: inputs`, coerce });
  if ('value' in filled) return { pattern, inputs: filled.value as Record<string, unknown> };
  const known = Object.keys((pattern.inputs['properties'] as object | undefined) ?? {}).join(', ') || 'none';
  const words = ({ path, value, allowed }: Misfit) =>
    `inputs${path && `.${path}`}: ${JSON.stringify(value)?.slice(0, 80) ?? 'nothing'} is not allowed: ${allowed}`;
  const told = filled.misfits.slice(0, TOLD).map(words).join('; ');
  throw new TowpathError('task_refused', `${told} (pattern ${pattern.name} takes: ${known})`);
}

/** Why a task can never run for what it says of patterns, or null. `agent` is null where it is not known. */
export function patternProblem(spec: TaskSpec, agent: string | null, workspace: Workspace): string | null {
  if (spec.pattern !== undefined && agent !== null && agent !== 'pattern')
    return `pattern: "${spec.pattern}" is not allowed with agent: ${agent}: write agent: pattern`;
  if (agent !== 'pattern') return null;
  try {
    choosePattern(spec, workspace);
    return null;
  } catch (thrown) {
    return thrown instanceof TowpathError ? thrown.line : messageOf(thrown);
  }
}

/** What a pattern reads on stdin: version 1 of the contract. */
export const patternCall = (call: {
  /** null: it is only tried. */
  task: TaskJson | null;
  inputs: Record<string, unknown>;
  workspace: string;
  repo: string;
  worktree: string;
  branch: string | null;
  dry_run: boolean;
}): Record<string, unknown> => ({ version: 1, event: 'pattern', ...call });
