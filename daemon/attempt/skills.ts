// Skills and notes for the prompt: folders skills/<name>/ with a SKILL.md in the workspace, and the project's own notes.
import { readFileSync, statSync } from 'node:fs';
import { join, relative, resolve } from 'node:path';
import { messageOf } from '../errors.ts';
import type { Workspace } from '../paths.ts';
import { readFrontMatter } from '../task/frontmatter.ts';

const NAME = /^[A-Za-z0-9][A-Za-z0-9._-]*$/;
const FILE = 'SKILL.md';
/** More of a file is read by nobody: the prompt would not hold it. */
const MAX_BYTES = 1024 * 1024;

export interface Skill {
  name: string;
  /** Its folder: what its text names lies there. */
  dir: string;
  text: string;
}

/** Why a list of skills cannot be used, or null. */
export function skillsProblem(workspace: Workspace, names: readonly string[]): string | null {
  for (const name of names) {
    const found = read(workspace, name);
    if (typeof found === 'string') return found;
  }
  return null;
}

/** Those that can be read; one that vanished since the task came in is left out, and told by the caller. */
export function readSkills(workspace: Workspace, names: readonly string[]): { skills: Skill[]; problems: string[] } {
  const found = [...new Set(names)].map((name) => read(workspace, name));
  return {
    skills: found.filter((one) => typeof one !== 'string'),
    problems: found.filter((one) => typeof one === 'string'),
  };
}

function read(workspace: Workspace, name: string): Skill | string {
  const dir = join(workspace.skills, name);
  const path = join(dir, FILE);
  const refuse = (why: string) => `skills: ${JSON.stringify(name)} ${why}: write ${join('skills', name, FILE)}`;
  if (!NAME.test(name)) return `skills: ${JSON.stringify(name)} is not allowed: the name of a folder in skills/`;
  const stat = statSync(path, { throwIfNoEntry: false });
  if (!stat?.isFile()) return refuse('does not exist');
  if (stat.size > MAX_BYTES) return refuse('is larger than 1 MiB');
  try {
    const parsed = readFrontMatter(readFileSync(path, 'utf8'));
    return 'problem' in parsed ? refuse(`cannot be read: ${parsed.problem}`) : { name, dir, text: parsed.body.trim() };
  } catch (thrown) {
    return refuse(`cannot be read: ${messageOf(thrown)}`);
  }
}

/** The notes that the settings name: a file of the workspace, so that no task writes what the next is told. */
export function readNotes(workspace: Workspace, named: string | undefined): { path: string; text: string } | null {
  if (named === undefined) return null;
  const path = resolve(workspace.root, named);
  const stat = statSync(path, { throwIfNoEntry: false });
  if (!stat?.isFile() || stat.size > MAX_BYTES) return null;
  return { path: relative(workspace.root, path), text: readFileSync(path, 'utf8').trim() };
}
