// npm run bench [-- NAME… --tasks N --seed N]: measures a real daemon against a floor of the same run and prints one table.
import { availableParallelism, loadavg } from 'node:os';
import { parseArgs } from 'node:util';
import { agents } from './agents.ts';
import { claimed } from './claimed.ts';
import { depth } from './depth.ts';
import { drop } from './drop.ts';
import { idle } from './idle.ts';
import { rate } from './rate.ts';
import { restart } from './restart.ts';
import { share } from './share.ts';
import { report } from './soak/report.ts';
import { type Row, table } from './table.ts';
import { removeAll } from './workspace.ts';
import { worktrees } from './worktrees.ts';

/** The soak: tasks between two faults. */
const FAULT_EVERY = 40;
const { positionals: names, values } = parseArgs({
  allowPositionals: true,
  options: { tasks: { type: 'string', default: '10000' }, seed: { type: 'string', default: '1' } },
});
if (!(Number(values.tasks) >= 1 && Number.isInteger(Number(values.seed)))) {
  console.error('--tasks and --seed are whole numbers');
  process.exit(2);
}
const soak = () => report({ tasks: Number(values.tasks), seed: Number(values.seed), every: FAULT_EVERY });
const PARTS: Record<string, () => Promise<Row[]>> = {
  ...{ drop, rate, idle, share, worktrees, agents, restart, claimed, depth, soak },
};

const unknown = names.filter((name) => !Object.hasOwn(PARTS, name));
if (unknown.length > 0 || process.platform !== 'linux') {
  console.error(
    unknown.length > 0
      ? `no such part: ${unknown.join(', ')}; there are ${Object.keys(PARTS).join(', ')}`
      : 'the benchmark reads /proc: it runs on Linux',
  );
  process.exit(2);
}
const rows: Row[] = [];
try {
  for (const [name, part] of Object.entries(PARTS)) {
    if (names.length > 0 && !names.includes(name)) continue;
    console.error(`${name} …`);
    rows.push(...(await part()));
  }
  const load = loadavg()[0]!.toFixed(1);
  console.log(table(rows));
  console.log(
    `\nNode ${process.versions.node}, ${availableParallelism()} cores, load ${load}; a busy machine blurs all of it.`,
  );
} finally {
  removeAll();
}
