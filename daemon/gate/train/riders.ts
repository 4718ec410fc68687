// Who rides: the accepted tasks of one base branch in the order of their acceptance, and what is written down of their merge.
import { createHash } from 'node:crypto';
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import type { Context } from '../../attempt/context.ts';
import { makePlan, type Plan } from '../../attempt/plan.ts';
import { readRun } from '../../attempt/record.ts';
import { readJson, readWork, type Work, writeJson } from '../../attempt/work.ts';
import type { Task } from '../../queue/port.ts';
import type { Brought } from '../checks.ts';
import { broughtTo } from '../helpers/kept.ts';

/** Where a train goes: one at a time for each repository and base branch. */
export interface Line {
  repo: string;
  onto: string;
}

export interface Rider {
  task: Task;
  work: Work;
  plan: Plan;
  /** The commands that are evidence beside its checks. */
  brought: Brought[];
  /** The commit that was accepted. */
  commit: string;
}

/** `merge.json` of a task's runs: written before the base is moved, so that after a kill what was merged is known. */
export interface MergeRecord {
  onto: string;
  from: string;
  to: string;
  /** All that ride: what was accepted of each, and what it has become. */
  riders: { id: string; commit: string; merged: string }[];
}

export const lineOf = (ctx: Pick<Context, 'workspace'>, id: string): Line | null => {
  const work = readWork(ctx.workspace, id);
  return work?.handed && work.branch && work.onto ? { repo: work.repo, onto: work.onto } : null;
};

export const keyOf = ({ repo, onto }: Line): string =>
  createHash('sha256').update(`${repo}\0${onto}`).digest('hex').slice(0, 12);

/** The accepted task as it is now, or null: a person has taken it off the train. */
export async function stillRides(ctx: Context, id: string): Promise<Omit<Rider, 'plan' | 'brought'> | null> {
  const task = await ctx.queue.get(id);
  const work = readWork(ctx.workspace, id);
  if (task?.queue !== 'provisional' || task.state.waits_for !== 'merge' || !work?.accepted || !work.handed) return null;
  return { task, work, commit: work.handed.commit };
}

/** Those whose turn it is on a line; `unfit` is told of each whose plan cannot be made. */
export async function boarding(
  ctx: Context,
  line: Line,
  unfit: (task: Task, thrown: unknown) => Promise<unknown>,
): Promise<Rider[]> {
  const found: Rider[] = [];
  for (const { id } of await ctx.queue.list('provisional')) {
    const one = await stillRides(ctx, id);
    const own = one && lineOf(ctx, id);
    if (!one || !own || keyOf(own) !== keyOf(line)) continue;
    if (one.task.state.not_before && Date.parse(one.task.state.not_before) > Date.now()) continue;
    try {
      found.push({ ...one, ...planned(ctx, one.task), brought: broughtTo(ctx, one.task) });
    } catch (thrown) {
      await unfit(one.task, thrown);
    }
  }
  const order = ({ work, task }: Rider) => `${work.handed?.at} ${task.id}`;
  return found.sort((a, b) => (order(a) < order(b) ? -1 : 1));
}

/** By the front matter that was claimed, as at the gate. */
function planned(ctx: Context, found: Task): { task: Task; plan: Plan } {
  const task = { ...found, spec: readRun(ctx.workspace.run(found.id, found.state.runs ?? 1))?.spec ?? found.spec };
  return { task, plan: makePlan(task, ctx, task.state.agent) };
}

const recordPath = (ctx: Pick<Context, 'workspace'>, id: string): string => join(ctx.workspace.runs(id), 'merge.json');

export const readMerge = (ctx: Pick<Context, 'workspace'>, id: string): MergeRecord | null =>
  readJson<MergeRecord>(recordPath(ctx, id));

export function writeMerge(ctx: Pick<Context, 'workspace' | 'settings'>, record: MergeRecord): void {
  for (const { id } of record.riders) writeJson(recordPath(ctx, id), record, ctx.settings.durability === 'full');
}

/** What was written down does not come to pass. */
export function forgetMerge(ctx: Pick<Context, 'workspace'>, record: MergeRecord): void {
  for (const { id } of record.riders) rmSync(recordPath(ctx, id), { force: true });
}
