// Tasks that are divided: what the plan must keep to, what was filed of it, and whether their next run joins what the subtasks made.
import type { Workspace } from '../paths.ts';
import { findCycle } from '../queue/dependencies.ts';
import { helpOf, parentOf } from '../queue/files/subtasks.ts';
import type { Task, Vetted } from '../queue/port.ts';
import { readRole, rolePath } from '../roles/role.ts';
import type { Settings } from '../settings.ts';
import { judgeAnswer, type Schema } from '../task/answer.ts';
import { BREAKDOWN, type Division, divisionOf, divisionSchema } from '../task/breakdown.ts';
import { readDivided } from './divided.ts';
import { readVerdict } from './record.ts';
import { agentNameOf } from './who.ts';

/** Whether a task is divided, and whose work its run joins: none while it is planned, and null for any other task. */
export function breaksOf(workspace: Workspace, task: Pick<Task, 'id' | 'queue' | 'state'>, role: string) {
  if (role !== BREAKDOWN || helpOf(workspace, task.id)) return null;
  const divided = readDivided(workspace, task.id);
  const { runs } = task.state;
  // A task without runs is a new one under an old name. One whose plan is judged has made no other run since.
  const planned = runs !== undefined && divided !== null;
  const judged = task.queue !== 'incoming' && task.queue !== 'claimed' && runs === divided?.run;
  return { joins: planned && !judged ? divided.subtasks.map(({ id }) => id) : null };
}

/** How deep a task was filed; 0 by a person. */
export const depthOf = (workspace: Workspace, id: string): number => parentOf(workspace, id)?.depth ?? 0;

/** Why a task may not be divided, or null. */
export function breakdownProblem(
  id: string,
  spec: Vetted['spec'],
  { subtasks }: Settings,
  workspace: Workspace,
): string | null {
  if (spec.role !== BREAKDOWN || helpOf(workspace, id)) return null;
  if (spec.complexity === 'minor')
    return 'complexity: a minor task cannot be broken down, since it has no branch to join the subtasks on: take complexity: minor out';
  if (spec.output_schema !== undefined) return 'output_schema: a breakdown has a schema of its own: take it out';
  const depth = depthOf(workspace, id);
  if (depth < subtasks.depth && subtasks.number > 0) return null;
  const limit = depth < subtasks.depth ? 'subtasks.number is 0' : `subtasks.depth is ${subtasks.depth}`;
  return `role: ${depth > 0 ? 'a subtask' : 'this task'} cannot be broken down, since ${limit} in the settings`;
}

interface Rules {
  /** Whether a subtask may be divided in turn. */
  deeper: boolean;
  /** Why a role cannot be given, or null. */
  role: (name: string) => string | null;
}

/** What is wrong with a plan that fits the schema, for whoever made it; null when nothing is. Pure. */
export function divisionProblem({ subtasks }: Division, rules: Rules): string | null {
  const found: string[] = [];
  const byId = new Map(subtasks.map((one) => [one.id, one]));
  const twice = subtasks.find(({ id }, at) => subtasks.findIndex((one) => one.id === id) < at);
  if (twice) found.push(`two subtasks have the id ${twice.id}`);
  for (const { id, role, depends_on } of subtasks) {
    const unknown = depends_on.find((one) => !byId.has(one));
    if (unknown !== undefined) found.push(`${id} depends on ${unknown}, which is none of the subtasks`);
    const problem =
      role === BREAKDOWN && !rules.deeper
        ? 'it cannot be broken down further: subtasks.depth'
        : role === null
          ? null
          : rules.role(role);
    if (problem) found.push(`${id}: role ${role}: ${problem}`);
  }
  for (const { id } of subtasks) {
    const cycle = findCycle(id, (at) => byId.get(at)?.depends_on ?? []);
    if (!cycle) continue;
    found.push(`depends_on goes in a circle: ${cycle.join(' → ')}`);
    break;
  }
  return found.length === 0 ? null : `the plan cannot be carried out: ${found.join('; ')}`;
}

/** The rules of this workspace for the plan of a task. `full`: its agent may run commands. */
export function rulesFor(task: Task, settings: Settings, workspace: Workspace, full: boolean): Rules {
  const { agent: _, ...spec } = task.spec;
  return {
    deeper: depthOf(workspace, task.id) + 1 < settings.subtasks.depth,
    role: (name) => {
      if (!/^[A-Za-z0-9][A-Za-z0-9_-]*$/.test(name) || !rolePath(workspace, name)) return 'there is no such role';
      const agent = agentNameOf({ spec }, readRole(workspace, name), settings);
      return agent === 'shell' && !full ? 'its agent runs commands, which you may not' : null;
    },
  };
}

/** The schema of a task's plan. */
export const schemaOfPlan = ({ subtasks }: Settings, full: boolean): Schema =>
  divisionSchema({ most: subtasks.number, checks: full });

const LOOSE: Schema = {
  type: 'object',
  required: ['subtasks'],
  properties: { subtasks: { type: 'array', items: { type: 'object', required: ['body'] } } },
};

/** What a run planned: that it keeps to the rules was judged when it ended. */
export function plannedIn(workspace: Workspace, id: string, run: number): Division | null {
  const verdict = readVerdict(workspace.run(id, run))?.verdict;
  const judged = verdict ? judgeAnswer(verdict.output, LOOSE, verdict.structured) : { problem: '' };
  return 'value' in judged ? divisionOf(judged.value) : null;
}
