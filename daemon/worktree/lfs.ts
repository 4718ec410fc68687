// Files that git-lfs keeps elsewhere: they go to the remote before the branch that names them, as git-lfs's own pre-push hook sees to.
import type { RunResult } from '../process/run.ts';
import { git } from './git.ts';
import { type TalkOptions, talk } from './remote.ts';

/** Null when that is done, or nothing is to be done; else how it ended. Hooks are not run, so nobody else does it. */
export async function pushLarge(
  dir: string,
  { remote, commit, ref, there }: { remote: string; commit: string; ref: string; there: string | null },
  options: TalkOptions,
): Promise<RunResult | null> {
  const run = git(dir);
  if (!(await run.test(['config', '--get', 'filter.lfs.clean']))) return null;
  const named = ['grep', '-q', '-e', 'filter=lfs', commit, '--', ':(top,glob)**/.gitattributes'];
  if (!(await run.test(named))) return null;
  const input = `${commit} ${commit} ${ref} ${there ?? '0'.repeat(commit.length)}\n`;
  const done = await talk(dir, ['lfs', 'pre-push', remote], { ...options, input });
  return done.code === 0 && !done.timedOut ? null : done;
}
