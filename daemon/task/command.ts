// A command that an agent names for Towpath to run: an argv, no line for a shell, and no larger than it has to be.
import type { Schema } from './answer.ts';

const WORDS = 100;
const CHARS = 8000;

/** Its limits are not in the schema: some model services take none. */
export const COMMAND_SCHEMA: Schema = {
  type: 'array',
  items: { type: 'string' },
  description:
    'the program and its arguments, one string each; no shell is near; it is run at the top of the repository',
};

/** What is wrong with one, or null. */
export function commandProblem(argv: readonly string[]): string | null {
  if (!argv[0]?.trim()) return 'it names no program';
  if (argv.length > WORDS) return `it has more than ${WORDS} words`;
  if (argv.join(' ').length > CHARS) return `it is longer than ${CHARS} characters`;
  return argv.some((word) => word.includes('\0')) ? 'it holds a NUL' : null;
}
