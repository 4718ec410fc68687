// Whether a dropped file is whole: renamed in, or quiet for a while and open for writing by nobody.
import { type BigIntStats, readdirSync, readFileSync, readlinkSync } from 'node:fs';

/** A file that is written in place must be quiet this long, ms. */
export const QUIET_MS = 2000;

/** True when the file was written elsewhere and then moved (or linked) here: a rename changes ctime and leaves mtime. */
export const wasRenamedIn = (stat: BigIntStats): boolean => stat.ctimeNs > stat.mtimeNs;

/** What tells one state of a file from another. */
export const signature = (stat: BigIntStats): string => `${stat.ino}:${stat.size}:${stat.mtimeNs}:${stat.ctimeNs}`;

/** Paths below `dir` that some process holds open for writing. Linux only, and only processes that may be looked at; elsewhere the quiet time has to do. */
export function openForWriting(dir: string): Set<string> {
  const open = new Set<string>();
  if (process.platform !== 'linux') return open;
  for (const pid of readdirSync('/proc')) {
    if (!/^\d+$/.test(pid)) continue;
    try {
      for (const fd of readdirSync(`/proc/${pid}/fd`)) {
        const path = readlinkSync(`/proc/${pid}/fd/${fd}`);
        if (!path.startsWith(dir)) continue;
        const flags = /^flags:\s*([0-7]+)/m.exec(readFileSync(`/proc/${pid}/fdinfo/${fd}`, 'utf8'))?.[1] ?? '0';
        if (Number.parseInt(flags, 8) & 3) open.add(path);
      }
    } catch {
      // The process is gone or not ours to look at.
    }
  }
  return open;
}
