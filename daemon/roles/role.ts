// Who does the work: role files, from the workspace or else from those that ship with Towpath.
import { existsSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { z } from 'zod';
import { TowpathError } from '../errors.ts';
import type { Workspace } from '../paths.ts';
import { readFrontMatter } from '../task/frontmatter.ts';

const schema = z.looseObject({
  name: z.string().optional(),
  agent: z.string().optional(),
  /** Who works while the agent is closed by a limit. */
  fallback: z.string().optional(),
  model: z.string().optional(),
  skills: z.array(z.string()).optional(),
  temperature: z.number().optional(),
  mcp: z.unknown().optional(),
  tools: z.array(z.string()).optional(),
  output_schema: z.union([z.string().min(1), z.record(z.string(), z.unknown())]).optional(),
  max_turns: z.number().int().positive().optional(),
});

export type Role = z.output<typeof schema> & { name: string; prompt: string };

export const SHIPPED_ROLES = fileURLToPath(new URL('../../roles/', import.meta.url));

/** The file of a role: the workspace's own, else the shipped one, else null. */
export function rolePath(workspace: Workspace, name: string): string | null {
  for (const dir of [workspace.roles, SHIPPED_ROLES]) {
    const path = join(dir, `${name}.md`);
    if (existsSync(path)) return path;
  }
  return null;
}

/** Roles by path: each waiting task asks for its own at every round. */
const cache = new Map<string, { mtimeMs: number; role: Role }>();

/** Reads a role. Throws `not_found` when there is none, `bad_settings` when it cannot be used. */
export function readRole(workspace: Workspace, name: string): Role {
  const path = rolePath(workspace, name);
  if (!path)
    throw new TowpathError(
      'not_found',
      `role "${name}" does not exist`,
      `write ${join(workspace.roles, `${name}.md`)}`,
    );
  return readRoleFile(path, name);
}

/** Reads the file of a role. Throws `bad_settings` when it cannot be used. */
export function readRoleFile(path: string, name: string): Role {
  const { mtimeMs } = statSync(path);
  const known = cache.get(path);
  if (known?.mtimeMs === mtimeMs) return known.role;
  const read = readFrontMatter(readFileSync(path, 'utf8'));
  if ('problem' in read) throw new TowpathError('bad_settings', `${path}: ${read.problem}`);
  const parsed = schema.safeParse(read.data);
  if (!parsed.success) {
    const issue = parsed.error.issues[0]!;
    throw new TowpathError('bad_settings', `${path}: ${issue.path.join('.')}: ${issue.message}`);
  }
  const role = { ...parsed.data, name, prompt: read.body.trim() };
  cache.set(path, { mtimeMs, role });
  return role;
}
