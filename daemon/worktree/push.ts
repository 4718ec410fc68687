// Pushes a task's branch to a remote: never over what somebody else has put there, and never waiting for a person.
import type { RunResult } from '../process/run.ts';
import { pushedTo } from './address.ts';
import { GitProblem, git } from './git.ts';
import { pushLarge } from './lfs.ts';
import { talk } from './remote.ts';
import { openRepo } from './repo.ts';
import { isIn } from './train.ts';

/** How long a remote may take to tell what it has, and to take what is pushed, with hooks of its own, ms. */
const ASK_MS = 60_000;
const PUSH_MS = 900_000;

export interface Push {
  remote: string;
  branch: string;
  commit: string;
  /** What an earlier attempt pushed. */
  ours: readonly string[];
  /** What credential helpers and large files need beside git's own environment. */
  env?: Record<string, string>;
  signal?: AbortSignal | undefined;
}

/**
 * Brings `branch` of the remote to a commit. What an earlier attempt pushed (`ours`) may be replaced, and only as long as it is
 * still what is there. May be done again. Throws `unreachable` when another try may come through, else `git_failed`.
 */
export async function push(repoDir: string, { remote, branch, commit, ours, env, signal }: Push): Promise<void> {
  const { root } = await openRepo(repoDir);
  const run = git(root);
  const options = { env, signal, timeout_ms: PUSH_MS };
  const ref = `refs/heads/${branch}`;
  const at = await pushedTo(run, remote);
  const telling = { ...options, env: { ...env, ...at.env } };
  const asked = await talk(root, ['ls-remote', '--', at.name, ref], { ...telling, timeout_ms: ASK_MS });
  if (asked.code !== 0) throw unreached(`${remote} cannot be read`, asked);
  const there = /^[0-9a-f]{40,64}/.exec(asked.stdout)?.[0] ?? null;
  if (there === commit) return;
  const forward = there === null || (await isIn(run, there, commit));
  const force = !forward && ours.includes(there) ? [`--force-with-lease=${ref}:${there}`] : [];
  const what = `${branch} cannot be pushed to ${remote}`;
  const large = await pushLarge(root, { remote, commit, ref, there }, options);
  if (large) throw unreached(what, large);
  const args = ['push', '-q', '--porcelain', '--no-verify', ...force, '--', at.name, `${commit}:${ref}`];
  const pushed = await talk(root, args, telling);
  if (pushed.code !== 0) throw refusal(what, pushed) ?? unreached(what, pushed);
}

/** The remote has answered, and does not take it: a line of `--porcelain` that begins with a mark. Null: it has not come that far. */
function refusal(what: string, { stdout, stderr }: RunResult): GitProblem | null {
  const line = stdout.split('\n').find((one) => one.startsWith('!\t'));
  const why = line?.split('\t').at(-1);
  if (!why || why.startsWith('[remote failure]')) return null;
  const said = stderr.split('\n').flatMap((one) => /^remote: (.*\S)/.exec(one)?.[1] ?? []);
  const words = said.length > 0 ? `: ${said.slice(0, 4).join('; ')}` : '';
  return new GitProblem('git_failed', clean(`${what}: ${why}${words}`), 'put it right there');
}

/** Git has one exit code for all of it; these are its own fixed words for what no second try mends. */
const NO_WAY =
  /^fatal: (?:could not read (?:Username|Password) for |Authentication failed for |repository '[^\n]*' not found$)/m;
/** The HTTP status that a server answered with. */
const STATUS = /^fatal: unable to access '[^\n]*': The requested URL returned error: (\d{3})$/m;

function unreached(what: string, { timedOut, stderr, duration_ms }: RunResult): GitProblem {
  const status = Number(STATUS.exec(stderr)?.[1] ?? 0);
  const final = NO_WAY.test(stderr) || (status >= 400 && status < 500 && status !== 408 && status !== 429);
  const lines = stderr
    .split('\n')
    .filter((line) => line.trim() !== '' && !/^(hint|error: unable to read askpass)/.test(line));
  // What follows the fatal line is good advice.
  const end = lines.findIndex((line) => /^fatal: /.test(line));
  const said = (end < 0 ? lines.slice(-3) : lines.slice(0, end + 1).slice(-3)).map((line) => line.trim()).join('; ');
  const silent = timedOut ? `it did not end within ${Math.round(duration_ms / 1000)} s` : 'git did not say why';
  const next = 'give git a key or a credential helper that works without a person';
  return new GitProblem(final ? 'git_failed' : 'unreachable', clean(`${what}: ${said || silent}`), final ? next : '');
}

/** An address may hold a name and a password. */
const clean = (text: string): string => text.replace(/:\/\/[^/\s@]+@/g, '://');
