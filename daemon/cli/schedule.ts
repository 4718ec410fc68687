// towpath schedule: which schedules there are, when each comes next, and what came of it last.
import { scheduleRows } from '../schedule/rows.ts';
import type { Common } from './common.ts';
import { open } from './open.ts';
import { scheduleTable } from './view/schedules.ts';
import { screenOf } from './view/style.ts';

export async function schedule(_: ['list'], options: Common): Promise<void> {
  const rows = await scheduleRows(open(options.workspace).workspace);
  if (options.json) console.log(JSON.stringify(rows));
  else if (rows.length === 0) console.error('no schedules: write one into schedules/');
  else console.log(scheduleTable(rows, screenOf(process.stdout, { json: false })).join('\n'));
}
