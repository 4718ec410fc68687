// Another boot of the machine, as one process sees it.
import { randomUUID } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { tempDir } from './workspace.ts';

/** What to put before a command line so that it finds the machine booted anew. Only where a disk can be mounted (see disk.ts). */
export function afterReboot(): string[] {
  const id = join(tempDir('towpath-boot-'), 'boot_id');
  writeFileSync(id, `${randomUUID()}\n`);
  return ['unshare', '-m', 'sh', '-c', 'mount --bind "$0" /proc/sys/kernel/random/boot_id && exec "$@"', id];
}
