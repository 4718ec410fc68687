// The private record of where a task's work is: kept with its runs, because what a task file says of paths and branches is not trusted.
import { closeSync, fsyncSync, mkdirSync, openSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { z } from 'zod';
import type { Workspace } from '../paths.ts';
import type { Settings } from '../settings.ts';
import { keepCommit, syncAll } from '../worktree/keep.ts';
import { salvageRef, startRef } from '../worktree/refs.ts';

const schema = z.object({
  /** `tree`: the repository's own checked-out tree; `folder`: no git there at all. */
  kind: z.enum(['worktree', 'tree', 'folder']),
  /** The repository as it was named; its root for kind `tree`. */
  repo: z.string(),
  /** Where the agent works. */
  worktree: z.string(),
  branch: z.string().nullable(),
  /** The commit that the branch was made from, and the one that the agent began on (dependencies merged in). */
  base: z.string().nullable(),
  start: z.string().nullable(),
  setup_done: z.boolean(),
  /** Kind `tree`: what was untracked before the agent came. */
  open: z.object({ root: z.string(), branch: z.string(), head: z.string(), untracked: z.array(z.string()) }).optional(),
  /** Kind `tree`: the captured work, not yet on the branch. */
  captured: z.string().optional(),
  /** Kind `tree`: in its place, what is only tried: the one takes the place of the other. */
  trying: z.object({ from: z.string(), to: z.string() }).optional(),
  /** Kind `tree`: earlier work that is being put back into the tree for the agent to go on with. */
  again: z.string().optional(),
  /** The run whose work is on the disk for good. */
  kept: z.number().optional(),
  /** The gate is passed: what is left is to land it, and that may be done twice. */
  accepted: z.boolean().optional(),
  /** What the base is called that the branch left from. */
  onto: z.string().optional(),
  /** The commit that was accepted to be merged or offered, and when: the order of the train. */
  handed: z.object({ commit: z.string(), at: z.string() }).optional(),
  /** The base has moved on: it is to be merged into the branch before the next attempt. */
  refit: z.boolean().optional(),
  /** It was merged, as this commit of its base; its branch is gone, and what comes now begins anew. */
  merged: z.string().optional(),
  /** Its next run begins anew: what this run made is set aside before. */
  anew: z.number().optional(),
});
export type Work = z.output<typeof schema>;

const path = (workspace: Workspace, id: string): string => join(workspace.runs(id), 'work.json');

export function readWork(workspace: Workspace, id: string): Work | null {
  try {
    const parsed = schema.safeParse(JSON.parse(readFileSync(path(workspace, id), 'utf8')));
    return parsed.success ? parsed.data : null;
  } catch {
    return null;
  }
}

/** Kept before anything is made that only it knows for ours: without it after a power cut, a branch would be a stranger's. */
export function writeWork({ workspace, settings }: WorkOwner, id: string, work: Work): Work {
  mkdirSync(workspace.runs(id), { recursive: true, mode: 0o700 });
  // Of a folder without git nothing but the folder is known.
  const sync = settings.durability === 'full' && work.kind !== 'folder';
  writeJson(path(workspace, id), work, sync);
  if (sync) syncFolder(workspace.runs(id));
  return work;
}

/** Puts a task's commit and the record of it on the disk for good: the transition that comes next stands on them. */
export async function keepWork(
  { workspace, settings }: WorkOwner,
  { id, attempt, commit }: { id: string; attempt: number; commit: string | null },
): Promise<void> {
  const work = readWork(workspace, id);
  if (!work) return;
  const refs = work.open
    ? [salvageRef(id, attempt), `refs/heads/${work.open.branch}`]
    : [`refs/heads/${work.branch}`, startRef(`${work.branch}`)];
  if (commit && work.kind !== 'folder' && settings.durability === 'full')
    await keepCommit(work.open?.root ?? work.worktree, work.start ?? work.open?.head ?? null, commit, refs);
  if (work.kept !== attempt) writeWork({ workspace, settings }, id, { ...work, kept: attempt });
  if (settings.durability === 'full' && work.kind !== 'folder') await syncAll([dirname(workspace.runs(id))]);
}

interface WorkOwner {
  workspace: Workspace;
  settings: Pick<Settings, 'durability'>;
}

function syncFolder(dir: string): void {
  const fd = openSync(dir, 'r');
  try {
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}

/** Writes JSON aside and renames it in place. */
export function writeJson(file: string, value: unknown, sync = false): void {
  writeFileSync(`${file}.tmp`, `${JSON.stringify(value, null, 1)}\n`, { mode: 0o600, flush: sync });
  renameSync(`${file}.tmp`, file);
}

/** Reads JSON that we wrote; null when it is missing or cut off. */
export function readJson<T>(file: string): T | null {
  try {
    return JSON.parse(readFileSync(file, 'utf8')) as T;
  } catch {
    return null;
  }
}
