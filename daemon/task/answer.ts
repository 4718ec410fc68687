// Answers by a schema: reads the schema that a task names, and says whether a final answer fits it.
import { existsSync, readFileSync, realpathSync, statSync } from 'node:fs';
import { relative, resolve } from 'node:path';
import { Ajv, type ErrorObject, type ValidateFunction } from 'ajv';
import { messageOf, TowpathError } from '../errors.ts';

export type Schema = Record<string, unknown>;

const MAX_BYTES = 256 * 1024;
/** What is told of what does not fit: so many places. */
const TOLD = 5;

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

/** A schema is compiled for each use: few are the same, and they come from anywhere. */
function compile(schema: Schema): ValidateFunction {
  try {
    // Formats are told apart by nobody here, and a keyword that is not known is no fault of the answer.
    return new Ajv({ strict: false, allErrors: true, validateFormats: false }).compile(schema);
  } catch (thrown) {
    throw new TowpathError('task_refused', `output_schema: ${messageOf(thrown)}`, 'mend the schema');
  }
}

/** The value of an answer that fits; else what is wrong with it, for whoever gave it. `structured`: what the agent told as such. */
export function judgeAnswer(
  text: string,
  schema: Schema,
  structured?: unknown,
): { value: unknown } | { problem: string } {
  const found = structured === undefined ? jsonIn(text) : { value: structured };
  if (!found) return { problem: 'the final answer holds no JSON: answer with the JSON value alone' };
  const fits = compile(schema);
  if (fits(found.value)) return found;
  const all = fits.errors ?? [];
  const more = all.length > TOLD ? `; and ${all.length - TOLD} more` : '';
  return { problem: `the final answer does not fit the schema: ${all.slice(0, TOLD).map(wordsOf).join('; ')}${more}` };
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
  const blocks = [...text.matchAll(/^ {0,3}```(?:json)?[ \t]*\r?\n([\s\S]*?)\r?\n {0,3}```[ \t]*$/gm)].map(
    (found) => found[1]!,
  );
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
