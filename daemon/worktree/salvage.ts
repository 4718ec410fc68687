// Nothing is lost: what a tree holds beyond its commits is kept under refs/towpath/salvage/<id>/<attempt>.
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { exclusive, type Git, git } from './git.ts';
import { clearLocks } from './lock.ts';
import { hiddenFiles, nestedRepos, stageAll, staged, strayLinks, submoduleWork } from './nested.ts';
import { commitTree, withIndex } from './objects.ts';
import { GitProblem } from './problem.ts';
import { salvageRef, shaOf } from './refs.ts';
import { discard, emptyTrash, forget, isAbsent, isWorktreeOf, registered, repair } from './registry.ts';
import { headOf, inspect, openRepo } from './repo.ts';
import { relink, withIndexMended } from './torn.ts';

/**
 * Keeps everything uncommitted and untracked (not ignored) of a work tree as a commit on refs/towpath/salvage/<id>/<attempt>,
 * on top of HEAD; tree and index stay as they are. Where nothing is uncommitted but no branch, tag or other ref has HEAD's
 * commit, the ref is HEAD's commit. Returns the ref, or null when there was nothing to keep. A second call keeps both states.
 * Repositories that cannot be taken as files are not in it. Throws `git_failed`.
 */
export async function salvage(worktree: string, id: string, attempt: number | string): Promise<string | null> {
  const run = git(worktree);
  const ref = salvageRef(id, attempt);
  const { sha: head, branch } = await headOf(worktree);
  // Nothing beyond HEAD, as after most runs: no index has to be made to know that.
  if (head && (await isClean(run))) return branch || (await isKept(run, head)) ? null : point(run, ref, head);
  const headTree = head ? await run.ask(['rev-parse', `${head}^{tree}`]) : null;
  const [tree, index] = await withIndex(worktree, 'copy', async (env) => {
    // What was staged and then changed again would be in no tree; with unmerged entries there is no such tree.
    const before = await run.ask(['write-tree'], { env });
    const hidden = hiddenFiles(worktree, await staged(worktree, env));
    for (const flag of hidden.length > 0 ? ['--no-assume-unchanged', '--no-skip-worktree'] : [])
      await run.run(['update-index', flag, '-z', '--stdin'], { env, input: hidden.join('\0') });
    await stageAll(worktree, env);
    return [(await run.run(['write-tree'], { env })).trim(), before];
  });
  const parents = head ? [head] : [];
  if (index && index !== headTree && index !== tree)
    parents.push(await commitTree(run, index, parents, `towpath: staged in ${id}, attempt ${attempt}`));
  if (parents.length <= 1 && (tree === headTree || (!head && (await isEmpty(run, tree)))))
    return head && !(await isKept(run, head)) ? point(run, ref, head) : null;
  const old = await shaOf(run, ref);
  if (old) {
    if ((await run.ask(['rev-parse', `${old}^{tree}`])) === tree) return ref;
    parents.push(old);
  }
  return point(
    run,
    ref,
    await commitTree(run, tree, parents, `towpath: uncommitted work of ${id}, attempt ${attempt}`),
  );
}

/** Whether files and index are HEAD's, and nothing untracked is there that git would take. */
async function isClean(run: Git): Promise<boolean> {
  const args = [
    'status',
    '--porcelain=v1',
    '-z',
    '--no-renames',
    '--untracked-files=normal',
    '--ignore-submodules=none',
  ];
  if ((await run.ask(args)) !== '') return false;
  const tracked = await staged(run.dir);
  return hiddenFiles(run.dir, tracked).length === 0 && (await strayLinks(run.dir, {}, tracked)).length === 0;
}

async function isEmpty(run: Git, tree: string): Promise<boolean> {
  return (await run.run(['ls-tree', tree])) === '';
}

async function isKept(run: Git, sha: string): Promise<boolean> {
  const args = ['for-each-ref', '--count=1', '--contains', sha, '--format=%(refname)'];
  const places = ['refs/heads', 'refs/remotes', 'refs/tags', 'refs/towpath/salvage'];
  return ((await run.ask([...args, ...places])) ?? '') !== '';
}

async function point(run: Git, ref: string, sha: string): Promise<string> {
  await run.run(['update-ref', ref, sha]);
  return ref;
}

/**
 * Removes a task's worktree once everything in it is on a branch or a salvage ref; the branch stays. Idempotent: a worktree that
 * is gone is only forgotten. Throws `git_failed` or `submodules` with the reason when it must stay: work in a repository inside
 * it that cannot be saved, a folder that is no worktree of this repository. Returns the salvage ref, if one was needed.
 */
export async function removeWorktree(options: {
  repo: string;
  worktree: string;
  branch: string;
  id: string;
  attempt: number | string;
}): Promise<{ salvage: string | null }> {
  const { worktree, id, attempt, branch } = options;
  const repo = await openRepo(options.repo);
  return exclusive(repo.commonDir, async () => {
    await emptyTrash(worktree);
    if (isAbsent(worktree)) {
      await forget(repo, worktree);
      return { salvage: null };
    }
    const whole = await isWorktreeOf(repo, worktree);
    if (!whole && (await registered(repo, worktree))) await repair(repo, worktree);
    if (!whole && !(await isWorktreeOf(repo, worktree))) await relink(repo, worktree, branch);
    if (!whole && !(await isWorktreeOf(repo, worktree)))
      throw stays('git_failed', `${worktree} is no worktree of ${repo.root}`, 'move its files away by hand');
    await clearLocks(worktree, { ours: true, branch });
    const inside = await submoduleWork(worktree);
    if (inside)
      throw stays('submodules', `${worktree} is kept: ${inside}`, 'push or commit it, then remove the worktree');
    const saved = await withIndexMended(worktree, async () => {
      await saveNested(worktree, id, attempt);
      return salvage(worktree, id, attempt);
    });
    await discard(repo, worktree);
    return { salvage: saved };
  });
}

const stays = (kind: 'git_failed' | 'submodules', message: string, next: string) => new GitProblem(kind, message, next);

/** The history of repositories that an agent made goes to salvage refs too; a clone is not copied and keeps the worktree. */
async function saveNested(worktree: string, id: string, attempt: number | string): Promise<void> {
  for (const [index, path] of (await nestedRepos(worktree)).entries()) {
    const dir = join(worktree, path);
    const inner = await inspect(dir);
    const shared = (await openRepo(worktree)).commonDir;
    const here = existsSync(join(dir, '.git')) && inner.kind === 'normal' && inner.commonDir !== shared;
    const reason = `${worktree} is kept: the repository in ${path} is not part of the branch`;
    if (!here || (await git(dir).ask(['remote'])) !== '') throw stays('git_failed', reason, 'move it away');
    await salvage(dir, id, attempt);
    if ((await git(dir).ask(['for-each-ref', '--count=1'])) === '') continue;
    const target = `${salvageRef(id, attempt)}-nested/${index + 1}`;
    const args = ['fetch', '-q', '--no-tags', '--no-write-fetch-head', '--no-recurse-submodules', '--', dir];
    const fetched = await git(worktree).attempt([...args, `+refs/*:${target}/*`], { timeoutMs: 120_000 });
    if (fetched.code !== 0) throw stays('git_failed', `${reason} (${fetched.stderr.trim()})`, 'move it away');
  }
}
