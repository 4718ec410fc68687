// The tasks that came into a queue last, without reading those that lie there for long: the ledger knows them, the folder has the rest.
import type { Ledger } from '../../ledger/ledger.ts';
import type { Workspace } from '../../paths.ts';
import { someTaskNames, stemOf } from '../../queue/files/read.ts';
import type { QueuePort, Task } from '../../queue/port.ts';
import type { Queue } from '../../task/terms.ts';

export interface NewestSources {
  workspace: Workspace;
  queue: QueuePort;
  ledger: Pick<Ledger, 'latest'>;
}

/** All of a queue when they are no more than `most`; else so many, the newest as far as the ledger knows. The oldest first. */
export async function newest({ workspace, queue, ledger }: NewestSources, name: Queue, most: number): Promise<Task[]> {
  const some = someTaskNames(workspace.queue(name), most + 1);
  if (some.length <= most) return queue.list(name);
  const found = new Map<string, Task>();
  for (const id of new Set([...ledger.latest(name, most * 2), ...some.map(stemOf)])) {
    if (found.size >= most) break;
    const task = await queue.get(id);
    if (task?.queue === name) found.set(id, task);
  }
  return [...found.values()].sort((a, b) => (a.created_at < b.created_at ? -1 : 1));
}
