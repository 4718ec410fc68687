// towpath show: one task with its attempts, checks and feedback.
import type { Common } from './common.ts';
import { print, reading, screen } from './reading.ts';
import { gatherShow, showJson } from './view/show.ts';
import { renderShow } from './view/show-text.ts';

export async function show([id]: [string], options: Common): Promise<void> {
  const found = await gatherShow(reading(options), id);
  if (options.json) print(showJson(found));
  else console.log(renderShow(found, screen(options)()));
}
