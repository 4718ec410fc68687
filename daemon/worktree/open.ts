// The user's own checked-out tree as it was before an agent came, and what has been done in it since.
import { relative } from 'node:path';
import { git, items } from './git.ts';
import { embeddedRepos, stageAll } from './nested.ts';
import { withIndex } from './objects.ts';
import { GitProblem, nameFiles } from './problem.ts';
import { dirtyFiles, headOf, openRepo, operation } from './repo.ts';

/** A tree that is open for a minor task; plain JSON, to be kept until it is restored or accepted. */
export interface OpenTree {
  root: string;
  /** The short name of the checked-out branch. */
  branch: string;
  head: string;
  /** What was there and not tracked, ignored files too; an entry that ends in a slash stands for a whole folder. Never touched. */
  untracked: string[];
}

/**
 * Opens the tree of a repository for work in place. Throws `not_a_repo`, `bare`, `detached`, `no_commit`, `dirty` (tracked
 * changes, or a merge, rebase … under way). `apart` are folders (absolute) that are nobody's work, though git may not ignore them.
 */
export async function openTree(dir: string, apart: readonly string[] = []): Promise<OpenTree> {
  const { kind, root } = await openRepo(dir);
  if (kind === 'bare')
    throw new GitProblem('bare', `${root} is a bare repository: it has no files to work on`, 'set complexity: major');
  const { sha: head, branch } = await headOf(root);
  if (!head) throw new GitProblem('no_commit', `the repository ${root} has no commit yet`, 'make a first commit');
  if (!branch) throw new GitProblem('detached', `no branch is checked out in ${root}`, 'check one out');
  const begun = await operation(root);
  if (begun) throw new GitProblem('dirty', `a ${begun} is under way in ${root}`, 'finish or abort it');
  const dirty = await dirtyFiles(root);
  if (dirty.length > 0)
    throw new GitProblem(
      'dirty',
      `${root} has uncommitted changes (${nameFiles(dirty)})`,
      'commit or stash them',
      dirty,
    );
  const args = [
    'status',
    '--porcelain=v1',
    '-z',
    '--untracked-files=all',
    '--ignored=matching',
    '--ignore-submodules=all',
  ];
  const untracked = items(await git(root).run(args)).filter((line) => /^(\?\?|!!) /.test(line));
  const folders = apart.map((path) => relative(root, path)).filter((path) => path !== '' && !path.startsWith('..'));
  return {
    root,
    branch,
    head,
    untracked: [...untracked.map((line) => line.slice(3)), ...folders.map((path) => `${path}/`)],
  };
}

/** Whether a path was there, untracked, when the tree was opened. */
function wasThere(open: OpenTree): (path: string) => boolean {
  const known = new Set(open.untracked.map((path) => path.replace(/\/$/, '')));
  const folders = new Set(open.untracked.filter((path) => path.endsWith('/')));
  return (path) => {
    if (known.has(path.replace(/\/$/, ''))) return true;
    for (let at = path.indexOf('/'); at !== -1; at = path.indexOf('/', at + 1))
      if (folders.has(path.slice(0, at + 1))) return true;
    return false;
  };
}

/**
 * The tree object of what is in an open tree now, without what the user had there untracked and `base` does not track.
 * Index and files stay as they are.
 */
export async function snapshot(open: OpenTree, base = open.head): Promise<string> {
  const run = git(open.root);
  const users = wasThere(open);
  return withIndex(open.root, 'copy', async (env) => {
    const takeOut = async () => {
      const listed = ['diff-index', '--cached', '-z', '--name-only', '--diff-filter=A', '--no-renames', base, '--'];
      const taken = items(await run.run(listed, { env })).filter(users);
      if (taken.length === 0) return;
      const input = taken.map((path) => `${path}\0`).join('');
      await run.run(['update-index', '-z', '--force-remove', '--stdin'], { env, input });
    };
    // An agent's "git add -A" takes the user's files too: they are not its work.
    await takeOut();
    const others = items(await run.run(['ls-files', '-o', '-z', '--exclude-standard'], { env }));
    const nested = (await embeddedRepos(open.root, env)).filter(users);
    await stageAll(open.root, env, [...new Set([...others.filter(users), ...nested])]);
    // Nor are other tasks' files, which come into our own folders while git looks.
    await takeOut();
    return (await run.run(['write-tree'], { env })).trim();
  });
}
