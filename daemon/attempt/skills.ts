// Skills and notes: folders skills/<name>/ with a SKILL.md in the workspace, of which each run gets a copy, and the project's notes.
import {
  cpSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { join, relative, resolve, sep } from 'node:path';
import type { HandedSkill } from '../agents/port.ts';
import { messageOf, TowpathError } from '../errors.ts';
import type { Workspace } from '../paths.ts';
import { redact } from '../secrets.ts';
import { headChars } from '../task/cut.ts';
import { readFrontMatter } from '../task/frontmatter.ts';

const NAME = /^[A-Za-z0-9][A-Za-z0-9._-]*$/;
export const SKILL_FILE = 'SKILL.md';
/** Of a skill that was cloned; no agent reads it. */
const GIT = '.git';
/** More of a file is read by nobody: the prompt would not hold it. */
const MAX_BYTES = 1024 * 1024;
/** What a whole skill may hold: each run copies it. */
const MAX_FILES = 500;
const MAX_FOLDER = 20 * 1024 * 1024;
/** By its description an agent decides whether to open a skill, characters. */
const DESCRIPTION_CHARS = 300;

export interface Skill {
  name: string;
  /** What it is for, in a line. */
  description: string;
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

/** Where the copies of a run lie. */
export const skillDir = (run_dir: string, name: string): string => join(run_dir, 'skills', name);

/** Makes the copies that a run hands to its agent: the workspace's own stay out of its reach. May be done again. */
export function copySkills(workspace: Workspace, handed: readonly HandedSkill[]): void {
  for (const { name, dir } of handed) {
    const skill = read(workspace, name);
    if (typeof skill === 'string') throw new TowpathError('agent', skill);
    rmSync(dir, { recursive: true, force: true });
    mkdirSync(dir, { recursive: true, mode: 0o700 });
    const own = [join(skill.dir, SKILL_FILE), join(skill.dir, GIT)];
    cpSync(skill.dir, dir, { recursive: true, dereference: true, filter: (from) => !own.includes(from) });
    // Agents differ in what front matter they accept: all know these two keys, and nothing else of it is wanted.
    const matter = `---\nname: ${skill.name}\ndescription: ${JSON.stringify(skill.description)}\n---\n`;
    writeFileSync(join(dir, SKILL_FILE), `${matter}\n${redact(skill.text)}\n`, { mode: 0o600 });
  }
}

function read(workspace: Workspace, name: string): Skill | string {
  const named = join(workspace.skills, name);
  const refuse = (why: string) => `skills: ${JSON.stringify(name)} ${why}: write ${join('skills', name, SKILL_FILE)}`;
  if (!NAME.test(name)) return `skills: ${JSON.stringify(name)} is not allowed: the name of a folder in skills/`;
  try {
    const path = join(named, SKILL_FILE);
    const stat = statSync(path, { throwIfNoEntry: false });
    if (!stat?.isFile()) return refuse('does not exist');
    if (stat.size > MAX_BYTES) return refuse('is larger than 1 MiB');
    const dir = realpathSync(named);
    const problem = problemOf(dir, realpathSync(workspace.root));
    if (problem) return `skills: ${JSON.stringify(name)} ${problem}`;
    const text = textOf(readFileSync(path));
    if (text === null) return refuse('is no UTF-8 text');
    const parsed = readFrontMatter(text);
    if ('problem' in parsed) return refuse(`cannot be read: ${parsed.problem}`);
    const body = parsed.body.trim();
    return { name, description: describe(parsed.data['description'], body), dir, text: body };
  } catch (thrown) {
    return refuse(`cannot be read: ${messageOf(thrown)}`);
  }
}

function textOf(bytes: Buffer): string | null {
  try {
    const text = new TextDecoder('utf-8', { fatal: true }).decode(bytes);
    return text.includes('\0') ? null : text;
  } catch {
    return null;
  }
}

const below = (dir: string, path: string): boolean => path === dir || path.startsWith(`${dir}${sep}`);

/** Why a folder cannot be copied for a run: what it holds would lead an agent elsewhere, or be too much. */
function problemOf(dir: string, root: string): string | null {
  if (!below(root, dir)) return 'leads outside the workspace through a link: copy the folder into skills/';
  const all = readdirSync(dir, { recursive: true, encoding: 'utf8' });
  const entries = all.filter((entry) => entry.split(sep)[0] !== GIT);
  if (entries.length > MAX_FILES) return `holds more than ${MAX_FILES} files: keep to what an agent reads`;
  let bytes = 0;
  for (const entry of entries) {
    const path = join(dir, entry);
    const link = lstatSync(path).isSymbolicLink();
    const stat = statSync(path, { throwIfNoEntry: false });
    if (!stat || (link && !below(dir, realpathSync(path))))
      return `holds the link ${entry}, which leads out of its folder: copy the file`;
    // A link to a folder may lead in a circle.
    if (!stat.isFile() && (link || !stat.isDirectory())) return `holds ${entry}, which is no plain file: remove it`;
    bytes += stat.size;
  }
  return bytes > MAX_FOLDER ? 'is larger than 20 MiB: keep to what an agent reads' : null;
}

/** The description of its front matter, else the first line of its text. */
function describe(told: unknown, text: string): string {
  const first = text.split('\n', 1)[0]!.replace(/^#+\s*/, '');
  const line = (typeof told === 'string' && told.trim() ? told : first).replaceAll(/\s+/g, ' ').trim();
  return headChars(line, DESCRIPTION_CHARS);
}

/** The notes that the settings name: a file of the workspace, so that no task writes what the next is told. */
export function readNotes(
  workspace: Workspace,
  named: string | undefined,
): { name: string; path: string; text: string } | null {
  if (named === undefined) return null;
  const path = resolve(workspace.root, named);
  const stat = statSync(path, { throwIfNoEntry: false });
  if (!stat?.isFile() || stat.size > MAX_BYTES) return null;
  return { name: relative(workspace.root, path), path, text: readFileSync(path, 'utf8').trim() };
}
