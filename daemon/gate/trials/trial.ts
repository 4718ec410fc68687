// What a helper has made, a patch or tests, is put on top of a task's work: with a record of how far that has come, so that nothing is done twice.
import type { Context } from '../../attempt/context.ts';
import { readRun } from '../../attempt/record.ts';
import { keepWork, readWork, type Work, writeWork } from '../../attempt/work.ts';
import { filedBy, type Help, helpOf } from '../../queue/files/subtasks.ts';
import type { Task } from '../../queue/port.ts';
import { GitProblem, git } from '../../worktree/git.ts';
import { shaOf } from '../../worktree/refs.ts';
import { salvage } from '../../worktree/salvage.ts';
import { recapture, replaceTree } from '../../worktree/tree.ts';
import { restoreWorktree } from '../../worktree/worktree.ts';
import { ANY, endOf, runOf } from '../helpers/helper.ts';
import { allKept, type Kept, keep } from '../helpers/kept.ts';

/** What was filed for the last run of a task. */
export interface Trial extends Help {
  id: string;
  /** The work has it in it already. */
  took: boolean;
  kept: Kept;
}

/** The fix, or the tests, of what a task has now; there is one of each for a run at most. */
export async function filedTrial(ctx: Context, task: Task, kind: 'fix' | 'test'): Promise<Trial | null> {
  for (const id of filedBy(ctx.workspace, task.id, kind)) {
    const help = helpOf(ctx.workspace, id);
    if (help?.kind !== kind || help.parent !== task.id || help.attempt !== runOf(task)) continue;
    let kept = allKept(ctx, task.id)[id] ?? {};
    // Killed before that was written down.
    const work = readWork(ctx.workspace, task.id);
    if (!kept.on && kept.put !== undefined && kept.put === (work?.captured ?? task.state.commit))
      kept = await isOn(ctx, task, id, kept.put);
    const took = kept.on ?? false;
    // Killed before its file was there: it is filed now.
    if (!took && !kept.outcome && !(await ctx.queue.get(id)) && !endOf(ctx, id, null, ANY)) continue;
    return { id, ...help, took, kept };
  }
  return null;
}

/** What the worktree lies at becomes the work. */
export async function stay(ctx: Context, task: Task, trial: Trial, change: Kept & { put: string }): Promise<Trial> {
  const { id, attempt } = trial;
  const commit = change.put;
  keep(ctx, task.id, id, change);
  const { open, captured } = readWork(ctx.workspace, task.id) ?? {};
  if (open && captured) await recapture(open, { id: task.id, attempt, commit });
  await keepWork(ctx, { id: task.id, attempt, commit });
  // From here on it is the work.
  const work = readWork(ctx.workspace, task.id);
  if (work?.captured) writeWork(ctx, task.id, { ...work, captured: commit, trying: undefined });
  return { ...trial, took: true, kept: await isOn(ctx, task, id, commit) };
}

async function isOn(ctx: Context, task: Task, id: string, commit: string): Promise<Kept> {
  if (task.state.commit !== commit)
    await ctx.queue.move(task.id, 'provisional', { to: 'provisional', state: { commit } });
  task.state = { ...task.state, commit };
  return keep(ctx, task.id, id, { on: true });
}

/** Before a worktree is put elsewhere: what was changed in it since its work was committed, by a check or a person, is salvaged. */
export async function clear({ worktree }: Work, { kind, parent, attempt }: Trial): Promise<void> {
  await salvage(worktree, parent, `${attempt}-before-${kind}`);
}

/** Whoever decides on a task meanwhile decides on the work: what is only being tried, or was when a kill came, is taken off the branch. */
export async function takeOff(
  ctx: Pick<Context, 'workspace' | 'settings' | 'events'>,
  { id, state }: Task,
): Promise<void> {
  const { workspace } = ctx;
  const work = readWork(workspace, id);
  if (work?.trying) return takeOut(ctx, id, work);
  const commit = state.commit ?? work?.start;
  const tried = Object.values(allKept({ workspace }, id)).flatMap(({ on, tries = [] }) => (on ? [] : tries));
  if (work?.kind !== 'worktree' || tried.length === 0 || !commit) return;
  const { repo, worktree, branch } = work;
  const tip = await shaOf(git(repo), `refs/heads/${branch}`);
  if (tip !== null && tried.includes(tip)) await restoreWorktree(repo, worktree, branch!, commit);
}

/** The same in the repository's own tree. What a check or a person has changed in its files stays there. */
async function takeOut(
  ctx: Pick<Context, 'workspace' | 'settings' | 'events'>,
  id: string,
  { trying, ...work }: Work,
): Promise<void> {
  const { root } = work.open!;
  const captured = work.captured!;
  const { from, to } = trying!;
  try {
    // That may have been cut off half way, and so may this be: each file is in one of two states, and which is written down.
    if (from !== captured) {
      await replaceTree(root, from, to);
      writeWork(ctx, id, { ...work, trying: { from: captured, to } });
    }
    await replaceTree(root, to, captured);
  } catch (thrown) {
    if (!(thrown instanceof GitProblem && thrown.kind === 'conflict')) throw thrown;
    ctx.events.emit('warning', { task: id, message: `a patch stays in the tree: ${thrown.message}` });
  }
  writeWork(ctx, id, work);
}

/** The author of what came from a helper, and the message of the commit. */
export function signed(task: Task, { id, role, attempt }: Trial, what: string, trailer: string) {
  const message = `${what} of ${task.id}\n\nTowpath-Task: ${task.id}\nTowpath-Attempt: ${attempt}\n${trailer}: ${id}\n`;
  return { message, author: { name: role, email: `${role}@towpath.invalid` } };
}

/** Under what the commands of a helper's agent are run, and whether they are: it must be allowed to run some itself. */
export function allowedTo(ctx: Context, id: string, helper: Task | null): { wrap: string[]; full: boolean } {
  const agent = helper && readRun(ctx.workspace.run(id, runOf(helper)))?.agent;
  if (!agent) return { wrap: [], full: false };
  const { wrap, permissions } = ctx.agents.get(agent).settings;
  return { wrap, full: permissions === 'full' };
}
