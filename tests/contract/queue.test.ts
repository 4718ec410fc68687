// Every queue engine runs the same suite.
import { mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Workspace } from '../../daemon/paths.ts';
import { FileQueue } from '../../daemon/queue/files/engine.ts';
import { QUEUES } from '../../daemon/task/terms.ts';
import { MemoryQueue } from '../fakes/memory-queue.ts';
import { tempDir } from '../helpers/workspace.ts';
import { queueContract } from './queue.contract.ts';

for (const durability of ['full', 'fast'] as const)
  queueContract(`files, durability ${durability}`, async () => {
    const workspace = new Workspace(tempDir('towpath-contract-'));
    for (const queue of QUEUES) mkdirSync(workspace.queue(queue), { recursive: true });
    const handles = [new FileQueue(workspace, { durability })];
    const look = async () => {
      for (const handle of handles) await handle.intake.scan();
    };
    return {
      queue: handles[0]!,
      look,
      async another() {
        const other = new FileQueue(workspace, { durability });
        handles.push(other);
        await other.intake.scan();
        return other;
      },
      async put(queue, id, content) {
        const path = join(workspace.queue(queue), `${id}.md`);
        if (content === null) return rmSync(path);
        const aside = join(workspace.root, 'aside.md');
        writeFileSync(aside, content);
        // Renamed in the same tick of the file's clock it could not be told from one that is being written in place.
        await sleep(12);
        renameSync(aside, path);
      },
      content: (queue, id) => readFileSync(join(workspace.queue(queue), `${id}.md`), 'utf8'),
      setLock(id, lock) {
        if (lock) writeFileSync(workspace.lock(id), '{"version":1,"ta');
        else rmSync(workspace.lock(id));
      },
      async close() {
        rmSync(workspace.root, { recursive: true });
      },
    };
  });

queueContract('memory', async () => {
  const queue = new MemoryQueue();
  return {
    queue,
    another: async () => queue,
    look: async () => {},
    put: async (at, id, content) => queue.put(at, id, content === null ? null : Buffer.from(content)),
    content: (_queue, id) => Buffer.from(queue.bytesOf(id) ?? []).toString('utf8'),
    setLock: (id, lock) => queue.setLock(id, lock),
    close: async () => {},
  };
});
