// The tool that runs a command line in the worktree: bounded in time and output, without our keys, ended with its whole tree.
import { z } from 'zod';
import { run } from '../../../process/run.ts';
import type { Worktree } from './confine.ts';
import { Refusal, type Tool, tool } from './tool.ts';

const DEFAULT_S = 120;
const MAX_S = 1800;
/** What is kept of stdout and of stderr, head and tail, bytes. */
const OUTPUT = 30_000;

/** `env` is what the command sees: see `toolEnv`. */
export function commandTool(tree: Worktree, env: Record<string, string>): Tool {
  return tool(
    'run_command',
    'Runs a line with sh in the worktree, without a terminal and without stdin. What it leaves running is ended with it.',
    z.object({
      command: z.string().min(1),
      path: z.string().min(1).default('.').describe('the folder to run it in'),
      timeout_s: z.number().int().min(1).max(MAX_S).default(DEFAULT_S),
    }),
    async (it) => {
      const cwd = tree.readable(it.path);
      const argv = ['sh', '-c', it.command];
      const done = await run({ argv, cwd, env, timeout_ms: it.timeout_s * 1000, maxOutput: OUTPUT });
      if (done.spawnError) throw new Refusal(done.spawnError);
      const how = done.timedOut
        ? `ended after ${it.timeout_s} s`
        : done.signal
          ? `ended by ${done.signal}`
          : `exit code ${done.code}`;
      const parts = [done.stdout, done.stderr && `[stderr]\n${done.stderr}`, `[${how}]`];
      return parts.filter(Boolean).join('\n');
    },
  );
}

/** Names of variables that look like secrets. */
const SECRET = /(^|_)(KEY|TOKEN|SECRET|PASS|CREDENTIALS?|AUTH)(_|$)|APIKEY|PASSWORD|PASSWD|PASSPHRASE/i;

/** What programs of the model may see of our environment: no key of a model server, and nothing that looks like a secret. */
export function toolEnv(env: NodeJS.ProcessEnv, keys: readonly string[]): Record<string, string> {
  const pairs = Object.entries(env).filter(([name]) => !keys.includes(name) && !SECRET.test(name));
  return Object.fromEntries(pairs.flatMap(([name, value]) => (value === undefined ? [] : [[name, value]])));
}
