// At depth: 100 to 100,000 waiting files, and 1,000,000 in done/: the start, memory, idle CPU, drop to start, `status` and `list`.
import { execFileSync } from 'node:child_process';
import { existsSync, linkSync, mkdirSync, writeFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { cpuMs, percentile, rssMb, until, wallMs } from './measure.ts';
import type { Row } from './table.ts';
import { BIN, Floor, Towpath } from './workspace.ts';

const DEPTHS = [100, 1000, 10_000, 100_000] as const;
const DONE = 1_000_000;
/** A file may not have more links than 65,000 on ext4. */
const LINKS = 60_000;
const IDLE_MS = 35_000;
const DROPS = 25;
const CALLS = 5;

/** Many tasks of one agent with one slot, which is taken: they wait as those do whose turn has not come. */
const SETTINGS = `agent: clock
concurrency: {total: 2, agents: {slow: 1}}
agents: {clock: {command: [date, +%s%N]}, slow: {command: [sleep, "3600"]}}
`;
const NOW = '---\ncomplexity: minor\nexpect: any\npriority: P0\n---\n# Tell the time\n';
const later = (n: number) =>
  `---\ntitle: Task number ${n}\nagent: slow\nrepo: there\ncomplexity: minor\npriority: P${1 + (n % 3)}\n---\n# Task ${n}\n\nWait for your turn.\n`;

/** The least that a look at such a folder costs: a Node process that reads the names and looks at each file once. */
const LOOK = `const fs = require('node:fs'), dir = process.argv[1];
for (const name of fs.readdirSync(dir)) fs.lstatSync(dir + '/' + name);`;

function timed(program: string, args: string[]): number {
  const times = Array.from({ length: CALLS }, () => {
    const began = wallMs();
    execFileSync(program, args, { stdio: ['ignore', 'ignore', 'pipe'], maxBuffer: 1e9 });
    return wallMs() - began;
  });
  return percentile(times, 50);
}

function fill(place: Towpath, waiting: number, done: number): void {
  mkdirSync(place.path('there'));
  for (let n = 0; n < waiting; n++) writeFileSync(place.path('queues/incoming', `t${n}.md`), later(n));
  for (let n = 0; n < done; n++) {
    const first = place.path('queues/done', `d${n - (n % LINKS)}.md`);
    if (n % LINKS === 0) writeFileSync(first, later(n));
    else linkSync(first, place.path('queues/done', `d${n}.md`));
  }
}

/** Drops a task before the daemon starts; ms from the start of the process to that of the task's program. */
async function firstTask(place: Towpath, id: string): Promise<number> {
  const drop = place.stage(id, NOW);
  await sleep(30);
  drop();
  const began = wallMs();
  await place.start();
  await until(() => /^\d+\n$/.test(place.printed(id)), `${id} has run`, 120_000, 5);
  return Number(BigInt(place.printed(id).trim()) / 1000n) / 1000 - began;
}

async function drops(place: Towpath | Floor, task: string): Promise<number[]> {
  const times: number[] = [];
  for (let n = 0; n < DROPS; n++) {
    const drop = place.stage(`now${n}`, task);
    await sleep(30);
    const at = drop();
    await until(() => /^\d+\n$/.test(place.printed(`now${n}`)), `now${n} has run`);
    times.push(Number(BigInt(place.printed(`now${n}`).trim()) / 1000n) / 1000 - at);
    await sleep(150);
  }
  return times;
}

async function at(waiting: number, done: number): Promise<Row[]> {
  const place = new Towpath(SETTINGS);
  const floor = new Floor();
  try {
    fill(place, waiting, done);
    await sleep(2500);
    const cold = await firstTask(place, 'cold');
    // The look at all of them is over, and what was read is written down.
    await until(() => existsSync(place.path('.towpath/waiting')), 'what was read is kept', 120_000, 100);
    await sleep(2000);
    await place.kill();
    const warm = await firstTask(place, 'warm');
    await sleep(2000 + waiting / 20);
    const look = timed(process.execPath, ['-e', LOOK, place.path('queues/incoming')]);
    const before = cpuMs(place.pid);
    await sleep(IDLE_MS);
    const idle = ((cpuMs(place.pid) - before) / IDLE_MS) * 100;
    const rss = rssMb(place.pid);
    for (let n = 0; n < waiting; n++) floor.file(`queues/incoming/t${n}.md`, '');
    await floor.start(1, ['date', '+%s%N']);
    const [ours, bare] = [percentile(await drops(place, NOW), 50), percentile(await drops(floor, NOW), 50)];
    const status = timed(BIN, ['status', '--workspace', place.root]);
    const list = timed(BIN, ['list', 'incoming', '--workspace', place.root]);
    const deep = `${waiting.toLocaleString('en')} waiting${done ? `, ${done.toLocaleString('en')} done` : ''}`;
    const most = waiting === DEPTHS.at(-1);
    const row = (what: string, figure: string, rest: Partial<Row> = {}): Row => ({
      ...{ what: `${deep}: ${what}`, figure, target: '', met: null },
      ...rest,
    });
    const beside = (ms: number, least: number) => ({ floor: `${least.toFixed(0)} ms`, ratio: (ms / least).toFixed(1) });
    const within = (limit: string, met: boolean) => (most ? { target: limit, met } : {});
    return [
      row('first start to first task', `${cold.toFixed(0)} ms`, beside(cold, look)),
      row('start after kill -9 to first task', `${warm.toFixed(0)} ms`, {
        ...beside(warm, look),
        ...within('< 5 s', warm < 5000),
      }),
      row('resident memory', `${rss.toFixed(0)} MB`, within('< 200 MB', rss < 200)),
      row('idle, CPU', `${idle.toFixed(2)} %`, within('< 1 %', idle < 1)),
      row('drop to running program, p50', `${ours.toFixed(1)} ms`, {
        ...{ floor: `${bare.toFixed(1)} ms`, ratio: (ours / bare).toFixed(2) },
      }),
      row('status', `${status.toFixed(0)} ms`, { ...beside(status, look), ...within('< 300 ms', status < 300) }),
      row('list incoming', `${list.toFixed(0)} ms`, beside(list, look)),
    ];
  } finally {
    await place.stop({ now: true });
    await floor.stop();
  }
}

export async function depth(): Promise<Row[]> {
  const rows: Row[] = [];
  for (const waiting of DEPTHS) rows.push(...(await at(waiting, 0)));
  rows.push(...(await at(DEPTHS.at(-1)!, DONE)));
  return rows;
}
