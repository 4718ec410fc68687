// A failed check is answered by an agent's patch: judged, put on top of the work, checked, and taken back exactly when it does not help.
import { join } from 'node:path';
import type { Context } from '../attempt/context.ts';
import type { Plan } from '../attempt/plan.ts';
import { keepWork, readJson, type Work, writeJson } from '../attempt/work.ts';
import { filedBy, type Help, helpOf } from '../queue/files/subtasks.ts';
import type { Task } from '../queue/port.ts';
import { FIX_SCHEMA, FIXER, type Fix, PATCH_BYTES, patchHash } from '../task/fix.ts';
import { changes } from '../worktree/commit.ts';
import { moveTo, patchCommit } from '../worktree/patch.ts';
import { changeOf } from './change.ts';
import type { Evidence } from './checks.ts';
import { fixText } from './fix-text.ts';
import { commitOf, endOf, fileHelper, runOf } from './helper.ts';
import { protectedFiles } from './protect.ts';

type Outcome = 'helped' | 'rolled_back' | 'refused';

/** What is kept of each fix, by its task's id, in `fixes.json` in the folder of the task's runs. */
interface Kept {
  /** Of the patch: none is tried twice. */
  hash?: string;
  /** The commit with the patch, once the checks have passed on it. */
  fixed?: string;
  outcome?: Outcome;
  reason?: string;
}

/** The fix of what a task has now. */
export interface Filed extends Help {
  id: string;
  /** The work has the patch in it already. */
  took: boolean;
}

const fileOf = ({ workspace }: Context, id: string): string => join(workspace.runs(id), 'fixes.json');
const keptOf = (ctx: Context, id: string): Record<string, Kept> => readJson(fileOf(ctx, id)) ?? {};
function keep(ctx: Context, task: string, id: string, change: Kept): void {
  const all = keptOf(ctx, task);
  writeJson(fileOf(ctx, task), { ...all, [id]: { ...all[id], ...change } }, ctx.settings.durability === 'full');
}

/** The fix that was filed for the last run; there is one for each at most. */
export async function filedFix(ctx: Context, task: Task): Promise<Filed | null> {
  for (const id of filedBy(ctx.workspace, task.id, 'fix')) {
    const help = helpOf(ctx.workspace, id);
    if (help?.kind !== 'fix' || help.parent !== task.id || help.attempt !== runOf(task)) continue;
    const { fixed, outcome } = keptOf(ctx, task.id)[id] ?? {};
    const took = fixed !== undefined && fixed === task.state.commit;
    if (took && !outcome) conclude(ctx, task, id, 'helped', '');
    // Killed before its file was there: it is filed now.
    if (!took && !outcome && !(await ctx.queue.get(id)) && !endOf(ctx, id, null, FIX_SCHEMA)) continue;
    return { id, ...help, took };
  }
  return null;
}

export async function fileFix(
  ctx: Context,
  task: Task,
  work: Work,
  checks: readonly Evidence[],
): Promise<{ id: string; role: string }> {
  const attempt = runOf(task);
  const change = await changeOf(task, work);
  const body = fixText({ id: task.id, title: task.title, body: task.body, checks, change });
  const what = { kind: 'fix', role: FIXER, attempt, commit: commitOf(task, work) } as const;
  const id = await fileHelper(ctx, task, { ...what, ending: `.fix-${attempt}`, title: `Fix for ${task.id}`, body });
  return { id, role: FIXER };
}

/** Tries what a fix came to: the commit with the patch, or nothing that helped; null while it is not over. The worktree lies at the work without it. */
export async function tryFix(
  ctx: Context,
  task: Task,
  plan: Plan,
  work: Work,
  { id, commit, attempt }: Filed,
  check: (tree: string) => Promise<Evidence[]>,
  signal: AbortSignal,
): Promise<{ commit: string; evidence: Evidence[] } | { refused: string } | null> {
  const known = keptOf(ctx, task.id)[id];
  if (known?.outcome) return { refused: known.reason ?? '' };
  const end = endOf(ctx, id, await ctx.queue.get(id), FIX_SCHEMA);
  if (end === null) return null;
  const refuse = (reason: string) => conclude(ctx, task, id, 'refused', reason);
  if ('problem' in end) return refuse(end.problem);
  const { patch } = end.value as Fix;
  const problem = problemOf(ctx, task, id, patch);
  if (problem) return refuse(problem);
  keep(ctx, task.id, id, { hash: patchHash(patch) });
  const { worktree } = work;
  const before = await changes(worktree, commit!);
  const patched = await patchCommit(worktree, commit!, patch, {
    message: `Mend failed checks of ${task.id}\n\nTowpath-Task: ${task.id}\nTowpath-Attempt: ${attempt}\nTowpath-Fix: ${id}\n`,
    author: { name: FIXER, email: `${FIXER}@towpath.invalid` },
  });
  if ('problem' in patched) return refuse(patched.problem);
  const touched = protectedFiles(patched.files, plan.protect);
  if (touched.length > 0) return refuse(`it changes protected files: ${touched.slice(0, 5).join(', ')}`);
  await moveTo(worktree, patched.commit);
  const { tree } = await changes(worktree, commit!);
  const evidence = await check(tree);
  if (!signal.aborted && evidence.every(({ ok }) => ok)) {
    keep(ctx, task.id, id, { fixed: patched.commit });
    await keepWork(ctx, { id: task.id, attempt, commit: patched.commit });
    await ctx.queue.move(task.id, 'provisional', { to: 'provisional', state: { commit: patched.commit } });
    conclude(ctx, task, id, 'helped', '');
    return { commit: patched.commit, evidence };
  }
  await moveTo(worktree, commit!);
  if ((await changes(worktree, commit!)).tree !== before.tree)
    throw new Error(`the patch of ${id} could not be taken back`);
  // Called off in the middle, it was not tried.
  if (signal.aborted) return { refused: 'called off' };
  const failed = evidence.filter(({ ok }) => !ok).map(({ command }) => command);
  return conclude(ctx, task, id, 'rolled_back', `still failing: ${failed.join(', ')}`);
}

function problemOf(ctx: Context, task: Task, id: string, patch: string): string | null {
  if (patch.trim() === '') return 'there is no patch';
  if (Buffer.byteLength(patch) > PATCH_BYTES) return `the patch is larger than ${PATCH_BYTES / 1024} KiB`;
  const hash = patchHash(patch);
  const before = Object.entries(keptOf(ctx, task.id)).find(([other, one]) => other !== id && one.hash === hash);
  return before ? `the same patch was tried before (${before[0]})` : null;
}

function conclude(ctx: Context, task: Task, id: string, outcome: Outcome, reason: string): { refused: string } {
  keep(ctx, task.id, id, { outcome, reason });
  ctx.events.emit('fix_finished', { task: task.id, attempt: runOf(task), outcome, reason });
  return { refused: reason };
}
