// Pushes a task's branch to a remote: never over what somebody else has put there.
import { GitProblem, git } from './git.ts';
import { openRepo } from './repo.ts';
import { isIn } from './train.ts';

const PUSH_MS = 300_000;

/**
 * Brings `branch` of the remote to a commit. What an earlier attempt pushed (`ours`) may be replaced, and only as long as it is
 * still what is there. May be done again.
 */
export async function push(
  repoDir: string,
  { remote, branch, commit, ours }: { remote: string; branch: string; commit: string; ours: readonly string[] },
): Promise<void> {
  const { root } = await openRepo(repoDir);
  const run = git(root);
  const ref = `refs/heads/${branch}`;
  const asked = await run.attempt(['ls-remote', '--', remote, ref], { timeoutMs: PUSH_MS });
  if (asked.code !== 0) throw refused(`${remote} cannot be read`, asked.stderr);
  const there = /^[0-9a-f]{40,64}/.exec(asked.stdout)?.[0] ?? null;
  if (there === commit) return;
  const forward = there === null || (await isIn(run, there, commit));
  const force = !forward && ours.includes(there) ? [`--force-with-lease=${ref}:${there}`] : [];
  const pushed = await run.attempt(['push', '-q', '--no-verify', ...force, '--', remote, `${commit}:${ref}`], {
    timeoutMs: PUSH_MS,
  });
  if (pushed.code !== 0) throw refused(`${branch} cannot be pushed to ${remote}`, pushed.stderr);
}

/** Git's last words are hints; the line that says what is wrong begins with a mark. */
function refused(what: string, stderr: string): GitProblem {
  const lines = stderr.trim().split('\n').filter(Boolean);
  const said =
    lines.find((line) => /^\s*! \[/.test(line)) ?? lines.findLast((line) => /^(fatal|error|remote): /.test(line));
  // An address may hold a name and a password.
  const clean = (said ?? lines.at(-1) ?? 'git did not say why').trim().replace(/:\/\/[^/\s@]+@/g, '://');
  return new GitProblem('git_failed', `${what}: ${clean}`);
}
