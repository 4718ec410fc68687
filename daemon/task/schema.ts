// The frontmatter of a task: types, allowed values, and messages that name key, value, what is allowed and the line.
import { type Document, isMap, isScalar, type LineCounter } from 'yaml';
import { z } from 'zod';
import { epochMs, parseDuration } from '../clock.ts';
import { fixSchema, reviewSchema } from './keys.ts';
import { ON_ACCEPT, type TaskSpec } from './terms.ts';

/** An id is a file name, a folder name and the last part of a branch, so it is kept to what all three allow. */
export const ID = /^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$/;

/** Why an id is not safe, or null. The last three are what git forbids in the name of a branch. */
export function idProblem(id: string): string | null {
  if (!ID.test(id)) return 'letters, digits, ".", "_" and "-", beginning with a letter or digit, at most 128';
  if (id.includes('..') || id.endsWith('.') || id.endsWith('.lock'))
    return 'an id without "..", and not ending in "." or ".lock" (git allows no such branch)';
  return null;
}

/** Why a ref's name may not be handed to git, or null: no option, no range, no path out. */
export function refProblem(name: string): string | null {
  if (name === '' || name.startsWith('-') || name.startsWith('/') || name.endsWith('/') || name.endsWith('.lock'))
    return 'a branch name';
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is looked for
  return /\.\.|@\{|[\x00-\x20\x7f~^:?*[\\]|\/\/|\/\.|^\./.test(name) ? 'a branch name' : null;
}

const text = z.string().min(1);
const name = z.string().regex(/^[A-Za-z0-9][A-Za-z0-9._-]*$/, 'a name: letters, digits, ".", "_", "-"');
const BETWEEN = 'a number from 0 to 2';
const positive = z.number().int().positive();
const wholeText = z.union([text, z.number().transform(String)], 'a text');
const id = z.string().superRefine((value, ctx) => {
  const problem = idProblem(value);
  if (problem) ctx.addIssue({ code: 'custom', message: problem });
});
const ref = z.string().superRefine((value, ctx) => {
  const problem = refProblem(value);
  if (problem) ctx.addIssue({ code: 'custom', message: problem });
});

const schema = z.looseObject({
  id: id.optional(),
  title: wholeText.optional(),
  role: name.optional(),
  seniority: z.enum(['junior', 'senior', 'principal']).default('senior'),
  complexity: z.enum(['major', 'minor']).default('major'),
  priority: z.enum(['P0', 'P1', 'P2', 'P3']).default('P2'),
  project: name.optional(),
  repo: text.optional(),
  base: ref.optional(),
  agent: name.optional(),
  model: text.refine((value) => !value.startsWith('-'), 'a model name').optional(),
  skills: z.array(text).optional(),
  mcp: z.unknown().optional(),
  temperature: z.number().min(0, BETWEEN).max(2, BETWEEN).optional(),
  max_turns: positive.optional(),
  depends_on: z.array(id).default([]),
  on_dependency_failure: z.enum(['hold', 'cancel', 'run']).default('hold'),
  checks: z.array(z.union([text, z.array(z.string()).min(1)])).optional(),
  review: reviewSchema.optional(),
  fix: fixSchema.optional(),
  on_accept: z.enum(ON_ACCEPT).optional(),
  expect: z.enum(['changes', 'any']).optional(),
  timeout: z
    .string()
    .transform((value, ctx) => {
      const ms = parseDuration(value);
      if (!ms) ctx.addIssue({ code: 'custom', message: 'a duration such as 30s, 10m or 2h' });
      return ms ?? 0;
    })
    .optional(),
  max_attempts: positive.optional(),
  budget_usd: z.number().positive().optional(),
  not_before: z
    .string()
    .refine((value) => parseDuration(value) !== undefined || !Number.isNaN(epochMs(value)), 'an ISO date or a duration')
    .optional(),
  output_schema: z
    .union([text, z.record(z.string(), z.unknown())], 'a JSON schema, or the name of its file')
    .optional(),
  pattern: name.optional(),
  inputs: z.record(z.string(), z.unknown()).optional(),
  outputs: z.union([z.array(text), z.record(z.string(), z.unknown())], 'a list of names, or a map').optional(),
});

const KEYS = Object.keys(schema.shape);

/** Checks the frontmatter. Returns the spec, or the first problem as one line: key, value, what is allowed, line. */
export function checkSpec(
  data: Record<string, unknown>,
  doc: Document | null,
  lines: LineCounter,
): { spec: TaskSpec } | { problem: string } {
  const parsed = schema.safeParse(data);
  if (parsed.success) {
    const spec = Object.fromEntries(
      Object.entries(parsed.data).filter(([key, v]) => KEYS.includes(key) && v !== undefined),
    );
    return { spec: spec as unknown as TaskSpec };
  }
  const issue = parsed.error.issues[0]!;
  const value = issue.path.reduce<unknown>((at, key) => (at as Record<PropertyKey, unknown> | undefined)?.[key], data);
  const shown = JSON.stringify(value)?.slice(0, 80) ?? 'nothing';
  const line = doc ? lineOf(doc, issue.path, lines) : undefined;
  return {
    problem: `${issue.path.join('.')}: ${shown} is not allowed: ${allowed(issue)}${line ? ` (line ${line})` : ''}`,
  };
}

/** Keys that look like a slip of a known one, for a hint: `depends-on`, `Priority`. */
export function misspelt(data: Record<string, unknown>): [string, string][] {
  const plain = (key: string) => key.toLowerCase().replace(/[-_ ]/g, '');
  return Object.keys(data).flatMap((key) => {
    const meant = KEYS.find((known) => known !== key && plain(known) === plain(key));
    return meant && !KEYS.includes(key) ? [[key, meant] as [string, string]] : [];
  });
}

const TYPES: Record<string, string> = { array: 'list', record: 'map', int: 'whole number' };
const HINTS = { timeout: 'a duration such as 30s, 10m or 2h', not_before: 'an ISO date or a duration, in quotes' };

function allowed(issue: z.core.$ZodIssue): string {
  if (issue.code === 'invalid_value') return `one of ${issue.values.join(', ')}`;
  if (issue.code === 'invalid_type' && (issue.path[0] === 'timeout' || issue.path[0] === 'not_before'))
    return HINTS[issue.path[0]];
  if (issue.code === 'invalid_type') return `write a ${TYPES[issue.expected] ?? issue.expected}`;
  if (issue.code === 'too_small' && issue.path[0] !== 'temperature')
    return issue.origin === 'number' ? 'a number above 0' : 'it is empty';
  if (issue.code === 'invalid_union' && issue.message === 'Invalid input') return 'a text or a list of texts';
  return issue.message;
}

/** The line of a key's value, else of the key itself. */
export function lineOf(doc: Document, path: PropertyKey[], lines: LineCounter): number | undefined {
  for (let depth = path.length; depth > 0; depth--) {
    const node: unknown = doc.getIn(path.slice(0, depth), true);
    if (isScalar(node) && node.range) return lines.linePos(node.range[0]).line + 1;
  }
  const pair =
    isMap(doc.contents) && doc.contents.items.find((item) => isScalar(item.key) && item.key.value === path[0]);
  const range = pair && isScalar(pair.key) ? pair.key.range : undefined;
  return range ? lines.linePos(range[0]).line + 1 : undefined;
}
