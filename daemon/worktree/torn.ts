// Mends a worktree that a power cut left with empty links or an index that is cut off: the files in it stay as they are.
import { lstatSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { git } from './git.ts';
import { isThere } from './registry.ts';
import { gitDirOf, type Repo } from './repo.ts';

/**
 * Writes the links between a worktree and its repository anew. For a worktree that is known to be ours and that git no longer knows. The files are those of gitrepository-layout(5).
 */
export async function relink(repo: Repo, dir: string, branch: string): Promise<void> {
  const link = join(dir, '.git');
  const linked = lstatSync(link, { throwIfNoEntry: false });
  const admin = join(repo.commonDir, 'worktrees', basename(dir));
  // Without any trace of ours it is a folder that somebody put there.
  if (linked ? !linked.isFile() : !isThere(admin)) return;
  mkdirSync(admin, { recursive: true });
  // Another worktree of that name keeps its place.
  const holder = text(join(admin, 'gitdir'));
  if (holder !== '' && holder !== link && isThere(holder)) return;
  writeFileSync(join(admin, 'gitdir'), `${link}\n`);
  writeFileSync(join(admin, 'commondir'), '../..\n');
  if (!/^(ref: refs\/|[0-9a-f]{40})/.test(text(join(admin, 'HEAD'))))
    writeFileSync(join(admin, 'HEAD'), `ref: refs/heads/${branch}\n`);
  writeFileSync(link, `gitdir: ${admin}\n`);
}

/** Does what reads the index; when that is cut off it is made anew from HEAD, and the work done again. Files stay as they are. */
export async function withIndexMended<T>(dir: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (thrown) {
    // An index that git can read is not what is wrong.
    if ((await git(dir).attempt(['ls-files', '-z', '--', ':(top,literal).git'])).code === 0) throw thrown;
    rmSync(join(await gitDirOf(dir), 'index'), { force: true });
    await git(dir).run(['reset', '-q']);
    return work();
  }
}

/** A short file without its line end; empty when it is missing or holds only NULs, as after a power cut. */
function text(path: string): string {
  try {
    return readFileSync(path, 'utf8').replace(/\0/g, '').trim();
  } catch {
    return '';
  }
}
