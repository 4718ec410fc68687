// What git is told of a remote on its command line: a name, so that no password of its address stands there, nor in that of what git starts.
import type { Git } from './git.ts';
import { GitProblem } from './problem.ts';

export interface Told {
  name: string;
  /** Goes with each command: settings of git that are seen by nobody else. */
  env: Record<string, string>;
}

/** The name of the remote that is made up for one command. */
const MADE_UP = 'towpath-push';

/** The remote where it is pushed to: what it is fetched from may be another one. */
export async function pushedTo(run: Git, remote: string): Promise<Told> {
  const [from, to] = await Promise.all([
    run.ask(['remote', 'get-url', '--', remote]),
    run.ask(['remote', 'get-url', '--push', '--', remote]),
  ]);
  if (from === null && !/[:/]/.test(remote))
    throw new GitProblem(
      'git_failed',
      `there is no remote "${remote}" in ${run.dir}`,
      `add it (git remote add ${remote} ADDRESS), or set pr.remote`,
    );
  const address = to ?? remote;
  // As after a push by its own name: what git knows of the remote follows.
  const tracks: [string, string][] =
    from === null ? [] : [[`remote.${MADE_UP}.fetch`, `+refs/heads/*:refs/remotes/${remote}/*`]];
  const [, scheme, user, password, place] = /^(https?:\/\/)([^/?#@:]*):([^/?#@]*)@(.+)$/.exec(address) ?? [];
  if (password === undefined)
    return from === to && to !== null
      ? { name: remote, env: {} }
      : madeUp([[`remote.${MADE_UP}.url`, address], ...tracks]);
  const clean = `${scheme}${place}`;
  const basic = Buffer.from(`${decoded(user!)}:${decoded(password)}`).toString('base64');
  return madeUp([
    [`remote.${MADE_UP}.url`, clean],
    ...tracks,
    [`http.${clean}.extraHeader`, `Authorization: Basic ${basic}`],
    // What has put the password into the address (insteadOf) does not do so again: of several the longest counts.
    [`url.${clean}.insteadOf`, clean],
    [`url.${clean}.pushInsteadOf`, clean],
  ]);
}

function madeUp(settings: [string, string][]): Told {
  const env: Record<string, string> = { GIT_CONFIG_COUNT: `${settings.length}` };
  for (const [at, [key, value]] of settings.entries())
    Object.assign(env, { [`GIT_CONFIG_KEY_${at}`]: key, [`GIT_CONFIG_VALUE_${at}`]: value });
  return { name: MADE_UP, env };
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
