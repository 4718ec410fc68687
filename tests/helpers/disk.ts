// Disks of a test's own: small ones in memory, and images in a file that can be cut off. Only root may mount; elsewhere those tests are skipped by name.
import { execFileSync, spawnSync } from 'node:child_process';
import { copyFileSync, mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { tempDir } from './workspace.ts';

const sh = (program: string, ...args: string[]) => execFileSync(program, args, { stdio: ['ignore', 'pipe', 'pipe'] });

/** Whether a disk can be mounted here. */
export const canMount = ((): boolean => {
  const dir = tempDir('towpath-mount-');
  const mounted = spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=1m', 'tmpfs', dir]).status === 0;
  if (mounted) spawnSync('umount', [dir]);
  rmSync(dir, { recursive: true });
  if (!mounted) console.warn('tests that need a disk of their own are skipped: only root may mount');
  return mounted;
})();

/** A disk in memory, mounted at `dir`. */
export function memoryDisk(megabytes: number): { dir: string; remove: () => void } {
  const dir = tempDir('towpath-disk-');
  sh('mount', '-t', 'tmpfs', '-o', `size=${megabytes}m`, 'tmpfs', dir);
  return {
    dir,
    remove: () => {
      spawnSync('umount', ['-l', dir]);
      rmSync(dir, { recursive: true, force: true });
    },
  };
}

/** A journalled disk in a file, mounted at `dir`. */
export class ImageDisk {
  readonly dir: string;
  readonly #home = tempDir('towpath-image-');
  readonly #image: string;

  constructor(megabytes: number, copyOf?: ImageDisk) {
    this.#image = join(this.#home, 'image');
    this.dir = join(this.#home, 'disk');
    mkdirSync(this.dir);
    if (copyOf) copyFileSync(copyOf.#image, this.#image);
    else {
      sh('truncate', '-s', `${megabytes}M`, this.#image);
      sh('mkfs.ext4', '-q', this.#image);
    }
    sh('mount', '-o', 'loop', this.#image, this.dir);
  }

  /** What the disk holds at this moment, as after a power cut, mounted anew: what was not synced may be missing. */
  cutOff(): ImageDisk {
    return new ImageDisk(0, this);
  }

  remove(): void {
    spawnSync('umount', ['-l', this.dir]);
    rmSync(this.#home, { recursive: true, force: true });
  }
}

/** Whether an image in a file can be mounted here. */
export const canLoop = ((): boolean => {
  if (!canMount) return false;
  try {
    const disk = new ImageDisk(16);
    disk.remove();
    return true;
  } catch {
    console.warn('tests that cut a disk off are skipped: no loop device, or no mkfs.ext4');
    return false;
  }
})();
