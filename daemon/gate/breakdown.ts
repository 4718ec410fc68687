// The plan of a divided task is accepted: its subtasks are filed once, and the task waits for them.
import { breaksOf, depthOf, plannedIn } from '../attempt/breakdown.ts';
import type { Context, Owner } from '../attempt/context.ts';
import { type Divided, keepDivided, readDivided } from '../attempt/divided.ts';
import { readRun } from '../attempt/record.ts';
import { buildsOn } from '../attempt/step.ts';
import { readWork, writeWork } from '../attempt/work.ts';
import { TowpathError } from '../errors.ts';
import { keepOrigin } from '../queue/files/subtasks.ts';
import { taskText } from '../queue/polled.ts';
import type { Task } from '../queue/port.ts';
import type { Division, Part } from '../task/breakdown.ts';
import { DEFAULT_ROLE, type TaskSpec } from '../task/terms.ts';
import { dropBranch } from '../worktree/refs.ts';
import { removeWorktree } from '../worktree/salvage.ts';
import { freeId } from './helpers/helper.ts';
import { standIn } from './helpers/stand-in.ts';

/** Whether acceptance of a task means that its plan is carried out. */
export function isPlan({ workspace }: Pick<Context, 'workspace'>, task: Task): boolean {
  const role = readRun(workspace.run(task.id, task.state.runs ?? 1))?.role;
  return role !== undefined && breaksOf(workspace, task, role)?.joins === null;
}

/** Files the subtasks and moves the task to blocked/. Every step may be done again. */
export async function breakDown(ctx: Owner, task: Task): Promise<Task> {
  const { workspace, queue } = ctx;
  const { id } = task;
  const run = task.state.runs ?? 1;
  const work = readWork(workspace, id);
  // From here on a crash leads back here.
  if (work && !work.accepted) writeWork(ctx, id, { ...work, accepted: true });
  const known = readDivided(workspace, id);
  const divided = known?.run === run ? known : await divide(ctx, task, run);
  const spec = readRun(workspace.run(id, run))?.spec ?? task.spec;
  const on = [];
  for (const one of await buildsOn(ctx, { ...task, spec })) if ((await queue.get(one))?.queue === 'done') on.push(one);
  for (const part of divided.subtasks) await file(ctx, task, spec, part, on);
  if (work?.kind === 'worktree') {
    // What the planner may have left there is none of the work: the branch is made anew for the join.
    const { repo, worktree, branch, kind } = work;
    await removeWorktree({ repo, worktree, branch: branch!, id, attempt: run });
    await dropBranch(repo, branch!);
    writeWork(ctx, id, {
      ...{ kind, repo, worktree, branch, base: null, start: null, setup_done: false, accepted: true },
    });
  }
  const reason = `waits for its subtasks ${divided.subtasks.map((part) => part.id).join(', ')}`;
  const blocked = await queue.move(id, ['provisional', 'done'], {
    to: 'blocked',
    state: {
      ...{ reason, waits_for: 'dependencies', awaits: undefined, not_before: undefined, outcome: undefined },
      ...{ commit: undefined, branch: undefined, worktree: undefined, finished_at: undefined, session: undefined },
      ...{ resolved: undefined, last_error: undefined, last_tree: undefined },
    },
  });
  ctx.events.emit('transition', { task: id, from: task.queue, to: 'blocked', reason });
  return blocked;
}

/** Names the tasks, and writes all down before the first is there. */
async function divide(ctx: Owner, task: Task, run: number): Promise<Divided> {
  const planned: Division | null = plannedIn(ctx.workspace, task.id, run);
  if (!planned)
    throw new TowpathError(
      'failed',
      `the plan of "${task.id}" is gone from the folder of its run`,
      `"towpath reject ${task.id} -m …" has it made anew`,
    );
  const names = new Map<string, string>();
  for (const [at, { id }] of planned.subtasks.entries()) names.set(id, await freeId(ctx, task.id, `.${at + 1}-${id}`));
  const subtasks = planned.subtasks.map((part) => ({
    ...part,
    id: names.get(part.id)!,
    depends_on: part.depends_on.map((one) => names.get(one)!),
  }));
  const divided = { run, summary: planned.summary, subtasks };
  keepDivided(ctx.workspace, task.id, divided, ctx.settings.durability === 'full');
  return divided;
}

async function file(ctx: Owner, task: Task, spec: TaskSpec, part: Part, on: string[]): Promise<void> {
  const { workspace, settings, queue } = ctx;
  const { id } = part;
  if (await queue.get(id)) return;
  const { project, repo, base } = spec;
  const agent = await standIn(ctx, { ...task, spec }, part.role ?? DEFAULT_ROLE);
  const data = {
    ...{ id, agent, title: part.title.replace(/\s+/g, ' '), role: part.role ?? undefined },
    ...{ seniority: part.seniority ?? spec.seniority, priority: part.priority ?? spec.priority },
    ...{ project, repo, base, depends_on: [...on, ...part.depends_on] },
    ...(part.checks ? { checks: part.checks } : {}),
    // Its branch is for the join, which goes where the large task goes.
    on_accept: 'branch',
  };
  const given = Object.fromEntries(Object.entries(data).filter(([, value]) => value !== undefined));
  const depth = depthOf(workspace, task.id) + 1;
  keepOrigin(workspace, settings.durability, id, { parent: task.id, depth, planned: true });
  await queue.submit({ name: `${id}.md`, content: taskText(given, `${part.body.replaceAll('\0', '').trim()}\n`) });
  queue.intake.handedOver(`${id}.md`);
  ctx.events.emit('transition', { task: id, from: null, to: 'incoming', reason: `a subtask of ${task.id}` });
}
