// What an agent left becomes a commit on the task's branch, and is measured.
import { exclusive, type Git, git, items } from './git.ts';
import { clearLocks } from './lock.ts';
import { stageAll } from './nested.ts';
import { GitProblem, nameFiles } from './problem.ts';
import { checkBranch, shaOf } from './refs.ts';
import { openRepo } from './repo.ts';
import { withIndexMended } from './torn.ts';
import { finishOperation, unmerged } from './unfinished.ts';

export interface Author {
  name: string;
  email: string;
}

export interface Committed {
  /** Whether there was anything (more) to commit. */
  committed: boolean;
  /** One sentence for each thing that was mended or could not be taken. */
  notes: string[];
}

/** The environment that makes the agent the author; the committer stays towpath. */
export function authored(author: Author): Record<string, string> {
  // Git refuses an empty name, and angle brackets or line ends would break the header.
  const clean = (text: string, otherwise: string) => text.replace(/[<>\p{Cc}]/gu, '').trim() || otherwise;
  return { GIT_AUTHOR_NAME: clean(author.name, 'agent'), GIT_AUTHOR_EMAIL: clean(author.email, 'agent@localhost') };
}

/**
 * Commits everything in a task's worktree that is not ignored to its branch. A merge, rebase … that was left with its conflicts
 * resolved is concluded; when HEAD left the branch, the work is brought back onto it. Idempotent.
 * Throws `conflict` (unresolved files, or work that cannot be brought back: the tree is left as it was), `git_failed`.
 */
export async function commitAll(
  worktree: string,
  options: { branch: string; message: string; author: Author },
): Promise<Committed> {
  const repo = await openRepo(worktree);
  return exclusive(repo.commonDir, async () => {
    await checkBranch(worktree, options.branch);
    await clearLocks(worktree, { ours: true, branch: options.branch });
    return withIndexMended(worktree, () => commit(worktree, options));
  });
}

async function commit(
  worktree: string,
  { branch, message, author }: { branch: string; message: string; author: Author },
): Promise<Committed> {
  const env = authored(author);
  const run = git(worktree);
  const notes: string[] = [];
  const ended = await finishOperation(worktree, env);
  if (ended) notes.push(`the ${ended} that the agent left half done was concluded`);
  const aside = await returnToBranch(run, branch, notes);
  for (const path of await stageAll(worktree)) notes.push(`the repository in ${path} is not part of the commit`);
  const committed = !(await run.test(['diff', '--cached', '--quiet', '--ignore-submodules=none']));
  if (committed) {
    const args = ['commit', '-q', '--no-verify', '--cleanup=whitespace', '-F', '-'];
    await run.run(args, { env, input: message.trim() || 'towpath: work of the agent' });
  }
  if (aside) await mergeAside(run, branch, aside, env);
  return { committed, notes };
}

/** Puts HEAD back onto the branch with index and files as they are; returns commits made elsewhere that are still to be merged. */
async function returnToBranch(run: Git, branch: string, notes: string[]): Promise<string | null> {
  const ref = `refs/heads/${branch}`;
  // As it nearly always is, in one process.
  if ((await run.ask(['rev-parse', `${ref}^{commit}`, '--symbolic-full-name', 'HEAD']))?.split('\n')[1] === ref)
    return null;
  const on = await run.ask(['symbolic-ref', '-q', 'HEAD']);
  const head = await shaOf(run, 'HEAD');
  const tip = await shaOf(run, ref);
  if (on === ref && tip) return null;
  notes.push(
    `the agent had left the branch ${branch} (HEAD was ${on ?? head ?? 'nowhere'}): its work was brought back`,
  );
  if (!head) {
    if (!tip) throw new GitProblem('git_failed', `the branch ${branch} is gone and HEAD in ${run.dir} has no commit`);
    await run.run(['symbolic-ref', 'HEAD', ref]);
    return null;
  }
  if (!tip || (await run.test(['merge-base', '--is-ancestor', tip, head]))) {
    // The files belong to HEAD's commit and the branch may simply move there. Ref first: killed between, this runs again.
    await run.run(['update-ref', ref, head, ...(tip ? [tip] : [])]);
    await run.run(['symbolic-ref', 'HEAD', ref]);
    return null;
  }
  const moved = await run.attempt(['checkout', '-q', '--no-guess', branch, '--']);
  if (moved.code !== 0)
    throw new GitProblem(
      'conflict',
      `HEAD in ${run.dir} left the branch ${branch}, and what is uncommitted there does not fit the branch`,
      `commit it and run "git checkout ${branch}"`,
    );
  return (await run.test(['merge-base', '--is-ancestor', head, tip])) ? null : head;
}

async function mergeAside(run: Git, branch: string, head: string, env: Record<string, string>): Promise<void> {
  const args = ['merge', '-q', '--no-edit', '--no-verify', '--no-verify-signatures', '--no-stat', '--ff'];
  const merged = await run.attempt([...args, '-m', 'Merge work done beside the branch', head], { env });
  if (merged.code === 0) return;
  const files = await unmerged(run.dir);
  await run.attempt(['merge', '--abort']);
  // Back to where the commits are: nothing else may have them.
  await run.attempt(['checkout', '-q', '--detach', head, '--']);
  const where = files.length > 0 ? ` in ${nameFiles(files)}` : '';
  throw new GitProblem(
    'conflict',
    `commits beside the branch ${branch} (${head.slice(0, 10)}) conflict with it${where}`,
    `merge them in ${run.dir}`,
    files,
  );
}

export interface Changes {
  head: string;
  tree: string;
  /** Paths that differ from the base; a renamed file is there under both names. */
  files: string[];
  changed: boolean;
}

/** Head, tree and changed files of a worktree's last commit (or of `tip`), measured from where it left `base`. Throws `git_failed`. */
export async function changes(worktree: string, base: string, tip = 'HEAD'): Promise<Changes> {
  const run = git(worktree);
  const names = [`${tip}^{commit}`, `${tip}^{tree}`, `${base}^{commit}`];
  const [head = '', tree = '', sha = ''] = (await run.run(['rev-parse', ...names])).trim().split('\n');
  // A rename must name the old path too, and .gitmodules must not hide a submodule: protected files are judged by this list.
  const args = ['diff', '--name-only', '-z', '--no-renames', '--no-ext-diff', '--ignore-submodules=none'];
  // Three dots: from where they left each other, which two without a common commit never did.
  const apart = await run.attempt([...args, `${sha}...${head}`, '--']);
  const files = items(apart.code === 0 ? apart.stdout : await run.run([...args, sha, head, '--']));
  return { head, tree, files, changed: files.length > 0 };
}

/** The text of the changes since the base up to `tip`, cut after `maxBytes`. */
export async function diff(
  worktree: string,
  base: string,
  maxBytes: number,
  tip = 'HEAD',
): Promise<{ text: string; truncated: boolean }> {
  const from = await forkPoint(worktree, base, tip);
  const args = ['diff', '--no-color', '--no-ext-diff', '--no-textconv', '--ignore-submodules=none', from, tip, '--'];
  const options = ['-c', 'diff.noprefix=false', '-c', 'diff.mnemonicPrefix=false', '-c', 'core.quotePath=false'];
  const result = await git(worktree).attempt([...options, ...args], { maxBytes });
  if (result.code !== 0 && !result.cut) await git(worktree).run(args);
  // A character that was cut in two is dropped.
  const text = result.cut
    ? result.bytes
        .subarray(0, maxBytes)
        .toString('utf8')
        .replace(/\uFFFD$/, '')
    : result.stdout;
  return { text, truncated: result.cut };
}

/** The last commit that base and head share; base itself when they share none. */
async function forkPoint(worktree: string, base: string, head: string): Promise<string> {
  const sha = (await git(worktree).run(['rev-parse', '--verify', `${base}^{commit}`])).trim();
  return (await git(worktree).ask(['merge-base', sha, head])) ?? sha;
}
