// Hints that a queue folder changed: the system's bare watch for each, which costs the same for a million files; chokidar tells when a folder itself goes or comes.
import { existsSync, type FSWatcher, mkdirSync, statSync, watch } from 'node:fs';
import { basename } from 'node:path';
import chokidar from 'chokidar';
import { messageOf } from '../../errors.ts';
import type { Workspace } from '../../paths.ts';
import { QUEUES, type Queue } from '../../task/terms.ts';
import type { QueueHint } from '../port.ts';

/** How often the bare watches make sure that their folder is still the one they watch, for what nobody told, ms. */
const REARM_MS = 5000;

/** Watches every queue until the returned function is called; `onLost` is told why there is no watch, and null when there is one again. A lost watch is armed again; a folder that is gone is made again. */
export async function watchQueues(
  workspace: Workspace,
  onHint: (hint: QueueHint) => void,
  onLost: (why: string | null) => void,
): Promise<() => Promise<void>> {
  const why = new Map<Queue, string>();
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
      const watcher = watch(dir, (event, name) => {
        // The folder itself went away; one that is made in its place may be given its very inode.
        if (event === 'rename' && name === queue) {
          bare.set(queue, { watcher, inode: 0 });
          arm(queue);
        } else onHint({ queue, ...(name ? { name } : {}) });
      });
      watcher.on('error', () => {
        bare.set(queue, { watcher: null, inode: 0 });
      });
      bare.set(queue, { watcher, inode: statSync(dir).ino });
      why.delete(queue);
    } catch (thrown) {
      // No watches or no folder to be had: the rescan finds what this one misses, and the next round tries again.
      bare.set(queue, { watcher: null, inode: 0 });
      if (existsSync(dir)) why.set(queue, messageOf(thrown));
    }
    onLost([...why.values()][0] ?? null);
    if (held) onHint({ queue });
  };
  const rearm = () => {
    for (const queue of QUEUES) arm(queue);
  };
  rearm();
  const timer = setInterval(rearm, REARM_MS).unref();
  const folders = chokidar.watch(workspace.queues, {
    depth: 0,
    ignoreInitial: true,
    // What lies in the queues is not its business.
    ignored: (path) => path !== workspace.queues && !QUEUES.some((queue) => path === workspace.queue(queue)),
  });
  const armNamed = (path: string) => {
    const named = QUEUES.find((queue) => queue === basename(path));
    if (named) arm(named);
    else rearm();
  };
  folders.on('addDir', armNamed).on('unlinkDir', armNamed);
  folders.on('error', rearm);
  await new Promise<void>((resolve) => {
    folders.once('ready', () => resolve());
    setTimeout(resolve, 5000).unref();
  });
  return async () => {
    clearInterval(timer);
    for (const { watcher } of bare.values()) watcher?.close();
    await folders.close();
  };
}
