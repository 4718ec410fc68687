// towpath stats: runs, time and money by day, agent, role and model.
import { liveInfo } from '../api/info.ts';
import { parseDuration } from '../clock.ts';
import { TowpathError } from '../errors.ts';
import type { Common } from './common.ts';
import { print, reading, screen } from './reading.ts';
import { budgetsToday } from './view/budgets.ts';
import { gatherStats, renderStats } from './view/stats.ts';

export async function stats(_: [], options: Common & { since?: string }): Promise<void> {
  const since = options.since === undefined ? undefined : sinceIso(options.since);
  const { workspace, ledger, loaded } = reading(options);
  const reserved = (await liveInfo(workspace))?.reserved ?? [];
  const found = gatherStats(ledger, budgetsToday(workspace, ledger, loaded.settings, reserved), since);
  if (options.json) print(found);
  else console.log(renderStats(found, screen(options)()));
}

/** A date, or so long ago. Throws `bad_usage`. */
function sinceIso(text: string): string {
  const ago = parseDuration(text);
  const at = ago === undefined ? Date.parse(text) : Date.now() - ago;
  if (Number.isNaN(at))
    throw new TowpathError('bad_usage', `--since "${text}" is neither a date nor a duration`, 'write 2026-01-31 or 7d');
  return new Date(at).toISOString();
}
