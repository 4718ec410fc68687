// towpath events: what happened, as lines.
import { EXIT } from '../errors.ts';
import type { Common } from './common.ts';
import { reading, screen, untilInterrupted } from './reading.ts';
import { showEvents } from './view/events.ts';
import { outputTo } from './view/output.ts';

export async function events(
  _: [],
  options: Common & { follow?: boolean; task?: string; limit?: number },
): Promise<number> {
  const { ledger } = reading(options);
  await showEvents(ledger, outputTo(process.stdout), screen(options), { ...options, signal: untilInterrupted() });
  return EXIT.ok;
}
