// Runs the user's programs that open a pull request and tell how it stands: argv alone, in an environment that cannot prompt.
import type { Context } from '../../attempt/context.ts';
import { TowpathError } from '../../errors.ts';
import { childEnv } from '../../process/env.ts';
import { run } from '../../process/run.ts';
import { redact } from '../../secrets.ts';

const TIMEOUT_MS = 120_000;
/** What gh, glab and git take from the environment to reach the server. */
const ALLOW = [
  ...['GH_*', 'GITHUB_*', 'GITLAB_*', 'GITEA_*', 'XDG_CONFIG_HOME', 'SSH_AUTH_SOCK'],
  ...['http_proxy', 'https_proxy', 'no_proxy', 'HTTP_PROXY', 'HTTPS_PROXY', 'NO_PROXY', 'ALL_PROXY'],
];
const SET = { GH_PROMPT_DISABLED: '1', GH_NO_UPDATE_NOTIFIER: '1', GIT_TERMINAL_PROMPT: '0', NO_COLOR: '1' };

/** What may stand in braces in `pr.command` and `pr.status`. */
export interface Places {
  id: string;
  branch: string;
  base: string;
  title: string;
  remote: string;
  body_file: string;
}

/** A place stands for its value within one word; what it holds is never looked through again. */
export const fillIn = (argv: readonly string[], places: Places): string[] =>
  argv.map((word) =>
    word.replace(/\{(id|branch|base|title|remote|body_file)\}/g, (_, name: keyof Places) => places[name]),
  );

/** stdout, or null with the reason when it did not exit with 0. */
export async function runProgram(
  ctx: Pick<Context, 'settings'>,
  argv: readonly string[],
  { cwd, places, signal }: { cwd: string; places: Places; signal?: AbortSignal | undefined },
): Promise<{ stdout: string } | { problem: string }> {
  const done = await run({
    argv: fillIn(argv, places),
    cwd,
    env: childEnv({ allow: [...ctx.settings.env, ...ALLOW], set: SET }),
    timeout_ms: TIMEOUT_MS,
    maxOutput: 64 * 1024,
    signal,
  });
  if (done.aborted) throw new TowpathError('failed', `${argv[0]} was called off`);
  if (done.code === 0 && !done.timedOut) return { stdout: done.stdout };
  const said = done.stderr.trim().split('\n').at(-1)?.trim();
  const how = done.timedOut ? `did not end within ${TIMEOUT_MS / 1000} s` : `exited with ${done.code ?? done.signal}`;
  return { problem: redact(done.spawnError ?? `${argv[0]} ${how}${said ? `: ${said}` : ''}`) };
}

export type PullState = 'OPEN' | 'MERGED' | 'CLOSED';

/** How a pull request stands, by the JSON of `pr.status`; null when it tells of none. */
export function readStatus(stdout: string): { state: PullState; url: string | null } | null {
  try {
    const found = JSON.parse(stdout) as { state?: unknown; url?: unknown };
    const state = String(found.state).toUpperCase();
    const url = typeof found.url === 'string' ? found.url : null;
    return state === 'OPEN' || state === 'MERGED' || state === 'CLOSED' ? { state, url } : null;
  } catch {
    return null;
  }
}

/** The first address that a program printed. */
export const urlIn = (text: string): string | null => /https?:\/\/[^\s"'<>]+/.exec(text)?.[0] ?? null;
