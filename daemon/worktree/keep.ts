// Puts a commit on the disk for good: git writes loose objects without a sync, and so does whatever an agent commits with.
import { existsSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { git } from './git.ts';
import { openRepo } from './repo.ts';

/** Files synced side by side. */
const AT_ONCE = 32;

/** Syncs the objects that `commit` has and `since` has not, the refs, and the folders they are in. Objects in packs are synced by git itself. */
export async function keepCommit(tree: string, since: string | null, commit: string, refs: string[]): Promise<void> {
  const { commonDir } = await openRepo(tree);
  const listed = await git(tree).run([
    'rev-list',
    '--objects',
    '--no-object-names',
    commit,
    ...(since ? [`^${since}`] : []),
  ]);
  const objects = listed
    .split('\n')
    .filter(Boolean)
    .map((id) => join(commonDir, 'objects', id.slice(0, 2), id.slice(2)));
  const files = [...objects, ...refs.map((ref) => join(commonDir, ref))].filter((path) => existsSync(path));
  await syncAll(files);
  await syncAll([...new Set(files.map(dirname)), join(commonDir, 'objects')]);
}

/** Syncs files and folders; one that is gone meanwhile was packed or removed by somebody. */
export async function syncAll(paths: string[]): Promise<void> {
  for (let at = 0; at < paths.length; at += AT_ONCE) await Promise.all(paths.slice(at, at + AT_ONCE).map(sync));
}

async function sync(path: string): Promise<void> {
  const handle = await open(path, 'r').catch(() => null);
  try {
    await handle?.sync();
  } finally {
    await handle?.close();
  }
}
