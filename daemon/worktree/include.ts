// .worktreeinclude: ignored files of the main tree (.env and the like) that a fresh worktree needs too.
import { constants, copyFileSync, lstatSync, mkdirSync, realpathSync } from 'node:fs';
import { dirname, join, sep } from 'node:path';
import { errno } from '../errors.ts';
import { git, items } from './git.ts';

/**
 * Copies into a fresh worktree the untracked and gitignored files of the main tree that `.worktreeinclude` (gitignore syntax,
 * at its root) matches. Regular files only: links are neither copied nor followed, nothing outside of either tree is read or
 * written, nothing is overwritten. Returns a warning for each file that could not be copied.
 */
export async function copyIncluded(root: string, worktree: string): Promise<string[]> {
  const list = join(root, '.worktreeinclude');
  if (!lstatSync(list, { throwIfNoEntry: false })?.isFile()) return [];
  const run = git(root);
  const matched = items(await run.run(['ls-files', '-z', '-o', '-i', `--exclude-from=${list}`]));
  const inside = worktree.startsWith(root + sep) ? `${dirname(worktree).slice(root.length + 1)}/` : null;
  // A repository in the tree is listed as a folder; the other worktrees' files are not the main tree's.
  const wanted = matched.filter((path) => !path.endsWith('/') && !(inside && path.startsWith(inside)));
  if (wanted.length === 0) return [];
  const input = wanted.map((path) => `${path}\0`).join('');
  const ignored = items((await run.ask(['check-ignore', '-z', '--stdin'], { input })) ?? '');
  const top = realpathSync(worktree);
  return ignored.flatMap((path) => {
    try {
      copyInto(root, top, path);
      return [];
    } catch (error) {
      return errno(error) === 'EEXIST' ? [] : [`.worktreeinclude: ${path} was not copied: ${(error as Error).message}`];
    }
  });
}

function copyInto(root: string, top: string, path: string): void {
  const from = join(root, path);
  if (!lstatSync(from).isFile() || realpathSync(dirname(from)) !== join(root, dirname(path))) return;
  let folder = top;
  for (const part of dirname(path) === '.' ? [] : dirname(path).split('/')) {
    folder = join(folder, part);
    const found = lstatSync(folder, { throwIfNoEntry: false });
    // A tracked link in the fresh tree could lead anywhere.
    if (found && !found.isDirectory()) return;
    if (!found) mkdirSync(folder);
  }
  copyFileSync(from, join(top, path), constants.COPYFILE_EXCL | constants.COPYFILE_FICLONE);
}
