// Lock files that a killed git left behind: removed only when no git that could own them runs any more.
import { existsSync, lstatSync, readdirSync, readFileSync, readlinkSync, realpathSync, unlinkSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { GitProblem } from './problem.ts';
import { gitDirOf } from './repo.ts';

/** How long a lock may be held by a short command of somebody's editor before it is looked into. */
const PATIENCE_MS = 1500;

/**
 * Frees a tree's own locks (index, HEAD, and, when a branch is named, those of its refs, of the packed refs and of the settings). A lock younger than a moment is waited for;
 * one that a live git may hold throws `busy`. `ours`: the tree is Towpath's, so where processes cannot be looked at
 * (no /proc) the lock is taken as left over; in the user's own tree it is not touched then.
 */
export async function clearLocks(tree: string, options: { ours: boolean; branch?: string }): Promise<void> {
  const gitDir = await gitDirOf(tree);
  const locks = ['index.lock', 'HEAD.lock'].map((name) => join(gitDir, name));
  if (options.branch) {
    // git's own note of where a linked worktree's shared folder is.
    const note = join(gitDir, 'commondir');
    const common = existsSync(note) ? resolve(gitDir, readFileSync(note, 'utf8').replace(/\n$/, '')) : gitDir;
    const refs = [`refs/heads/${options.branch}`, `refs/towpath/start/${options.branch}`];
    locks.push(...[...refs, 'packed-refs', 'config'].map((name) => join(common, `${name}.lock`)));
  }
  for (const lock of locks) await clear(lock, tree, options.ours);
}

async function clear(lock: string, tree: string, ours: boolean): Promise<void> {
  const first = stamp(lock);
  if (first === null) return;
  for (const end = performance.now() + PATIENCE_MS; performance.now() < end; ) {
    await sleep(100);
    if (stamp(lock) !== first) return;
  }
  const holder = liveGit(tree);
  if (holder === null || (holder === undefined && ours)) return unlinkSync(lock);
  const who = holder === undefined ? 'a git that may still run' : `process ${holder}`;
  throw new GitProblem('busy', `${lock} is held by ${who}`, 'wait for it, or remove the file when no git runs');
}

function stamp(file: string): string | null {
  try {
    const { ino, mtimeMs } = lstatSync(file);
    return `${ino} ${mtimeMs}`;
  } catch {
    return null;
  }
}

/** The pid of a git that works in this tree; null when there is none, undefined when it cannot be known. */
function liveGit(tree: string): number | null | undefined {
  if (process.platform !== 'linux') return undefined;
  const top = realpathSync(tree);
  for (const pid of readdirSync('/proc').filter((name) => /^\d+$/.test(name))) {
    try {
      if (!/^git(-|$)/.test(readFileSync(`/proc/${pid}/comm`, 'utf8').trim())) continue;
      if (readFileSync(`/proc/${pid}/stat`, 'utf8').includes(') Z ')) continue;
      const cwd = readlinkSync(`/proc/${pid}/cwd`);
      if (cwd === top || cwd.startsWith(`${top}/`)) return Number(pid);
    } catch (error) {
      // Another user's git: where it works is not ours to see.
      if ((error as NodeJS.ErrnoException).code === 'EACCES') return Number(pid);
    }
  }
  return null;
}
