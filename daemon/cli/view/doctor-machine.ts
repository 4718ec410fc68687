// What doctor says of the machine: versions, disk, inotify, and whether the queues can be renamed between.
import { readFileSync, statfsSync, statSync } from 'node:fs';
import { DatabaseSync } from 'node:sqlite';
import { SQLITE_AT_LEAST } from '../../ledger/schema.ts';
import type { Workspace } from '../../paths.ts';
import type { Settings } from '../../settings.ts';
import { QUEUES } from '../../task/terms.ts';
import type { Finding } from './finding.ts';
import { short } from './words.ts';

const NODE_AT_LEAST = '22.22.0';
/** Below these a watcher of a few thousand files, beside an editor's, may find none left. */
const INOTIFY = { max_user_watches: 8192, max_user_instances: 128 } as const;

/** Whether a dotted version is at least another. */
export function atLeast(version: string, least: string): boolean {
  const [a, b] = [version, least].map((text) => (text.match(/\d+/g) ?? []).map(Number));
  for (let i = 0; i < 3; i++) if ((a![i] ?? 0) !== (b![i] ?? 0)) return (a![i] ?? 0) > (b![i] ?? 0);
  return true;
}

export function versionFindings(): Finding[] {
  const node = process.versions.node;
  const db = new DatabaseSync(':memory:');
  const { v: sqlite } = db.prepare('SELECT sqlite_version() AS v').get() as { v: string };
  db.close();
  const fine = atLeast(sqlite, SQLITE_AT_LEAST);
  return [
    {
      area: 'node',
      level: atLeast(node, NODE_AT_LEAST) ? 'ok' : 'error',
      what: node,
      next: atLeast(node, NODE_AT_LEAST) ? '' : `install Node ${NODE_AT_LEAST} or newer`,
    },
    {
      area: 'sqlite',
      level: fine ? 'ok' : 'warn',
      what: fine ? sqlite : `${sqlite} may lose the last lines of the ledger in a crash`,
      next: fine ? '' : `a Node with SQLite ${SQLITE_AT_LEAST} or newer`,
    },
  ];
}

export function diskFindings(workspace: Workspace, settings: Settings | null): Finding[] {
  const area = 'disk';
  const { bavail, bsize, ffree, files } = statfsSync(workspace.root);
  const free = bavail * bsize;
  const floor = settings?.limits.disk_free ?? 1e9;
  const found: Finding[] = [
    free < floor
      ? {
          area,
          level: 'error',
          what: `${bytes(free)} free, below limits.disk_free (${bytes(floor)}): nothing is claimed`,
          next: 'make room, or lower limits.disk_free',
        }
      : {
          area,
          level: free < 2 * floor ? 'warn' : 'ok',
          what: `${bytes(free)} free (floor ${bytes(floor)})`,
          next: '',
        },
  ];
  // Some filesystems have no fixed number of inodes and tell 0.
  if (files > 0 && ffree < 10_000)
    found.push({
      area,
      level: 'warn',
      what: `only ${ffree} inodes are free: worktrees need one a file`,
      next: 'remove files',
    });
  return found;
}

export function inotifyFindings(dir = '/proc/sys/fs/inotify'): Finding[] {
  if (process.platform !== 'linux') return [];
  const area = 'inotify';
  const found = Object.entries(INOTIFY).map(([name, least]): Finding => {
    const value = Number(readFileSync(`${dir}/${name}`, 'utf8'));
    return value < least
      ? {
          area,
          level: 'warn',
          what: `${name} is ${value}: changes may go unseen until the next scan`,
          next: `sysctl -w fs.inotify.${name}=${least * 4}`,
        }
      : { area, level: 'ok', what: `${name} ${short(value)}`, next: '' };
  });
  if (found.some((one) => one.level !== 'ok')) return found;
  return [{ area, level: 'ok', what: found.map((one) => one.what).join(', '), next: '' }];
}

export function filesystemFindings(workspace: Workspace): Finding[] {
  const area = 'queues';
  const devices = new Map<number, string[]>();
  const found: Finding[] = [];
  for (const queue of QUEUES) {
    const stat = statSync(workspace.queue(queue), { throwIfNoEntry: false });
    if (!stat) found.push({ area, level: 'warn', what: `queues/${queue} is missing`, next: 'towpath init' });
    else if (!stat.isDirectory())
      found.push({
        area,
        level: 'error',
        what: `queues/${queue} is no folder`,
        next: `mv it away, then: towpath init`,
      });
    else devices.set(stat.dev, [...(devices.get(stat.dev) ?? []), queue]);
  }
  if (devices.size > 1) {
    const groups = [...devices.values()].map((queues) => queues.join(' ')).join(' | ');
    found.push({
      area,
      level: 'error',
      what: `the queues lie on ${devices.size} filesystems (${groups}): a rename between them is not possible`,
      next: 'put all of queues/ on one',
    });
  }
  return found.length > 0 ? found : [{ area, level: 'ok', what: `all ${QUEUES.length} on one filesystem`, next: '' }];
}

function bytes(n: number): string {
  for (const [unit, size] of [
    ['TB', 1e12],
    ['GB', 1e9],
    ['MB', 1e6],
  ] as const)
    if (n >= size) return `${(n / size).toFixed(n < 10 * size ? 1 : 0)} ${unit}`;
  return `${Math.round(n / 1000)} kB`;
}
