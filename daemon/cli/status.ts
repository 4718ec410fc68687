// towpath status: what is going on, and what needs somebody.
import type { Common } from './common.ts';
import { readerFor } from './readers.ts';
import { print, reading, screen } from './reading.ts';
import { gatherStatus } from './view/status.ts';
import { renderStatus } from './view/status-text.ts';

export async function status(_: [], options: Common): Promise<void> {
  const sources = reading(options);
  const found = await gatherStatus({ ...sources, readerFor: readerFor(sources) });
  if (options.json) print(found);
  else console.log(renderStatus(found, screen(options)()));
}
