// Runs the user's programs that open a pull request and tell how it stands: argv alone, in an environment that cannot prompt.
import { resolveProgram } from '../../agents/command.ts';
import type { Context } from '../../attempt/context.ts';
import { TowpathError } from '../../errors.ts';
import { childEnv } from '../../process/env.ts';
import { run } from '../../process/run.ts';
import { redact } from '../../secrets.ts';

const TIMEOUT_MS = 120_000;
/** What gh, glab and git take from the environment to reach the server, with the keyring that gh keeps its token in. */
const ALLOW = [
  ...['GH_*', 'GITHUB_*', 'GITLAB_*', 'GITEA_*', 'XDG_CONFIG_HOME', 'XDG_RUNTIME_DIR', 'DBUS_SESSION_BUS_ADDRESS'],
  ...['SSH_AUTH_SOCK', 'SSL_CERT_FILE', 'SSL_CERT_DIR', 'GIT_SSL_CAINFO', 'GIT_SSL_CAPATH'],
  ...['http_proxy', 'https_proxy', 'no_proxy', 'HTTP_PROXY', 'HTTPS_PROXY', 'NO_PROXY', 'ALL_PROXY', 'all_proxy'],
];
const SET = { GH_PROMPT_DISABLED: '1', GH_NO_UPDATE_NOTIFIER: '1', GIT_TERMINAL_PROMPT: '0', NO_COLOR: '1' };

/** Also for the push: a credential helper may be one of these programs. */
export const forgeEnv = ({ settings }: Pick<Context, 'settings'>): Record<string, string> =>
  childEnv({ allow: [...settings.env, ...ALLOW], set: SET });

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

/** A program that failed; `passes`: in a while it may not. `mute`: it could not be run, or was killed, and so has said nothing. */
export interface Problem {
  problem: string;
  passes: boolean;
  mute?: boolean;
}

/** What it printed, or why it did not exit with 0. */
export async function runProgram(
  ctx: Pick<Context, 'settings' | 'workspace'>,
  named: readonly string[],
  { cwd, places, signal }: { cwd: string; places: Places; signal?: AbortSignal | undefined },
): Promise<{ stdout: string } | Problem> {
  const argv = resolveProgram(named, ctx.workspace.root);
  const done = await run({
    argv: fillIn(argv, places),
    cwd,
    env: forgeEnv(ctx),
    timeout_ms: TIMEOUT_MS,
    maxOutput: 64 * 1024,
    signal,
  });
  if (done.aborted) throw new TowpathError('failed', `${argv[0]} was called off`);
  if (done.code === 0 && !done.timedOut) return { stdout: done.stdout };
  const said = wordsOf(done.stderr);
  const how = done.timedOut ? `did not end within ${TIMEOUT_MS / 1000} s` : `exited with ${done.code ?? done.signal}`;
  return {
    problem: redact(done.spawnError ?? `${argv[0]} ${how}${said ? `: ${said}` : ''}`),
    passes: done.timedOut || done.code === TRY_LATER || PASSES.test(done.stderr),
    ...(done.code === null || done.code >= NOT_RUN ? { mute: true } : {}),
  };
}

/** As hooks say it. */
const TRY_LATER = 75;
/** From here on a code is a shell's own: it could not run what it was to run, or that was killed. */
const NOT_RUN = 126;
/**
 * How gh tells that a server could not be reached, or answered that it cannot just now: it exits with 1 whatever it is, but the
 * lines are its own and Go's, and fixed.
 */
const PASSES =
  /^(?:pull request create failed: )?(?:HTTP (?:408|429|5\d\d)\b|error connecting to \S+$|(?:Get|Post|Patch) "https?:\/\/[^"\n]+": )/m;

/** The first and the last lines: what is wrong is in the one or the other. */
function wordsOf(stderr: string): string {
  const lines = stderr.split('\n').flatMap((line) => line.trim() || []);
  const shown = lines.length > 4 ? [...lines.slice(0, 2), '…', ...lines.slice(-2)] : lines;
  return shown.map((line) => (line.length > 300 ? `${line.slice(0, 300)}…` : line.replace(/\.$/, ''))).join('; ');
}

/** NONE: there is none for this branch. */
const STATES = ['OPEN', 'MERGED', 'CLOSED', 'NONE'] as const;
export type PullState = (typeof STATES)[number];

/** How a pull request stands, by the JSON of `pr.status`: an object, or a list of them, newest first; null when it is no such JSON. */
export function readStatus(stdout: string): { state: PullState; url: string | null } | null {
  try {
    const said = JSON.parse(stdout) as unknown;
    const found = (Array.isArray(said) ? (said[0] ?? { state: 'NONE' }) : said) as { state?: unknown; url?: unknown };
    const state = STATES.find((one) => one === String(found.state).toUpperCase());
    return state ? { state, url: typeof found.url === 'string' ? found.url : null } : null;
  } catch {
    return null;
  }
}

/** The first address that a program printed. */
export const urlIn = (text: string): string | null => /https?:\/\/[^\s"'<>]+/.exec(text)?.[0] ?? null;
