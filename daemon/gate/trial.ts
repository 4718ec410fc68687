// What a helper has made, a patch or tests, is put on top of a task's work: with a record of how far that has come, so that nothing is done twice.
import type { Context } from '../attempt/context.ts';
import { readRun } from '../attempt/record.ts';
import { keepWork, readWork, type Work } from '../attempt/work.ts';
import { filedBy, type Help, helpOf } from '../queue/files/subtasks.ts';
import type { Task } from '../queue/port.ts';
import { changes } from '../worktree/commit.ts';
import { git } from '../worktree/git.ts';
import { moveTo } from '../worktree/patch.ts';
import { shaOf } from '../worktree/refs.ts';
import { salvage } from '../worktree/salvage.ts';
import { restoreWorktree } from '../worktree/worktree.ts';
import { ANY, endOf, runOf } from './helper.ts';
import { allKept, type Kept, keep } from './kept.ts';

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
    if (!kept.on && kept.put !== undefined && kept.put === task.state.commit)
      kept = keep(ctx, task.id, id, { on: true });
    const took = kept.on ?? false;
    // Killed before its file was there: it is filed now.
    if (!took && !kept.outcome && !(await ctx.queue.get(id)) && !endOf(ctx, id, null, ANY)) continue;
    return { id, ...help, took, kept };
  }
  return null;
}

/** What the worktree lies at becomes the work. */
export async function stay(ctx: Context, task: Task, trial: Trial, change: Kept & { put: string }): Promise<Trial> {
  keep(ctx, task.id, trial.id, change);
  await keepWork(ctx, { id: task.id, attempt: trial.attempt, commit: change.put });
  await ctx.queue.move(task.id, 'provisional', { to: 'provisional', state: { commit: change.put } });
  task.state = { ...task.state, commit: change.put };
  return { ...trial, took: true, kept: keep(ctx, task.id, trial.id, { on: true }) };
}

/** Before a worktree is put elsewhere: what was changed in it since its work was committed, by a check or a person, is salvaged. */
export async function clear({ worktree }: Work, { kind, parent, attempt }: Trial): Promise<void> {
  await salvage(worktree, parent, `${attempt}-before-${kind}`);
}

/** Puts the worktree back to the work as it was, exactly. */
export async function takeBack({ worktree }: Work, { id, commit }: Trial, tree: string): Promise<void> {
  await moveTo(worktree, commit!);
  if ((await changes(worktree, commit!)).tree !== tree) throw new Error(`what ${id} made could not be taken back`);
}

/** Whoever decides on a task meanwhile decides on the work: what is only being tried, or was when a kill came, is taken off the branch. */
export async function takeOff({ workspace }: Pick<Context, 'workspace'>, { id, state }: Task): Promise<void> {
  const tried = Object.values(allKept({ workspace }, id)).flatMap(({ on, tries = [] }) => (on ? [] : tries));
  const work = tried.length > 0 ? readWork(workspace, id) : null;
  const commit = state.commit ?? work?.start;
  if (work?.kind !== 'worktree' || !commit) return;
  const { repo, worktree, branch } = work;
  const tip = await shaOf(git(repo), `refs/heads/${branch}`);
  if (tip !== null && tried.includes(tip)) await restoreWorktree(repo, worktree, branch!, commit);
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
