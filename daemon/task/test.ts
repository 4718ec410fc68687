// What an agent answers that tests a result: the schema, and what is wrong with an answer that fits it.
import type { Schema } from './answer.ts';
import { COMMAND_SCHEMA, commandProblem } from './command.ts';
import { FINDINGS_SCHEMA, type Finding, findingsOf } from './review.ts';

/** The reviewing role whose tests and commands are evidence. */
export const TESTER = 'tester';
export const TESTS_BYTES = 256 * 1024;
const COMMANDS = 10;

export interface Tested {
  summary: string;
  commands: string[][];
  findings: Finding[];
}

export const TEST_SCHEMA: Schema = {
  type: 'object',
  required: ['summary', 'commands', 'findings'],
  properties: {
    summary: { type: 'string', description: 'what you tested and how, and what you did not, in a few sentences' },
    commands: {
      type: 'array',
      items: COMMAND_SCHEMA,
      description: `at most ${COMMANDS}: what shows that the result works; each must end with exit code 0 where it does`,
    },
    findings: FINDINGS_SCHEMA,
  },
};

/** What an answer that fits says. */
export function testedOf(value: unknown): Tested {
  const { summary, commands, findings } = value as Tested;
  return { summary, commands, findings: findingsOf(findings) };
}

/** What cannot be run of an answer, or null. `full`: its agent may have commands run. */
export function testedProblem({ commands }: Tested, full: boolean): string | null {
  if (commands.length > 0 && !full) return 'commands: your agent may run none, so name none';
  if (commands.length > COMMANDS) return `commands: ${commands.length} are more than ${COMMANDS}`;
  for (const [at, argv] of commands.entries()) {
    const problem = commandProblem(argv);
    if (problem) return `commands: of number ${at + 1}, ${problem}`;
  }
  return null;
}

/** Findings with which a result does not pass. */
export const isSevere = ({ severity }: Finding): boolean => severity === 'blocker' || severity === 'major';
