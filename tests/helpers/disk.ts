// Disks of a test's own: small ones in memory, and images in a file that can be cut off. Only root may mount; elsewhere those tests are skipped by name.
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdirSync, readFileSync, rmSync } from 'node:fs';
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
  #image: string;
  #cuts = 0;

  constructor(megabytes: number) {
    this.#image = join(this.#home, 'image');
    this.dir = join(this.#home, 'disk');
    mkdirSync(this.dir);
    sh('truncate', '-s', `${megabytes}M`, this.#image);
    sh('mkfs.ext4', '-q', this.#image);
    sh('mount', '-o', 'loop', this.#image, this.dir);
  }

  /** How many writes have reached the disk below the file system. */
  #writes(): string {
    const loop = sh('losetup', '-j', this.#image).toString().split(':')[0]!;
    return readFileSync(`/sys/block/${loop.replace('/dev/', '')}/stat`, 'utf8')
      .trim()
      .split(/\s+/)[4]!;
  }

  /**
   * A power cut: what the disk itself holds at this moment, with all that was only in memory gone, is mounted in its
   * place. Who writes there must stand still; `gone` ends them once the copy is made.
   */
  cutOff(gone: () => void): void {
    const copy = join(this.#home, `image-${++this.#cuts}`);
    for (let before = ''; before !== this.#writes(); ) {
      before = this.#writes();
      sh('cp', '--sparse=always', this.#image, copy);
    }
    gone();
    sh('umount', '-l', this.dir);
    rmSync(this.#image);
    this.#image = copy;
    sh('mount', '-o', 'loop', this.#image, this.dir);
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
    new ImageDisk(16).remove();
    return true;
  } catch {
    console.warn('tests that cut a disk off are skipped: no loop device, or no mkfs.ext4');
    return false;
  }
})();
