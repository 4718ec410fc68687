// Hints that a queue folder changed: chokidar for incoming, the system's bare watch for the others, which may hold a million files.
import { existsSync, type FSWatcher, mkdirSync, statSync, watch } from 'node:fs';
import { basename } from 'node:path';
import chokidar from 'chokidar';
import type { Workspace } from '../../paths.ts';
import { QUEUES, type Queue } from '../../task/terms.ts';
import type { QueueHint } from '../port.ts';

/** How often the bare watches make sure that their folder is still the one they watch, ms. */
const REARM_MS = 5000;

/** Watches every queue until the returned function is called. A lost watch is armed again; a folder that is gone is made again. */
export async function watchQueues(
  workspace: Workspace,
  onHint: (hint: QueueHint) => void,
): Promise<() => Promise<void>> {
  const incoming = workspace.queue('incoming');
  const intake = chokidar.watch(incoming, {
    depth: 0,
    ignoreInitial: true,
    // A file that is dropped again under its old name must be told as such.
    atomic: false,
    ignored: (path) => path !== incoming && !path.endsWith('.md'),
  });
  for (const event of ['add', 'change', 'unlink'] as const)
    intake.on(event, (path) => onHint({ queue: 'incoming', name: basename(path) }));
  intake.on('addDir', () => onHint({ queue: 'incoming' }));
  intake.on('unlinkDir', () => onHint({ queue: 'incoming' }));
  intake.on('error', () => onHint({ queue: 'incoming' }));

  const bare = new Map<Queue, { watcher: FSWatcher | null; inode: number }>();
  const arm = (queue: Queue) => {
    const dir = workspace.queue(queue);
    const inode = statSync(dir, { throwIfNoEntry: false })?.ino ?? 0;
    const held = bare.get(queue);
    if (held?.watcher && held.inode === inode && inode) return;
    held?.watcher?.close();
    try {
      // Only one that is gone by itself: with all of them gone the disk is, and nothing may be made in its place.
      if (!inode && QUEUES.some((other) => existsSync(workspace.queue(other)))) mkdirSync(dir);
      if (queue === 'incoming') return void bare.set(queue, { watcher: null, inode });
      const watcher = watch(dir, (_event, name) => onHint({ queue, ...(name ? { name } : {}) }));
      watcher.on('error', () => {
        bare.set(queue, { watcher: null, inode: 0 });
      });
      bare.set(queue, { watcher, inode: statSync(dir).ino });
    } catch {
      // No watches or no folder to be had: the rescan finds what this one misses, and the next round tries again.
      bare.set(queue, { watcher: null, inode: 0 });
    }
    if (held) onHint({ queue });
  };
  const rearm = () => {
    for (const queue of QUEUES) arm(queue);
  };
  rearm();
  const timer = setInterval(rearm, REARM_MS).unref();
  await new Promise<void>((resolve) => {
    intake.once('ready', () => resolve());
    setTimeout(resolve, 5000).unref();
  });
  return async () => {
    clearInterval(timer);
    for (const { watcher } of bare.values()) watcher?.close();
    await intake.close();
  };
}
