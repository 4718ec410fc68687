// towpath watch: a live board.
import type { Common } from './common.ts';
import { readerFor } from './readers.ts';
import { reading, untilInterrupted } from './reading.ts';
import { gatherBoard, watchBoard } from './view/watch.ts';

export async function watch(_: [], options: Common): Promise<void> {
  const opened = reading(options);
  const sources = { ...opened, readerFor: readerFor(opened) };
  await watchBoard({ gather: () => gatherBoard(sources), json: options.json ?? false, signal: untilInterrupted() });
}
