// Which worktrees a repository knows, which of them are still there, and how one is thrown away in a single step.
import {
  chmodSync,
  lstatSync,
  readdirSync,
  readFileSync,
  realpathSync,
  renameSync,
  rmdirSync,
  rmSync,
  statSync,
} from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';
import { errno } from '../errors.ts';
import { git } from './git.ts';
import { inspect, type Repo } from './repo.ts';

export interface Registered {
  path: string;
  /** The short name of its branch, or null. */
  branch: string | null;
  /** Why it is locked; `initializing` is git's own mark while it makes one. */
  locked: string | null;
}

/** All worktrees of a repository; the first is the main one. */
export async function worktrees(repo: Repo): Promise<Registered[]> {
  const run = git(repo.root);
  const listed = await run.attempt(['worktree', 'list', '--porcelain', '-z']);
  // Git before 2.36 has no -z: only paths with line ends are read wrongly then.
  const text =
    listed.code === 0 ? listed.stdout : (await run.run(['worktree', 'list', '--porcelain'])).replaceAll('\n', '\0');
  return text.split('\0\0').flatMap((block) => {
    const lines = block.split('\0');
    const value = (name: string) =>
      lines.find((line) => line === name || line.startsWith(`${name} `))?.slice(name.length + 1);
    const path = value('worktree');
    if (path === undefined) return [];
    return [{ path, branch: value('branch')?.replace(/^refs\/heads\//, '') ?? null, locked: value('locked') ?? null }];
  });
}

/** A path whose own folder may be missing, in the form that git lists. */
export function canonical(path: string): string {
  try {
    return join(realpathSync(dirname(path)), basename(path));
  } catch {
    return path;
  }
}

/** The entry of a worktree, also when its folder is gone; of `all`, where they were just listed. */
export async function registered(repo: Repo, dir: string, all?: Registered[]): Promise<Registered | undefined> {
  const path = canonical(dir);
  return (all ?? (await worktrees(repo)))
    .slice(repo.kind === 'bare' ? 0 : 1)
    .find((one) => canonical(one.path) === path);
}

/** Whether there is nothing at a path, or an empty folder. */
export function isAbsent(dir: string): boolean {
  try {
    return readdirSync(dir).length === 0 && lstatSync(dir).isDirectory();
  } catch (error) {
    return errno(error) === 'ENOENT' && !isThere(dir);
  }
}

/** Whether anything is at a path, a dangling link too. */
export function isThere(path: string): boolean {
  return lstatSync(path, { throwIfNoEntry: false }) !== undefined;
}

/** Whether a folder is the top of a linked (never the main) worktree of this repository. */
export async function isWorktreeOf(repo: Repo, dir: string): Promise<boolean> {
  if (!isThere(dir) || !lstatSync(dir).isDirectory()) return false;
  if (!lstatSync(join(dir, '.git'), { throwIfNoEntry: false })?.isFile() || !isLinked(dir)) return false;
  const found = await inspect(dir).catch(() => null);
  return found?.kind === 'normal' && found.root === realpathSync(dir) && found.commonDir === repo.commonDir;
}

/** Whether the links between a worktree and its place in the repository name each other: an agent or a check may have written others, or none: git would take what lies above for it. */
export function isLinked(dir: string): boolean {
  try {
    const link = join(dir, '.git');
    const admin = resolve(
      dir,
      linkIn(link)
        .replace(/^gitdir:/, '')
        .trim(),
    );
    return realpathSync(resolve(admin, linkIn(join(admin, 'gitdir')).trim())) === realpathSync(link);
  } catch {
    return false;
  }
}

/** As git writes one: a pipe in its place would be waited for, and a flood read whole. */
function linkIn(path: string): string {
  const stat = statSync(path);
  if (!stat.isFile() || stat.size > LINK_BYTES) throw new Error(`${path} is no link of git's`);
  return readFileSync(path, 'utf8');
}
const LINK_BYTES = 16 * 1024;

/** Lets git mend the links between a worktree and its repository, after one of them was moved or `.git` was deleted. */
export async function repair(repo: Repo, dir: string): Promise<void> {
  await git(repo.root).attempt(['worktree', 'repair']);
  await git(repo.root).attempt(['worktree', 'repair', dir]);
}

/** Drops the registration of a worktree whose folder is gone; no other worktree is touched, as `prune` would. */
export async function forget(repo: Repo, dir: string, all?: Registered[]): Promise<void> {
  // As it nearly always is: the folder is gone, and git knows it.
  if (!all && !isThere(dir) && (await git(repo.root).test(['worktree', 'remove', '--force', canonical(dir)]))) return;
  const entry = await registered(repo, dir, all);
  if (!entry) return;
  // Git removes a registration without a folder, but not one whose folder is empty.
  if (isThere(dir) && isAbsent(dir)) rmdirSync(dir);
  if (entry.locked === 'initializing') await git(repo.root).attempt(['worktree', 'unlock', entry.path]);
  await git(repo.root).run(['worktree', 'remove', '--force', entry.path]);
}

const trashPrefix = (dir: string): string => `.trash-${basename(dir)}-`;

/** Removes a worktree: one rename, so that a kill in the middle leaves no half of it; then the registration, then the files. */
export async function discard(repo: Repo, dir: string): Promise<void> {
  renameSync(dir, join(dirname(dir), `${trashPrefix(dir)}${process.pid}-${Date.now()}`));
  await forget(repo, dir);
  await emptyTrash(dir);
}

/** Deletes what `discard` set aside, also in an earlier run. What cannot be deleted stays for the next time. */
export async function emptyTrash(dir: string): Promise<void> {
  const parent = dirname(dir);
  const names = isThere(parent) ? readdirSync(parent) : [];
  for (const name of names.filter((one) => one.startsWith(trashPrefix(dir)) && /-\d+-\d+$/.test(one))) {
    const path = join(parent, name);
    try {
      rmSync(path, { recursive: true, force: true });
    } catch {
      try {
        openUp(path);
        rmSync(path, { recursive: true, force: true });
      } catch {}
    }
  }
}

/** Makes folders writable: module caches are read-only and could not be deleted. */
function openUp(dir: string): void {
  chmodSync(dir, 0o700);
  for (const entry of readdirSync(dir, { withFileTypes: true })) if (entry.isDirectory()) openUp(join(dir, entry.name));
}
