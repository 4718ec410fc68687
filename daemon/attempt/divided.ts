// The record of a divided task: which subtasks it has, and whether one is of a plan that another has replaced.
import { mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import type { Workspace } from '../paths.ts';
import { originOf } from '../queue/files/subtasks.ts';
import type { Part } from '../task/breakdown.ts';
import { readJson, writeJson } from './work.ts';

/** `breakdown.json` in the folder of a task's runs: written before the first subtask is there. */
export interface Divided {
  /** The run that planned it. */
  run: number;
  summary: string;
  /** Under the names that their tasks have. */
  subtasks: Part[];
}

const path = (workspace: Workspace, id: string): string => join(workspace.runs(id), 'breakdown.json');
export const readDivided = (workspace: Workspace, id: string): Divided | null => readJson(path(workspace, id));
export const forgetDivided = (workspace: Workspace, id: string): void => rmSync(path(workspace, id), { force: true });
export function keepDivided(workspace: Workspace, id: string, divided: Divided, sync: boolean): void {
  mkdirSync(workspace.runs(id), { recursive: true, mode: 0o700 });
  writeJson(path(workspace, id), divided, sync);
}

/** Whether a subtask is of a plan that was made anew, or of one that is: nothing waits for it any more. */
export function isReplaced(workspace: Workspace, id: string): boolean {
  const origin = originOf(workspace, id);
  if (!origin || !('parent' in origin) || !origin.planned) return false;
  const { parent } = origin;
  const divided = readDivided(workspace, parent);
  return !divided?.subtasks.some((part) => part.id === id) || isReplaced(workspace, parent);
}
