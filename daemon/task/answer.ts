// Values by a schema: reads the schema that a task names, and says whether a final answer fits it, or the inputs of a pattern.
import { existsSync, readFileSync, realpathSync, statSync } from 'node:fs';
import { createRequire } from 'node:module';
import { relative, resolve } from 'node:path';
import { runInNewContext } from 'node:vm';
import type { Ajv, ErrorObject, Options, ValidateFunction } from 'ajv';
import { errno, messageOf, TowpathError } from '../errors.ts';
import { blocksIn } from './fence.ts';

export type Schema = Record<string, unknown>;

const MAX_BYTES = 256 * 1024;
/** How deep a value may be nested. */
const DEPTH = 100;
/** So long a value may be that is kept as the result of a task, characters of its JSON: it is cut by nobody. */
export const RESULT_JSON = 64 * 1024;
/** What is told of what does not fit: so many places. */
const TOLD = 5;
/** A pattern, or a schema that refers to itself, may take for ever on a value that was made for it; so long one is judged, ms. */
const JUDGE_MS = 3000;

/** The schema that a task or role names: itself, or a file below the workspace. Throws `task_refused`. */
export function readSchema(named: string | Schema, root: string): Schema {
  const schema = typeof named === 'string' ? readFile(named, root) : named;
  compile(schema);
  return schema;
}

function readFile(name: string, root: string): Schema {
  const path = resolve(root, name);
  const refuse = (why: string) => new TowpathError('task_refused', `output_schema: ${name} ${why}`, 'name a JSON file');
  if (relative(root, path).startsWith('..')) throw refuse('lies outside the workspace');
  // Also through links: what lies elsewhere would be told to an agent.
  if (existsSync(path) && relative(realpathSync(root), realpathSync(path)).startsWith('..'))
    throw refuse('lies outside the workspace');
  const found = statSync(path, { throwIfNoEntry: false });
  if (!found?.isFile()) throw refuse('does not exist');
  if (found.size > MAX_BYTES) throw refuse('is larger than 256 KiB');
  try {
    const value: unknown = JSON.parse(readFileSync(path, 'utf8'));
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Schema;
  } catch (thrown) {
    throw refuse(`is no JSON: ${messageOf(thrown)}`);
  }
  throw refuse('holds no schema');
}

/** Of those who know of schemas few ever meet one: it is loaded by the first. */
const load = createRequire(import.meta.url);

/** A schema is compiled for each use: few are the same, and they come from anywhere. */
function compile(schema: Schema, named = 'output_schema', options: Options = {}): ValidateFunction {
  try {
    // Formats are told apart by nobody here, and a keyword that is not known is no fault of the answer.
    const { Ajv: Schemas } = load('ajv') as { Ajv: typeof Ajv };
    return new Schemas({ strict: false, allErrors: true, validateFormats: false, ...options }).compile(schema);
  } catch (thrown) {
    throw new TowpathError('task_refused', `${named}: ${messageOf(thrown)}`, 'mend the schema');
  }
}

/** Whether a value fits; null when that could not be told in time. */
function inTime(fits: ValidateFunction, value: unknown): boolean | null {
  const { schema } = fits;
  // All else takes no longer than reading the value did.
  if (!/"(?:pattern|patternProperties|uniqueItems|\$\w*[rR]ef)"/.test(JSON.stringify(schema))) return fits(value);
  try {
    return runInNewContext('fits()', { fits: () => fits(value) }, { timeout: JUDGE_MS }) as boolean;
  } catch (thrown) {
    if (errno(thrown) === 'ERR_SCRIPT_EXECUTION_TIMEOUT') return null;
    throw thrown;
  }
}

/** What is allowed where a key stands that the schema does not know. */
export const NO_SUCH_KEY = 'there is no such key';

/** A place where a value does not fit: its path with dots, what stands there (undefined: nothing), and what is allowed. */
export interface Misfit {
  path: string;
  value: unknown;
  allowed: string;
}

/**
 * A value with the defaults of a schema filled in, or where it does not fit. `coerce`: its texts come from a command line and
 * become what the schema asks for. Throws `task_refused` for a schema that cannot be used; `named` is where it stands.
 */
export function fill(
  value: unknown,
  schema: Schema,
  { named, coerce = false }: { named: string; coerce?: boolean },
): { value: unknown } | { misfits: Misfit[] } {
  const copy: unknown = structuredClone(value);
  const fits = compile(schema, named, {
    useDefaults: true,
    verbose: true,
    ...(coerce ? { coerceTypes: 'array' } : {}),
  });
  return fits(copy) ? { value: copy } : { misfits: (fits.errors ?? []).map(misfitOf) };
}

function misfitOf({ instancePath, keyword, params, message = 'something else', data }: ErrorObject): Misfit {
  const at = instancePath
    .split('/')
    .slice(1)
    .map((part) => part.replaceAll('~1', '/').replaceAll('~0', '~'));
  const { missingProperty, additionalProperty, allowedValues } = params as Record<string, unknown>;
  const path = [...at, ...[missingProperty ?? additionalProperty ?? []].flat()].join('.');
  if (missingProperty !== undefined) return { path, value: undefined, allowed: 'it must be there' };
  if (additionalProperty !== undefined)
    return {
      path,
      value: (data as Record<string, unknown>)[String(additionalProperty)],
      allowed: NO_SUCH_KEY,
    };
  if (keyword === 'enum' && Array.isArray(allowedValues))
    return { path, value: data, allowed: `one of ${allowedValues.join(', ')}` };
  return { path, value: data, allowed: message };
}

export type Judged = { value: unknown } | { problem: string };

/** The value of an answer that fits; else what is wrong with it, for whoever gave it. `structured`: what the agent told as such. */
export function judgeAnswer(text: string, schema: Schema, structured?: unknown): Judged {
  const found = structured === undefined ? jsonIn(text) : { value: structured };
  if (!found) return { problem: 'the final answer holds no JSON: answer with the JSON value alone' };
  // A schema that refers to itself would follow it until the stack is used up.
  if (isDeeper(found.value, DEPTH)) return { problem: `the final answer is nested deeper than ${DEPTH} times` };
  const fits = compile(schema);
  const does = inTime(fits, found.value);
  if (does) return found;
  if (does === null)
    return {
      problem: `the final answer could not be held against the schema within ${JUDGE_MS / 1000} s: make it simpler`,
    };
  const all = fits.errors ?? [];
  const more = all.length > TOLD ? `; and ${all.length - TOLD} more` : '';
  return { problem: `the final answer does not fit the schema: ${all.slice(0, TOLD).map(wordsOf).join('; ')}${more}` };
}

function isDeeper(value: unknown, most: number): boolean {
  const inside = typeof value === 'object' && value !== null ? Object.values(value) : [];
  return inside.length > 0 && (most === 0 || inside.some((one) => isDeeper(one, most - 1)));
}

function wordsOf({ instancePath, message = 'is wrong', params }: ErrorObject): string {
  const at = instancePath || 'the value';
  const which = (params as { additionalProperty?: unknown; allowedValues?: unknown }) ?? {};
  if (which.additionalProperty !== undefined) return `${at} ${message}: ${String(which.additionalProperty)}`;
  return which.allowedValues === undefined
    ? `${at} ${message}`
    : `${at} ${message}: ${JSON.stringify(which.allowedValues)}`;
}

/** The answer as JSON: all of it, else its last fenced block that is JSON. */
function jsonIn(text: string): { value: unknown } | null {
  const blocks = blocksIn(text, ['json']);
  for (const candidate of [text, ...blocks.reverse()])
    try {
      return { value: JSON.parse(candidate.trim()) };
    } catch {
      // Prose, or another kind of block.
    }
  return null;
}

/** What the prompt says of it. */
export const askForJson = (schema: Schema): string =>
  `Your final answer must be one JSON value that fits this schema, and nothing else:\n\n\`\`\`json\n${JSON.stringify(schema, null, 1)}\n\`\`\``;
