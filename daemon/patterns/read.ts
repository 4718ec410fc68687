// Finds and reads patterns: `patterns/<name>/` with pattern.yaml and an executable `run`, of the workspace or of those that ship.
import { accessSync, constants, existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parse } from 'yaml';
import { z } from 'zod';
import { messageOf, TowpathError } from '../errors.ts';
import type { Workspace } from '../paths.ts';
import type { Schema } from '../task/answer.ts';

export interface Pattern {
  name: string;
  description: string;
  /** What its inputs must fit. */
  inputs: Schema;
  /** Absolute path of its executable. */
  program: string;
  from: 'workspace' | 'shipped';
}

const SHIPPED = fileURLToPath(new URL('../../patterns/', import.meta.url));
const NAME = /^[A-Za-z0-9][A-Za-z0-9._-]*$/;
export const PATTERN_FILE = 'pattern.yaml';

const schema = z.strictObject({
  name: z.string().optional(),
  description: z.string().default(''),
  inputs: z.record(z.string(), z.unknown()).default({ additionalProperties: false }),
});

const BARE = ['$schema', 'type', 'properties'];

/** The file may be the JSON schema of the inputs itself: then its description is that of the pattern. */
function unwrapped(raw: unknown): unknown {
  const map = typeof raw === 'object' && raw !== null ? raw : {};
  if ('inputs' in map || !BARE.some((key) => key in map)) return raw;
  const { description } = map as { description?: unknown };
  return { inputs: raw, ...(description === undefined ? {} : { description }) };
}

/** The names of all patterns, sorted; one of the workspace stands before a shipped one of the same name. */
export function patternNames(workspace: Workspace): string[] {
  const below = (dir: string) =>
    existsSync(dir)
      ? readdirSync(dir).filter((name) => NAME.test(name) && existsSync(join(dir, name, PATTERN_FILE)))
      : [];
  return [...new Set([...below(workspace.patterns), ...below(SHIPPED)])].sort();
}

/** Reads a pattern. Throws `not_found` when there is none, `task_refused` when it cannot be used. */
export function readPattern(workspace: Workspace, name: string): Pattern {
  const places = [
    { from: 'workspace', dir: join(workspace.patterns, name) },
    { from: 'shipped', dir: join(SHIPPED, name) },
  ] as const;
  const place = NAME.test(name) ? places.find(({ dir }) => existsSync(join(dir, PATTERN_FILE))) : undefined;
  if (!place)
    throw new TowpathError(
      'not_found',
      `pattern: "${name}" does not exist`,
      `one of ${patternNames(workspace).join(', ')}, or write patterns/<name>/${PATTERN_FILE}`,
    );
  return readPatternIn(place.dir, name, place.from);
}

/** Reads the pattern in a folder. Throws `task_refused` when it cannot be used. */
export function readPatternIn(dir: string, name: string, from: Pattern['from'] = 'workspace'): Pattern {
  const path = join(dir, PATTERN_FILE);
  const refuse = (what: string) => new TowpathError('task_refused', `${path}: ${what}`, 'mend the pattern');
  let raw: unknown;
  try {
    raw = parse(readFileSync(path, 'utf8'), { maxAliasCount: 100 });
  } catch (thrown) {
    throw refuse(messageOf(thrown).split('\n')[0]!);
  }
  const read = schema.safeParse(unwrapped(raw));
  if (!read.success) {
    const [issue] = read.error.issues;
    throw refuse(`${issue!.path.join('.') || 'the file'}: ${issue!.message}`);
  }
  if (read.data.name !== undefined && read.data.name !== name)
    throw refuse(`name: "${read.data.name}" is not that of its folder, ${name}`);
  const program = join(dir, 'run');
  if (!isProgram(program)) throw refuse('there is no executable file "run" beside it: write one, and chmod +x it');
  const { description, inputs } = read.data;
  return { name, description, inputs: { type: 'object', ...inputs }, program, from };
}

function isProgram(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return statSync(path).isFile();
  } catch {
    return false;
  }
}
