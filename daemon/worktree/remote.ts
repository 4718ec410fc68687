// Git that talks to another machine: bounded in time, and ended together with what it starts for the transport.
import { TowpathError } from '../errors.ts';
import { type RunResult, run } from '../process/run.ts';
import { argvOf, environment } from './git.ts';

export interface TalkOptions {
  timeout_ms: number;
  /** What credential helpers and the like need beside git's own environment. */
  env?: Record<string, string> | undefined;
  config?: string[];
  input?: string;
  signal?: AbortSignal | undefined;
}

/** How it ended, whatever the exit code. Throws when it was called off, or there is no git. */
export async function talk(dir: string, args: string[], options: TalkOptions): Promise<RunResult> {
  const { timeout_ms, input, signal, config = [] } = options;
  const env = { ...options.env, ...environment({}) };
  const done = await run({ argv: argvOf(args, config), cwd: dir, env, timeout_ms, input, signal });
  if (done.aborted) throw new TowpathError('failed', `git ${args[0]} was called off`);
  if (done.spawnError) throw new TowpathError('git', done.spawnError, 'install git');
  return done;
}
