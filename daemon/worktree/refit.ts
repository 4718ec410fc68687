// Brings the base as it is now into a task's branch, after the train could not merge it: conflicts are left for the agent to resolve.
import { basename } from 'node:path';
import { exclusive, failure, git } from './git.ts';
import { clearLocks } from './lock.ts';
import { openRepo, operation } from './repo.ts';
import { salvage } from './salvage.ts';
import { fillSubmodules } from './submodules.ts';
import { isIn } from './train.ts';
import { unmerged } from './unfinished.ts';

/**
 * Merges `tip` into a task's worktree. Called when all work in it is committed, so what else lies there a killed merge has left:
 * it is salvaged and done anew. Returns the files with conflicts; the merge is then under way.
 */
export async function refit(dir: string, branch: string, base: string, tip: string): Promise<string[]> {
  const repo = await openRepo(dir);
  return exclusive(repo.commonDir, async () => {
    const run = git(dir);
    await clearLocks(dir, { ours: true, branch });
    const dirty = (await run.run(['status', '--porcelain=v1', '-z', '--no-renames', '--untracked-files=all'])) !== '';
    if (dirty || (await operation(dir))) {
      await salvage(dir, basename(dir), 'refit');
      await run.run(['reset', '-q', '--hard']);
      await run.run(['clean', '-q', '-fd']);
    }
    if (await isIn(run, tip, 'HEAD')) {
      await fillSubmodules(dir, repo.commonDir);
      return [];
    }
    const args = ['merge', '-q', '--no-edit', '--no-verify', '--no-verify-signatures', '--no-stat', '--ff'];
    const done = await run.attempt([...args, '-m', `Merge branch '${base}' into ${branch}`, tip]);
    const files = done.code === 0 ? [] : await unmerged(dir);
    if (done.code !== 0 && files.length === 0) throw failure(dir, args, done);
    // Left where they were they would be committed as a step back.
    await fillSubmodules(dir, repo.commonDir);
    return files;
  });
}
