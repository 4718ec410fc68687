// What a task comes to once its file, its role, its project and the settings are put together.
import { existsSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { mcpProblem } from '../agents/mcp.ts';
import type { AgentRegistry, Chosen } from '../agents/registry.ts';
import { messageOf, TowpathError } from '../errors.ts';
import type { Workspace } from '../paths.ts';
import { type Chosen as ChosenPattern, choosePattern, patternProblem } from '../patterns/choose.ts';
import { type Help, helpOf } from '../queue/files/subtasks.ts';
import type { Choice, Task, Vetted } from '../queue/port.ts';
import { type Role, readRole, rolePath } from '../roles/role.ts';
import { type Endpoint, type Settings, worktreesDir } from '../settings.ts';
import { readSchema, type Schema } from '../task/answer.ts';
import { fixSchemaOf } from '../task/fix.ts';
import { REVIEW_SCHEMA, type Reviewers, reviewersOf } from '../task/review.ts';
import { type Check, DEFAULT_ROLE, type FixMode, type OnAccept, type TaskSpec } from '../task/terms.ts';
import { TEST_SCHEMA } from '../task/test.ts';
import { branchOf } from '../worktree/refs.ts';
import { breakdownProblem, breaksOf, schemaOfPlan } from './breakdown.ts';
import { type Cap, capsOf } from './budget.ts';
import type { Context } from './context.ts';
import { skillsProblem } from './skills.ts';
import { agentNameOf, chosen, whoDoes } from './who.ts';

export interface Plan {
  role: Role;
  chosen: Chosen;
  model: string | null;
  /** The model servers that it may use, the one to begin with first. */
  endpoints: Endpoint[];
  /** Absolute path of the repository or folder. */
  repo: string;
  base: string | undefined;
  branch: string;
  /** Where a major task works. */
  worktree: string;
  minor: boolean;
  checks: Check[];
  review: Reviewers;
  /** Whether an agent may mend what the checks find, and must bring a test then. */
  fix: FixMode;
  /** It was filed by a gate, for this. */
  helps: Help | null;
  /** It is to be divided: its agent plans the subtasks, and nothing else of it is kept. */
  divides: boolean;
  /** It was divided: this run joins what these made, and no agent is run. */
  joins: string[] | null;
  onAccept: OnAccept;
  protect: string[];
  expect: 'changes' | 'any';
  timeout_ms: number;
  max_attempts: number;
  /** What its final answer must fit. */
  schema: Schema | null;
  /** The project's notes, a file of the workspace. */
  notes: string | undefined;
  /** What agent `pattern` runs. */
  pattern: ChosenPattern | null;
  /** What its next run may use; none for an agent that is free. */
  caps: Cap[];
}

/** What a task that a gate has filed must answer. */
const schemaOfHelp = ({ kind, with_test }: Help): Schema =>
  kind === 'fix' ? fixSchemaOf(with_test) : kind === 'test' ? TEST_SCHEMA : REVIEW_SCHEMA;

const schemaOf = (named: string | Schema | undefined, root: string): Schema | null =>
  named === undefined ? null : readSchema(named, root);

function schemaProblem(named: string | Schema | undefined, root: string): string | null {
  try {
    schemaOf(named, root);
    return null;
  } catch (thrown) {
    return messageOf(thrown);
  }
}

/** The repository of a task, absolute. */
export function repoOf(task: Pick<Choice, 'spec'>, settings: Settings, workspace: Workspace): string {
  const project = task.spec.project ? settings.projects[task.spec.project] : undefined;
  return resolve(workspace.root, task.spec.repo ?? project?.repo ?? settings.repo);
}

/** What becomes of its branch once it is accepted. */
export const onAcceptOf = (spec: Pick<TaskSpec, 'on_accept' | 'project'>, settings: Settings): OnAccept =>
  spec.on_accept ?? (spec.project ? settings.projects[spec.project]?.on_accept : undefined) ?? settings.on_accept;

/** Null for one that cannot be read: that is told when it is to work. */
function roleOf(name: string, workspace: Workspace): Role | null {
  try {
    return readRole(workspace, name);
  } catch {
    return null;
  }
}

/** Why this workspace can never run a task as it stands (no such role, agent, project, repo), or null. */
export function vet(task: Vetted, settings: Settings, workspace: Workspace, agents: AgentRegistry): string | null {
  const { spec } = task;
  const role = spec.role ?? DEFAULT_ROLE;
  const path = rolePath(workspace, role);
  if (!path) return `role: "${role}" does not exist: write ${join('roles', `${role}.md`)}`;
  if (spec.agent && !agents.known(spec.agent))
    return `agent: "${spec.agent}" does not exist: one of ${agents.names().join(', ')}`;
  if (spec.project && !settings.projects[spec.project])
    return `project: "${spec.project}" does not exist: one of ${Object.keys(settings.projects).join(', ') || 'none, projects: is empty'}`;
  const project = spec.project ? settings.projects[spec.project] : undefined;
  const reviewers = reviewersOf(spec.review ?? project?.review ?? settings.review);
  const nobody = reviewers.roles.find((one) => !rolePath(workspace, one));
  if (nobody) return `review: the role "${nobody}" does not exist: write ${join('roles', `${nobody}.md`)}`;
  const undivided = breakdownProblem(task.id, spec, settings, workspace);
  if (undivided) return undivided;
  const wrong = schemaProblem(spec.output_schema, workspace.root);
  if (wrong) return wrong;
  const its = roleOf(role, workspace);
  const agent = spec.agent ?? (its && agentNameOf(task, its, settings));
  const problem = mcpProblem(spec.mcp) ?? patternProblem(spec, agent, workspace);
  if (problem) return problem;
  const skills = skillsProblem(workspace, spec.skills ?? its?.skills ?? []);
  if (skills) return skills;
  const repo = repoOf(task, settings, workspace);
  return existsSync(repo) ? null : `repo: "${repo}" does not exist`;
}

/**
 * Puts it all together. `ran` is the agent of a run that was begun already: the settings may have changed meanwhile.
 * Throws when role or agent cannot be used.
 */
export function makePlan(
  task: Task,
  ctx: Pick<Context, 'settings' | 'workspace' | 'agents' | 'limits' | 'who'>,
  ran?: string,
): Plan {
  const { settings, workspace, agents } = ctx;
  const { spec } = task;
  const role = readRole(workspace, spec.role ?? DEFAULT_ROLE);
  const project = spec.project ? settings.projects[spec.project] : undefined;
  const who = ran ? chosen(task, role, ran, ctx) : (ctx.who ?? whoDoes(task, ctx));
  if (who.agent === 'auto')
    throw new TowpathError('agent', agents.auto.why, 'install one, or name an agent in the task');
  // What a review or a fix is about is not for its file to say.
  const helps = helpOf(workspace, task.id);
  const minor = helps ? helps.commit === null : spec.complexity === 'minor';
  const found = agents.get(who.agent);
  const breaks = breaksOf(workspace, task, role.name);
  const joins = breaks?.joins ?? null;
  const divides = breaks !== null && joins === null;
  // What a review, a fix or a plan changes is thrown away, and what a tester does is for the gate of what it tests.
  const passing = helps !== null || divides;
  const pattern = who.agent === 'pattern' ? choosePattern(spec, workspace) : null;
  return {
    role,
    chosen: found,
    model: who.model,
    endpoints: who.endpoints,
    repo: repoOf(task, settings, workspace),
    base: helps?.commit ?? spec.base ?? project?.base ?? settings.base,
    branch: branchOf(task.id),
    worktree: join(worktreesDir(settings, workspace), `task-${task.id}`),
    minor,
    checks: passing ? [] : (spec.checks ?? project?.checks ?? settings.checks),
    review: reviewersOf(helps ? 'none' : (spec.review ?? project?.review ?? settings.review)),
    fix: passing ? 'none' : (spec.fix ?? project?.fix ?? settings.fix),
    helps,
    divides,
    joins,
    onAccept: helps ? 'branch' : onAcceptOf(spec, settings),
    protect: helps?.kind === 'review' || divides ? [] : [...settings.protect, ...(project?.protect ?? [])],
    // A pattern whose work is there already has nothing to change.
    expect: passing || joins ? 'any' : (spec.expect ?? (minor || pattern ? 'any' : 'changes')),
    pattern,
    notes: project?.notes ?? settings.notes,
    timeout_ms: spec.timeout ?? settings.timeouts.agent,
    schema: helps
      ? schemaOfHelp(helps)
      : divides
        ? schemaOfPlan(settings, found.settings.permissions === 'full')
        : joins
          ? null
          : schemaOf(spec.output_schema ?? role.output_schema, workspace.root),
    max_attempts: spec.max_attempts ?? settings.retry.max_attempts,
    caps: joins || found.agent.getCapabilities().free ? [] : capsOf(task, settings),
  };
}
