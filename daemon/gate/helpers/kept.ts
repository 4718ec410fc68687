// How far a patch or tests have come that were put on top of a task's work: `trials.json` in the folder of the task's runs.
import { join } from 'node:path';
import type { Context } from '../../attempt/context.ts';
import { readJson, writeJson } from '../../attempt/work.ts';
import { filedBy, helpOf } from '../../queue/files/subtasks.ts';
import type { Task } from '../../queue/port.ts';
import type { Brought } from '../checks.ts';
import { type Place, runOf } from './helper.ts';

/** What is kept of each, by its task's id. */
export interface Kept {
  /** Of a patch: none is tried twice. */
  hash?: string;
  /** The commits that it is tried at: written down before the worktree is put there. */
  tries?: string[];
  /** The commit with it. */
  put?: string;
  /** That commit is the work. */
  on?: boolean;
  /** What it changed, and the commands that came with it: they are run wherever the checks are. */
  files?: string[];
  brought?: Brought[];
  /** Of a patch, and of tests. */
  outcome?: 'helped' | 'rolled_back' | 'refused' | 'passed' | 'failed';
  reason?: string;
}

const fileOf = ({ workspace }: Pick<Place, 'workspace'>, id: string): string => join(workspace.runs(id), 'trials.json');
export const allKept = (place: Pick<Place, 'workspace'>, id: string): Record<string, Kept> =>
  readJson(fileOf(place, id)) ?? {};

export function keep(ctx: Context, task: string, id: string, change: Kept): Kept {
  const all = allKept(ctx, task);
  const kept = { ...all[id], ...change };
  writeJson(fileOf(ctx, task), { ...all, [id]: kept }, ctx.settings.durability === 'full');
  return kept;
}

/** The commands that came with what is on the work of a task's last run. */
export function broughtTo(place: Pick<Place, 'workspace'>, task: Task): Brought[] {
  const all = allKept(place, task.id);
  const filed = (['test', 'fix'] as const).flatMap((kind) => filedBy(place.workspace, task.id, kind));
  const last = filed.filter((id) => all[id]?.on && helpOf(place.workspace, id)?.attempt === runOf(task));
  return last.flatMap((id) => all[id]?.brought ?? []);
}
