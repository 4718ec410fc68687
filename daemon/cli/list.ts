// towpath list: tasks, of all queues, of one, or of one project.
import type { Queue, TaskJson } from '../task/terms.ts';
import type { Common } from './common.ts';
import { askDaemon } from './open.ts';
import { print, reading, screen } from './reading.ts';
import { cutShort, emptyList, gatherList, renderList } from './view/list.ts';

/** A table of more rows than this is no table; JSON has all unless a limit is given. */
const LIST_MAX = 200;

export async function list(
  [only]: [Queue | undefined],
  options: Common & { limit?: number; project?: string },
): Promise<void> {
  const opened = reading(options);
  const { project } = options;
  // Of one project so many are shown, and not so many looked at.
  const limit = project !== undefined ? undefined : (options.limit ?? (options.json ? undefined : LIST_MAX));
  const waiting = (most: number) =>
    opened.daemon ? (askDaemon(opened, { op: 'waiting', limit: most }) as Promise<string[]>) : Promise.resolve(null);
  const all = await gatherList({ ...opened, waiting }, only, limit);
  const tasks = project === undefined ? all : ofProject(all, project, options.limit);
  if (options.json) return print(tasks);
  if (tasks.length === 0) console.error(emptyList(only));
  else console.log(renderList(tasks, screen(options)()));
  const cut = limit === undefined ? [] : cutShort(opened.workspace, limit, only);
  if (cut.length > 0)
    console.error(`only ${limit} of ${cut.map((name) => `${name}/`).join(', ')} are shown: --limit N`);
}

function ofProject(tasks: TaskJson[], project: string, limit = Number.POSITIVE_INFINITY): TaskJson[] {
  const left = new Map<Queue, number>();
  return tasks.filter(({ data, queue }) => {
    if (data['project'] !== project) return false;
    left.set(queue, (left.get(queue) ?? limit) - 1);
    return left.get(queue)! >= 0;
  });
}
