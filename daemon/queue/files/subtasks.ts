// Which task was filed by which, and what for: kept privately, because what a task file says of itself could be forged, or left out.
import { existsSync, mkdirSync, readFileSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { z } from 'zod';
import type { Workspace } from '../../paths.ts';
import { Durable } from './durable.ts';

const whole = z.number().int().nonnegative();
const originSchema = z.union([
  /** The step of a workflow's run, by number; `item` where it is done for each item of a list. */
  z.object({ kind: z.literal('step'), run: z.string(), step: whole, item: whole.optional() }),
  z.object({
    /** A subtask, by the agent of its parent; a review, a fix or tests, by the gate of its parent. */
    kind: z.enum(['subtask', 'review', 'fix', 'test']).default('subtask'),
    parent: z.string(),
    /** 1 for the subtask of a task that is none itself. */
    depth: z.number().int().positive(),
    /** A subtask that was filed as part of its parent's plan. */
    planned: z.boolean().optional(),
    /** Of what a gate has filed: by which role, of what its parent's run made; without git there is no commit. */
    of: z
      .object({
        role: z.string(),
        attempt: z.number().int().positive(),
        commit: z.string().nullable(),
        /** A fix that is to come with a test. */
        with_test: z.boolean().optional(),
      })
      .optional(),
  }),
]);
export type Origin = z.output<typeof originSchema>;
type Filed = Extract<Origin, { parent: string }>;
type Kind = Filed['kind'];
const filedSchema = z.array(z.string());

/** In the folder of a task's runs: where it came from, and what it filed. */
export const ORIGIN_FILE = 'origin.json';
const FILED_FILE: Record<Kind, string> = {
  subtask: 'subtasks.json',
  review: 'reviews.json',
  fix: 'fixers.json',
  test: 'testers.json',
};

/** Who filed a task, or null: a person. */
export function originOf(workspace: Workspace, id: string): Origin | null {
  const own = join(workspace.runs(id), ORIGIN_FILE);
  return read(existsSync(own) ? own : workspace.origin(id), originSchema);
}

/** A task that a gate has filed, and what it is about. */
export interface Help extends NonNullable<Filed['of']> {
  kind: (typeof HELPS)[number];
  parent: string;
}

/** What a gate files tasks for. */
export const HELPS = ['review', 'fix', 'test'] as const;

/** What a task of a gate is about, or null: it is none, whatever its file says. */
export function helpOf(workspace: Workspace, id: string): Help | null {
  const origin = originOf(workspace, id);
  return origin && 'parent' in origin && origin.kind !== 'subtask' && origin.of
    ? { kind: origin.kind, parent: origin.parent, ...origin.of }
    : null;
}

/** What was filed by a task, or for it, the oldest first. */
export const filedBy = (workspace: Workspace, id: string, kind: Kind = 'subtask'): string[] =>
  read(join(workspace.runs(id), FILED_FILE[kind]), filedSchema) ?? [];

/** The task that filed another; none for a person, and for the step of a workflow. */
export function parentOf(workspace: Workspace, id: string): { parent: string; depth: number } | null {
  const origin = originOf(workspace, id);
  return origin && 'parent' in origin ? origin : null;
}

/** Writes down who files `id`: before its file is there, so that it cannot run without. Returns what takes it back. */
export function keepOrigin(
  workspace: Workspace,
  durability: 'full' | 'fast',
  id: string,
  origin: z.input<typeof originSchema>,
): { undo: () => void } {
  const disk = new Durable(durability);
  const path = workspace.origin(id);
  if (origin.kind === 'step') {
    mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
    disk.replace(path, JSON.stringify(origin));
    disk.sync(dirname(path));
    return { undo: () => rmSync(path, { force: true }) };
  }
  const { kind = 'subtask' } = origin;
  const list = join(workspace.runs(origin.parent), FILED_FILE[kind]);
  const before = filedBy(workspace, origin.parent, kind);
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
