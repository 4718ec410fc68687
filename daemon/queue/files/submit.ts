// A new task put into incoming, whole and synced, under a name that nobody has.
import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { TowpathError } from '../../errors.ts';
import type { Workspace } from '../../paths.ts';
import { parseTask } from '../../task/file.ts';
import { idProblem } from '../../task/schema.ts';
import { QUEUES } from '../../task/terms.ts';
import type { Submission, Task } from '../port.ts';
import { type Durable, freeName } from './durable.ts';
import { stemOf } from './read.ts';

/** Returns its id. Throws `task_refused` for what would be refused when it is read. */
export async function submitFile(
  workspace: Workspace,
  disk: Durable,
  queue: { isNamed: (id: string) => boolean; get: (id: string) => Promise<Task | null> },
  { content, name }: Submission,
): Promise<string> {
  const bytes = typeof content === 'string' ? Buffer.from(content) : content;
  const parsed = parseTask(bytes);
  if (parsed.refusal) throw new TowpathError('task_refused', `${name}: ${parsed.refusal}`);
  const stem = stemOf(name);
  const problem = parsed.spec.id ? null : idProblem(stem);
  if (problem)
    throw new TowpathError('task_refused', `${name}: id: ${JSON.stringify(stem)} is not allowed: ${problem}`);
  const holder = parsed.spec.id ? await queue.get(parsed.spec.id) : null;
  if (holder)
    throw new TowpathError('task_refused', `${name}: id: "${holder.id}" is taken by a task in ${holder.queue}/`);
  for (;;) {
    const free = freeName(
      name,
      (candidate) =>
        QUEUES.some((queue) => existsSync(join(workspace.queue(queue), candidate))) ||
        (!parsed.spec.id && queue.isNamed(stemOf(candidate))),
    );
    const path = join(workspace.queue('incoming'), free);
    if (!existsSync(dirname(path)))
      throw new TowpathError('filesystem', `${dirname(path)} is gone`, 'put it back, or run "towpath init"');
    if (!disk.create(path, bytes)) continue;
    disk.sync(dirname(path));
    return parsed.spec.id ?? stemOf(free);
  }
}
