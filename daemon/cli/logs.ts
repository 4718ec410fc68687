// towpath logs: what the agent of a task said and did.
import { TowpathError } from '../errors.ts';
import type { Common } from './common.ts';
import { readerFor } from './readers.ts';
import { reading, screen, untilInterrupted } from './reading.ts';
import { showLogs } from './view/logs.ts';
import { outputTo } from './view/output.ts';

type LogOptions = Common & { follow?: boolean; raw?: boolean; attempt?: number };

export async function logs([id]: [string], options: LogOptions): Promise<void> {
  const { workspace, ...opened } = reading(options);
  if (!(await opened.queue.get(id))) throw new TowpathError('task_not_found', `no task "${id}"`, 'see "towpath list"');
  const readers = readerFor({ ...opened, workspace });
  await showLogs(
    { ...opened, ...options, readerFor: readers, workspace, id, signal: untilInterrupted() },
    outputTo(process.stdout),
    screen(options),
  );
}
