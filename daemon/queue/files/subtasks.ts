// Which task filed which: kept privately, because what a task file says of itself could be forged, or left out.
import { existsSync, mkdirSync, readFileSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { z } from 'zod';
import type { Workspace } from '../../paths.ts';
import { Durable } from './durable.ts';

/** `depth` is 1 for the subtask of a task that is none itself. */
const originSchema = z.object({ parent: z.string(), depth: z.number().int().positive() });
export type Origin = z.output<typeof originSchema>;
const filedSchema = z.array(z.string());

/** In the folder of a task's runs: where it came from, and what it filed. */
export const ORIGIN_FILE = 'origin.json';
const FILED_FILE = 'subtasks.json';

/** Who filed a task, or null: a person. */
export function originOf(workspace: Workspace, id: string): Origin | null {
  const own = join(workspace.runs(id), ORIGIN_FILE);
  return read(existsSync(own) ? own : workspace.origin(id), originSchema);
}

/** What a task filed, the oldest first. */
export const filedBy = (workspace: Workspace, id: string): string[] =>
  read(join(workspace.runs(id), FILED_FILE), filedSchema) ?? [];

/** Writes down that `parent` files `id`: before its file is there, so that it cannot run without. Returns what takes it back. */
export function keepOrigin(
  workspace: Workspace,
  durability: 'full' | 'fast',
  id: string,
  origin: Origin,
): { undo: () => void } {
  const disk = new Durable(durability);
  const path = workspace.origin(id);
  const list = join(workspace.runs(origin.parent), FILED_FILE);
  const before = filedBy(workspace, origin.parent);
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
  disk.replace(list, JSON.stringify([...before.filter((one) => one !== id), id]));
  disk.replace(path, JSON.stringify(origin));
  disk.sync(dirname(path));
  return {
    undo: () => {
      rmSync(path, { force: true });
      disk.replace(list, JSON.stringify(before));
    },
  };
}

function read<T>(path: string, schema: z.ZodType<T>): T | null {
  try {
    return schema.parse(JSON.parse(readFileSync(path, 'utf8')));
  } catch {
    return null;
  }
}
