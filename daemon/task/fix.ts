// What an agent answers that mends a failed check: the schema, with or without a test, and by what the same patch is known again.
import { createHash } from 'node:crypto';
import { type Judged, judgeAnswer, type Schema } from './answer.ts';
import { COMMAND_SCHEMA, commandProblem } from './command.ts';
import { blocksIn } from './fence.ts';

/** The role that writes patches. */
export const FIXER = 'fixer';
export const PATCH_BYTES = 64 * 1024;

export interface Fix {
  patch: string;
  why: string;
  /** A patch that adds a test, and what runs it: where that is asked for. */
  test?: string;
  command?: string[];
}

const PATCH = {
  patch: { type: 'string', description: 'a unified diff as `git diff` prints it; empty: nothing would help' },
  why: { type: 'string', description: 'what was wrong, in a sentence or two' },
};
const TEST = {
  test: { type: 'string', description: 'a second unified diff, against the same state, that adds a regression test' },
  command: COMMAND_SCHEMA,
};

/** Every member is required: some model services take no other schema. */
export function fixSchemaOf(with_test = false): Schema {
  const properties = with_test ? { ...PATCH, ...TEST } : PATCH;
  return { type: 'object', additionalProperties: false, required: Object.keys(properties), properties };
}

/** A fix by the schema, but for words of explanation that lack or come beside it; where no test is asked for, the unified diff alone will do. */
export function judgeFix(text: string, structured: unknown, with_test: boolean): Judged {
  const { additionalProperties: _, ...schema } = fixSchemaOf(with_test);
  const required = (schema['required'] as string[]).filter((key) => key !== 'why');
  const judged = judgeAnswer(text, { ...schema, required }, structured);
  if ('value' in judged) return { value: { why: '', ...(judged.value as Omit<Fix, 'why'>) } };
  const patch = with_test ? null : diffIn(text);
  return patch === null ? judged : { value: { patch, why: '' } satisfies Fix };
}

/** The last fenced block that is a unified diff, else the text from where one begins. */
function diffIn(text: string): string | null {
  const diff = /^(diff --git .*|--- .*\r?\n\+\+\+ .*)\r?\n/m;
  const block = blocksIn(text, ['diff', 'patch']).findLast((one) => diff.test(one));
  const from = block ?? text.slice(Math.max(0, text.search(diff)));
  return diff.test(from) ? `${from.trimEnd()}\n` : null;
}

/** Why a fix cannot be tried, or null. `full`: its agent may have commands run. */
export function fixProblem({ patch, test, command }: Fix, with_test: boolean, full: boolean): string | null {
  if (patch.trim() === '') return 'there is no patch';
  if (Buffer.byteLength(patch) > PATCH_BYTES) return `the patch is larger than ${PATCH_BYTES / 1024} KiB`;
  if (!with_test) return null;
  if (!test?.trim()) return 'there is no regression test';
  if (Buffer.byteLength(test) > PATCH_BYTES) return `the regression test is larger than ${PATCH_BYTES / 1024} KiB`;
  const problem = full ? commandProblem(command ?? []) : 'its agent may have none run';
  return problem && `the command that runs the regression test: ${problem}`;
}

/** Where hunks lie and how lines end does not make another patch. */
export function patchHash(patch: string): string {
  const lines = patch
    .split('\n')
    .map((line) => line.trimEnd())
    .filter((line) => /^([-+ ]|$)/.test(line) && line !== '');
  return createHash('sha256').update(lines.join('\n')).digest('hex');
}
