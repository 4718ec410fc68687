// Runs the checks of a task in its worktree and keeps the evidence: command, exit code, output, tree, time.
import { now } from '../clock.ts';
import { childEnv } from '../process/env.ts';
import { run } from '../process/run.ts';
import { headChars } from '../task/cut.ts';
import { fenced } from '../task/fence.ts';
import type { Check } from '../task/terms.ts';

/** A command that an agent has named as evidence: run as a check is, under what its agent is wrapped in. */
export interface Brought {
  argv: string[];
  /** The role of the agent. */
  by: string;
  wrap: string[];
}

export type ToRun = Check | Brought;

/** One line of `checks.json` in the run's folder. */
export interface Evidence {
  command: string;
  /** The role of the agent that named it; the others are the user's own. */
  by?: string;
  /** It had failed, and this is what came of it the second time. */
  again?: boolean;
  code: number | null;
  ok: boolean;
  /** Head and tail of what it printed, both streams. */
  output: string;
  /** The git tree that was checked; evidence of another tree is stale. */
  tree: string | null;
  at: string;
  duration_ms: number;
}

const OUTPUT_BYTES = 64 * 1024;

/** Runs every check, one after the other, also after one has failed: the next attempt is to know all of it. */
export async function runChecks(options: {
  checks: readonly ToRun[];
  cwd: string;
  allow: string[];
  set: Record<string, string>;
  timeout_ms: number;
  tree: string | null;
  signal: AbortSignal;
  onDone: (evidence: Evidence) => void;
}): Promise<Evidence[]> {
  const kept: Evidence[] = [];
  for (const check of options.checks) {
    if (options.signal.aborted) break;
    const { argv, ...named } = commandOf(check);
    const at = now();
    const done = await run({
      argv,
      cwd: options.cwd,
      env: childEnv({ allow: options.allow, set: { ...options.set, CI: 'true' } }),
      timeout_ms: options.timeout_ms,
      maxOutput: OUTPUT_BYTES,
      signal: options.signal,
    });
    const note = done.timedOut
      ? `\n(ended after ${options.timeout_ms / 1000} s)`
      : done.spawnError
        ? `\n(${done.spawnError})`
        : done.signal
          ? `\n(ended by ${done.signal})`
          : '';
    const evidence = {
      ...named,
      code: done.code ?? (done.spawnError ? NOT_FOUND : null),
      ok: done.code === 0 && !done.timedOut,
      output: `${done.stdout}${done.stderr ? `\n${done.stderr}` : ''}`.trim() + note,
      tree: options.tree,
      at,
      duration_ms: done.duration_ms,
    };
    kept.push(evidence);
    options.onDone(evidence);
  }
  return kept;
}

/** As a shell says of a program that it does not find. */
export const NOT_FOUND = 127;

/** What is run, and under which name its evidence is kept. */
export function commandOf(check: ToRun): { argv: string[] } & Pick<Evidence, 'command' | 'by'> {
  // A text is one line of the user's own for sh; nothing of ours or of a task's other fields is ever pasted into it.
  if (typeof check === 'string') return { argv: ['sh', '-c', check], command: check };
  if (Array.isArray(check)) return { argv: check, command: check.join(' ') };
  return { argv: [...check.wrap, ...check.argv], command: check.argv.join(' '), by: check.by };
}

/** A command as it is told, with who named it. */
export const commandText = ({ command, by, again }: Pick<Evidence, 'command' | 'by' | 'again'>): string =>
  by === undefined ? `\`${command}\`` : `\`${inLine(command)}\` (by the ${by}${again ? ', tried twice' : ''})`;

/** An agent wrote it: nothing in it shall pass for more than a command. */
const COMMAND_CHARS = 500;
const inLine = (command: string): string => {
  const plain = command.replaceAll(/\s+/g, ' ').replaceAll('`', "'");
  return plain.length > COMMAND_CHARS ? `${headChars(plain, COMMAND_CHARS)} …` : plain;
};

/** What the next attempt is told of failed checks. */
export function checkFeedback(evidence: readonly Evidence[]): string {
  const failed = evidence.filter((one) => !one.ok);
  return failed
    .map(
      ({ code, output, ...of }) =>
        `The check ${commandText(of)} failed${code === null ? '' : ` with exit code ${code}`}.\n\n${output ? fenced(output.slice(-4000)) : 'It printed nothing.'}`,
    )
    .join('\n\n');
}
