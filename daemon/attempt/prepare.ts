// The first phase of an attempt: the place to work, the hooks before the work, the prompt. Each step may be entered again.

import { existsSync, realpathSync } from 'node:fs';
import { mcpServers } from '../agents/mcp.ts';
import type { AgentRequest } from '../agents/port.ts';
import { filledIn, patternCall } from '../patterns/choose.ts';
import { type Claim, type Lock, type Task, toJson } from '../queue/port.ts';
import { redact } from '../secrets.ts';
import { worktreesDir } from '../settings.ts';
import type { Check } from '../task/terms.ts';
import { textOf } from '../workflow/variables.ts';
import { GitProblem } from '../worktree/git.ts';
import { refit } from '../worktree/refit.ts';
import { branchOf } from '../worktree/refs.ts';
import { branchExists, inspect } from '../worktree/repo.ts';
import { applyTree, openTree } from '../worktree/tree.ts';
import { prepareWorktree } from '../worktree/worktree.ts';
import { lastWork } from './anew.ts';
import { usdLeft } from './budget.ts';
import type { Context } from './context.ts';
import { type Ending, failure } from './ending.ts';
import { taskHooks } from './hook.ts';
import { withOwnServer } from './own-server.ts';
import { onAcceptOf, type Plan } from './plan.ts';
import { buildPrompt, buildSystemPrompt } from './prompt.ts';
import { readNotes, readSkills, skillDir } from './skills.ts';
import { buildsOn, fillStep } from './step.ts';
import { readWork, type Work, writeWork } from './work.ts';

export interface Prepared {
  work: Work;
  request: AgentRequest;
  env: Record<string, string>;
}

/** Makes everything ready for the agent, or says how the attempt ends before it began. */
export async function prepare(
  ctx: Context,
  task: Task,
  lock: Lock,
  plan: Plan,
  newSession: string,
  signal: AbortSignal,
): Promise<Prepared | { ending: Ending }> {
  const filled = await fillStep(ctx, task);
  if ('ending' in filled) return filled;
  let work: Work;
  try {
    work = await openWork(ctx, task, plan, lock.attempt);
  } catch (thrown) {
    if (thrown instanceof GitProblem) return { ending: endingOf(thrown) };
    throw thrown;
  }
  Object.assign(lock, { repo: work.repo, worktree: work.worktree, branch: work.branch });
  await ctx.queue.renew(lock);
  const moment = { signal, task, lock, attempt: lock.attempt, plan, work, result: null };
  if (work.kind === 'worktree' && !work.setup_done) {
    const setup = await taskHooks(ctx, 'setup', moment);
    if ('ending' in setup) return setup;
    work = writeWork(ctx, task.id, { ...work, setup_done: true });
  }
  const pre = await taskHooks(ctx, 'pre_task', { ...moment, work });
  if ('ending' in pre) return pre;
  const session = resumable(task, plan) ? (task.state.session ?? null) : null;
  const names = task.spec.skills ?? plan.role.skills ?? [];
  const run_dir = ctx.workspace.run(task.id, lock.attempt);
  const { skills: found, problems } = readSkills(ctx.workspace, names);
  const skills = found.map((skill) => ({ ...skill, dir: skillDir(run_dir, skill.name) }));
  const { agent } = plan.chosen;
  const opens = skills.length > 0 && (agent.opensSkills?.(await ctx.agents.lacks(agent.name)) ?? false);
  const notes = readNotes(ctx.workspace, plan.notes);
  if (plan.notes !== undefined && notes === null) problems.push(`notes: ${plan.notes} cannot be read`);
  const { prompt, left } = buildPrompt({
    title: task.title,
    body: filled.told,
    branch: work.branch,
    base: work.base,
    worktree: work.worktree,
    feedback: task.state.feedback ?? [],
    dependencies: await dependencies(ctx, task),
    context: pre.context,
    checks: plan.checks.map(checkText),
    protect: plan.protect,
    schema: plan.schema,
    passing: (plan.helps !== null && plan.helps.kind !== 'test') || plan.divides,
    resumed: session !== null,
    skills,
    opens,
    notes,
    tokens: ctx.settings.context.tokens,
  });
  for (const message of [...problems, ...left.map((one) => `too long for the prompt: ${one}`)])
    ctx.events.emit('warning', { task: task.id, message });
  const request: AgentRequest = {
    task_id: task.id,
    attempt: lock.attempt,
    // A check or a hook may have printed a key.
    prompt: redact(prompt),
    system_prompt: buildSystemPrompt(plan.role.prompt),
    model: plan.model,
    worktree: work.worktree,
    session,
    new_session: newSession,
    timeout_s: Math.ceil(plan.timeout_ms / 1000),
    mcp: withOwnServer(mcpServers(task.spec.mcp ?? plan.role.mcp), ctx.workspace, {
      ...{ task_id: task.id, attempt: lock.attempt, new_session: newSession },
    }),
    endpoints: plan.endpoints,
    output_schema: plan.schema,
    skills: skills.map(({ name, description, dir }) => ({ name, description, dir })),
    max_turns: task.spec.max_turns ?? plan.role.max_turns ?? null,
    budget_usd: usdLeft(plan.caps),
    body: filled.body,
    ...(plan.pattern ? { pattern: callOf(ctx, { task, lock }, filledIn(plan.pattern, filled.fill), work) } : {}),
    run_dir,
  };
  return { work, request, env: { ...pre.env, ...filled.env } };
}

const callOf = (
  { workspace }: Context,
  { task, lock: { attempt } }: Claim,
  { pattern, inputs }: NonNullable<Plan['pattern']>,
  { repo, worktree, branch }: Work,
): NonNullable<AgentRequest['pattern']> => ({
  program: pattern.program,
  call: patternCall({
    ...{ task: toJson(task), attempt, inputs, workspace: workspace.root, repo, worktree, branch },
    dry_run: false,
  }),
});

const checkText = (check: Check): string => (typeof check === 'string' ? check : check.join(' '));

/** Git knows folders by their real paths. */
const realPath = (path: string): string => (existsSync(path) ? realpathSync(path) : path);

/** Whether the agent's earlier session is worth going on with. */
function resumable(task: Task, plan: Plan): boolean {
  const { session, agent, outcome } = task.state;
  return (
    session !== undefined &&
    agent === plan.chosen.agent.name &&
    outcome !== 'context_exceeded' &&
    plan.chosen.agent.getCapabilities().resume
  );
}

async function dependencies(ctx: Context, task: Task) {
  const found = await Promise.all(task.spec.depends_on.map((id) => ctx.queue.get(id)));
  return found.flatMap((one) => {
    if (one?.queue !== 'done') return [];
    const { result = '', branch = null } = one.state;
    return [{ id: one.id, title: one.title, branch, result: textOf(result) }];
  });
}

async function openWork(ctx: Context, task: Task, plan: Plan, attempt: number): Promise<Work> {
  const last = await lastWork(ctx, task.id);
  // What was merged is over: this begins anew.
  const known = last?.merged ? null : last;
  const facts = await inspect(plan.repo);
  if (plan.minor) return openOwnTree(ctx, task, plan, known, facts.kind === 'none', attempt);
  if (facts.kind === 'none')
    throw new GitProblem(
      'not_a_repo',
      `${plan.repo} is not a git repository`,
      'run "git init" there, or set complexity: minor',
    );
  const ours = known?.kind === 'worktree' && known.repo === plan.repo;
  if (!ours && !(await branchExists(plan.repo, plan.branch)) && !existsSync(plan.worktree))
    // Written down before it is made, so that after a crash both are known to be ours.
    writeWork(ctx, task.id, blank('worktree', plan.repo, plan.worktree, plan.branch));
  const begun = readWork(ctx.workspace, task.id);
  const branches = await Promise.all(
    [...(await buildsOn(ctx, task)), ...(plan.joins ?? [])].map(async (id) => {
      const other = readWork(ctx.workspace, id);
      // One that is merged is in its base as another commit than on its branch.
      if (other?.merged && other.repo === plan.repo) return [other.merged];
      return (await branchExists(plan.repo, branchOf(id))) ? [branchOf(id)] : [];
    }),
  );
  const base = plan.base ?? (begun?.refit ? begun.onto : undefined);
  const made = await prepareWorktree({
    repo: plan.repo,
    dir: plan.worktree,
    branch: plan.branch,
    ...(base ? { base } : {}),
    ours: begun?.kind === 'worktree' && begun.repo === plan.repo,
    dependencies: branches.flat(),
    again: plan.joins !== null,
  });
  for (const message of made.warnings) ctx.events.emit('warning', { task: task.id, message });
  const before = begun && !begun.merged ? begun : blank('worktree', plan.repo, plan.worktree, plan.branch);
  const { onto } = made;
  const kept = before.onto && (await branchExists(plan.repo, before.onto)) ? before.onto : onto.name;
  const into = plan.base ?? kept;
  const own = plan.helps === null && !plan.divides;
  if (own && onAcceptOf(task.spec, ctx.settings) === 'merge' && !(await branchExists(plan.repo, into)))
    throw new GitProblem(
      'base_missing',
      `there is no branch ${into} in ${plan.repo} to merge into`,
      'make one of that name, or name a branch as base:',
    );
  if (before.refit) await refit(made.worktree, plan.branch, onto.name, onto.tip);
  return writeWork(ctx, task.id, {
    ...before,
    worktree: made.worktree,
    accepted: false,
    handed: undefined,
    onto: into,
    // What came in from the base is none of its work.
    base: before.refit ? onto.tip : (before.base ?? made.base),
    // What a join brings together is all its own.
    start: before.refit ? onto.tip : (before.start ?? (plan.joins ? made.base : made.head)),
    refit: undefined,
    setup_done: before.setup_done && !made.fresh,
  });
}

async function openOwnTree(
  ctx: Context,
  task: Task,
  plan: Plan,
  known: Work | null,
  noGit: boolean,
  _attempt: number,
): Promise<Work> {
  if (noGit) return writeWork(ctx, task.id, blank('folder', plan.repo, plan.repo, null));
  // An open tree that was not closed: the same attempt is entered again after a crash.
  if (known?.kind === 'tree' && known.open && !known.captured) return putBack(ctx, task, known);
  // The queues live on while the agent works: what happens in them is not its doing.
  const { queues, state } = ctx.workspace;
  const open = await openTree(plan.repo, [queues, state, worktreesDir(ctx.settings, ctx.workspace)].map(realPath));
  // Written down before the tree is touched: after a crash what lies in it must not be taken for the user's.
  const work = writeWork(ctx, task.id, {
    ...blank('tree', plan.repo, open.root, open.branch),
    base: open.head,
    start: open.head,
    setup_done: true,
    open,
    ...(known?.captured ? { again: known.captured } : {}),
  });
  return putBack(ctx, task, work);
}

/** Puts the earlier work back into an open tree, if there is any. May be done again. */
async function putBack(ctx: Context, task: Task, { again, ...work }: Work): Promise<Work> {
  if (!again || !work.open) return work;
  const { root, untracked } = work.open;
  await applyTree(root, again).catch((thrown: unknown) => {
    if (!(thrown instanceof GitProblem)) throw thrown;
    // Files of the user's own lie where the work belongs: the agent would write over them, and nothing of it could be committed.
    const theirs = thrown.files.filter((file) => untracked.includes(file));
    if (theirs.length > 0 || thrown.kind === 'busy') {
      writeWork(ctx, task.id, { ...work, captured: again });
      if (thrown.kind === 'busy') throw thrown;
      throw new GitProblem('dirty', thrown.message, 'commit them or put them aside, then "towpath retry"', theirs);
    }
    ctx.events.emit('warning', {
      task: task.id,
      message: `the earlier work does not apply any more and stays at ${again}: ${thrown.message}`,
    });
  });
  return writeWork(ctx, task.id, work);
}

const blank = (kind: Work['kind'], repo: string, worktree: string, branch: string | null): Work => ({
  kind,
  repo,
  worktree,
  branch,
  base: null,
  start: null,
  setup_done: false,
});

/** What a problem with the repository means for the task. */
export function endingOf(problem: GitProblem): Ending {
  if (problem.kind === 'not_a_repo' || problem.kind === 'bad_branch') return failure('refused', problem.line);
  if (problem.kind === 'busy') return failure('transient', problem.line);
  if (problem.kind === 'conflict') return failure('conflict', problem.line);
  return { kind: 'hold', reason: problem.line, waits_for: 'operator' };
}
