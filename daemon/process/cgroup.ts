// A cgroup (v2) for each run, where they can be written: no fork, no new session and no clean environment leads out of it.
import { createHash } from 'node:crypto';
import { mkdirSync, readdirSync, readFileSync, rmdirSync, statSync, writeFileSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { basename, join, resolve } from 'node:path';
import { errno } from '../errors.ts';

const PREFIX = 'towpath-';
/** One that is empty and older than this belongs to no run that is about to begin, ms. */
const LEFT_OVER_MS = 60_000;

/** `dev root mount - cgroup2` of mountinfo, and `0::path` of our own: where ours lies as a folder; null when none is to be had. */
export function ownCgroup(
  mountinfo = read('/proc/self/mountinfo'),
  cgroups = read('/proc/self/cgroup'),
): string | null {
  const own = /^0::(\/.*)$/m.exec(cgroups)?.[1];
  const mounted = /^\S+ \S+ \S+ (\S+) (\S+) .* - cgroup2 /m.exec(mountinfo);
  if (!own || !mounted) return null;
  const [, root = '/', at = ''] = mounted;
  const below = root === '/' ? own : own === root || own.startsWith(`${root}/`) ? own.slice(root.length) : null;
  return below === null || below.split('/').includes('..') ? null : resolve(join(unescaped(at), below));
}

let swept = false;

/** Makes the cgroup of a run below our own. Null where we may not, or where the system has none: then parentage and environment serve. */
export function makeCgroup(marker: string): string | null {
  if (process.platform !== 'linux') return null;
  const own = ownCgroup();
  if (!own) return null;
  if (!swept) sweep(own);
  swept = true;
  const dir = join(own, `${PREFIX}${createHash('sha256').update(marker).digest('hex').slice(0, 24)}`);
  try {
    mkdirSync(dir);
    return dir;
  } catch (thrown) {
    return errno(thrown) === 'EEXIST' ? dir : null;
  }
}

/** Lets a process in that was started outside, and waits until it is; one that is gone stays out. */
export const joinCgroup = (dir: string, pid: number): Promise<void> =>
  writeFile(join(dir, 'cgroup.procs'), String(pid)).catch(() => {});

/** Who is in it, and in those that were made below it. Empty when it is gone or was never ours. */
export const membersOf = (dir: string): number[] => (isOurs(dir) ? membersBelow(dir) : []);

/** Kills all of its members at once, forks in flight too; on a kernel older than 5.14 nothing happens. */
export function killCgroup(dir: string): void {
  if (!isOurs(dir)) return;
  try {
    writeFileSync(join(dir, 'cgroup.kill'), '1');
  } catch {
    // Its members are killed one by one.
  }
}

/** Removes it once it is empty; else it stays. */
export function removeCgroup(dir: string): void {
  if (!isOurs(dir)) return;
  try {
    for (const child of below(dir)) removeBelow(child);
    rmdirSync(dir);
  } catch {
    // Not empty, or gone: the next sweep looks again.
  }
}

/** A path from a file is believed only where it can be one of ours. */
const isOurs = (dir: string): boolean => basename(dir).startsWith(PREFIX) && dir.startsWith('/');

function membersBelow(dir: string): number[] {
  const pids = read(join(dir, 'cgroup.procs')).split('\n').map(Number);
  return [...pids.filter((pid) => pid > 0), ...below(dir).flatMap(membersBelow)];
}

function removeBelow(dir: string): void {
  for (const child of below(dir)) removeBelow(child);
  rmdirSync(dir);
}

function below(dir: string): string[] {
  try {
    return readdirSync(dir, { withFileTypes: true }).flatMap((one) => (one.isDirectory() ? [join(dir, one.name)] : []));
  } catch {
    return [];
  }
}

/** Those that a daemon left behind which was killed. One with a process in it cannot be removed. */
function sweep(own: string): void {
  for (const dir of below(own)) {
    const { mtimeMs } = statSync(dir, { throwIfNoEntry: false }) ?? { mtimeMs: Date.now() };
    if (Date.now() - mtimeMs > LEFT_OVER_MS) removeCgroup(dir);
  }
}

/** A space in a mount's path is written as `\040`. */
const unescaped = (path: string): string =>
  path.replace(/\\(\d{3})/g, (_, code: string) => String.fromCharCode(Number.parseInt(code, 8)));

function read(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}
