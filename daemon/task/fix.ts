// What an agent answers that mends a failed check: the schema, and by what the same patch is known again.
import { createHash } from 'node:crypto';
import type { Schema } from './answer.ts';

/** The role that writes patches. */
export const FIXER = 'fixer';
export const PATCH_BYTES = 64 * 1024;

export interface Fix {
  patch: string;
  why: string;
}

export const FIX_SCHEMA: Schema = {
  type: 'object',
  additionalProperties: false,
  required: ['patch', 'why'],
  properties: {
    patch: { type: 'string', description: 'a unified diff as `git diff` prints it; empty: nothing would help' },
    why: { type: 'string', description: 'what was wrong, in a sentence or two' },
  },
};

/** Where hunks lie and how lines end does not make another patch. */
export function patchHash(patch: string): string {
  const lines = patch
    .split('\n')
    .map((line) => line.trimEnd())
    .filter((line) => /^([-+ ]|$)/.test(line) && line !== '');
  return createHash('sha256').update(lines.join('\n')).digest('hex');
}
