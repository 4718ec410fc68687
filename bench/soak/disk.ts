// Where the soak lives: a disk in memory that can be made full at once, or, where none can be mounted, an ordinary folder.
import { spawnSync } from 'node:child_process';
import { mkdirSync, statfsSync } from 'node:fs';
import { join } from 'node:path';
import { tempDir } from '../workspace.ts';

const SIZE = '16g';

export interface Disk {
  dir: string;
  /** Leaves no room, or as much as before; null where no disk of its own could be mounted. */
  full: ((yes: boolean) => void) | null;
  remove(): void;
}

export function disk(): Disk {
  const dir = join(tempDir(), 'disk');
  mkdirSync(dir);
  const mount = (...args: string[]) => spawnSync('mount', [...args, dir]).status === 0;
  if (!mount('-t', 'tmpfs', '-o', `size=${SIZE},nr_inodes=0`, 'tmpfs')) return { dir, full: null, remove: () => {} };
  return {
    dir,
    full: (yes) => {
      // Somebody may write between the look and the mount, which then fails: no disk is smaller than what lies on it.
      for (let n = 0; n < 20; n++) {
        const { blocks, bfree, bsize } = statfsSync(dir);
        if (mount('-o', `remount,size=${yes ? `${((blocks - bfree) * bsize) / 1024}k` : SIZE}`)) return;
      }
    },
    remove: () => {
      spawnSync('umount', ['-l', dir]);
    },
  };
}
