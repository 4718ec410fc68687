// Writes the difference of two trees into a work tree, or nothing at all when something else is in the way.
import { lstatSync, readdirSync, rmdirSync, unlinkSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { git, items } from './git.ts';
import { type Entry, entries, withIndex } from './objects.ts';
import { GitProblem, nameFiles } from './problem.ts';

/**
 * Brings the paths that differ between two trees from the state of `from` to that of `to`; all other files stay, and so does
 * the index. Each path may already be in its new state: a call that was cut off is finished by the next one. Submodules are
 * not touched. Throws `conflict` with the files that are in neither state, before anything was written.
 */
export async function putTree(root: string, from: string, to: string): Promise<void> {
  const run = git(root);
  const all = (await entries(run, from, to)).filter(
    ({ from: a, to: b }) => a?.mode !== '160000' && b?.mode !== '160000',
  );
  if (all.length === 0) return;
  const old = await matching(root, all, 'from');
  const done = await matching(root, all, 'to');
  const gone = new Set(all.filter((entry) => !entry.to && reaches(root, entry.path)).map(({ path }) => path));
  const blocked = all.filter((entry) => !done.has(entry.path) && (!old.has(entry.path) || inWay(root, entry, gone)));
  if (blocked.length > 0) {
    const files = blocked.map(({ path }) => path);
    const what = `files in ${root} were changed and are in the way (${nameFiles(files)})`;
    throw new GitProblem('conflict', what, 'commit them or put them aside', files);
  }
  for (const { path, to: wanted } of all) if (!wanted && !done.has(path)) remove(root, path);
  const write = all.filter((entry) => entry.to && !done.has(entry.path));
  if (write.length === 0) return;
  await withIndex(root, 'empty', async (env) => {
    await run.run(['update-index', '-z', '--index-info'], { env, input: info(write, 'to') });
    // A filter of the user's that fails takes the old file away first: it is tried beside the tree, in the index's own folder.
    if (await run.test(['config', '--get-regexp', '^filter\\..*\\.(smudge|process)$']))
      await run.run(['checkout-index', '-a', '-q', `--prefix=${dirname(env['GIT_INDEX_FILE']!)}/files/`], { env });
    await run.run(['checkout-index', '-f', '-a', '-q'], { env });
  });
}

/** Makes the index agree with `to` on the paths that differ; what else is staged stays. */
export async function putIndex(root: string, from: string, to: string): Promise<void> {
  const run = git(root);
  const all = await entries(run, from, to);
  if (all.length > 0) await run.run(['update-index', '-z', '--index-info'], { input: info(all, 'to') });
  await run.attempt(['update-index', '-q', '--refresh']);
}

const NOTHING = '0'.repeat(40);

function info(all: Entry[], side: 'from' | 'to'): string {
  // Removals first: a folder that was a file is else refused.
  const sorted = [...all].sort((a, b) => Number(a[side] !== null) - Number(b[side] !== null));
  return sorted.map((one) => `${one[side]?.mode ?? '0'} ${one[side]?.sha ?? NOTHING}\t${one.path}\0`).join('');
}

/** The paths whose file is now what one side says. */
async function matching(root: string, all: Entry[], side: 'from' | 'to'): Promise<Set<string>> {
  const present = all.filter((entry) => entry[side]);
  const absent = all.filter((entry) => !entry[side] && !reaches(root, entry.path));
  const differs = new Set<string>();
  if (present.length > 0)
    await withIndex(root, 'empty', async (env) => {
      await git(root).run(['update-index', '-z', '--index-info'], { env, input: info(present, side) });
      await git(root).attempt(['update-index', '-q', '--refresh'], { env });
      for (const path of items(await git(root).run(['diff-files', '-z', '--name-only'], { env }))) differs.add(path);
    });
  return new Set([...absent, ...present.filter(({ path }) => !differs.has(path))].map(({ path }) => path));
}

/** Whether a file is at a path; one behind a link is not in the tree, and a folder there is no file. */
function reaches(root: string, path: string): boolean {
  const parts = path.split('/');
  for (let i = 1; i < parts.length; i++)
    if (!lstatSync(join(root, ...parts.slice(0, i)), { throwIfNoEntry: false })?.isDirectory()) return false;
  const found = lstatSync(join(root, path), { throwIfNoEntry: false });
  return found !== undefined && !found.isDirectory();
}

/** Whether writing a path would take away something that is not removed anyway: a folder there, a file where its folder must be. */
function inWay(root: string, { path, to }: Entry, gone: Set<string>): boolean {
  if (!to) return false;
  const parts = path.split('/');
  for (let i = 1; i < parts.length; i++) {
    const dir = parts.slice(0, i).join('/');
    const found = lstatSync(join(root, dir), { throwIfNoEntry: false });
    // What lies behind a link that is removed is no part of the tree.
    if (found && !found.isDirectory()) return !gone.has(dir);
  }
  if (!lstatSync(join(root, path), { throwIfNoEntry: false })?.isDirectory()) return false;
  const below = readdirSync(join(root, path), { recursive: true, withFileTypes: true });
  return below.some((one) => !one.isDirectory() && !gone.has(join(one.parentPath, one.name).slice(root.length + 1)));
}

function remove(root: string, path: string): void {
  if (!reaches(root, path)) return;
  unlinkSync(join(root, path));
  for (let dir = dirname(path); dir !== '.'; dir = dirname(dir)) {
    try {
      rmdirSync(join(root, dir));
    } catch {
      return;
    }
  }
}
