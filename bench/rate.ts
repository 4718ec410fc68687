// Tasks a second on two lanes: many tasks of a no-op program dropped at once on an idle daemon, and on the floor.
import { mkdirSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { until, wallMs } from './measure.ts';
import type { Row } from './table.ts';
import { Floor, Towpath } from './workspace.ts';

const TASKS = 400;
const TARGET = 200;
/** Minor tasks run one at a time in a folder: two folders make two lanes. */
const LANES = ['one', 'two'];

/** Tasks a second from the first drop to the last task in done/. */
async function burst(place: Towpath | Floor, name: string): Promise<number> {
  const drops = Array.from({ length: TASKS }, (_, n) =>
    place.stage(
      `${name}${String(n).padStart(3, '0')}`,
      `---\ncomplexity: minor\nexpect: any\nrepo: ${LANES[n % LANES.length]}\n---\n# Do nothing\n`,
    ),
  );
  await sleep(50);
  const began = wallMs();
  const before = place.count('done');
  for (const drop of drops) drop();
  await until(() => place.count('done') - before >= TASKS, `${TASKS} tasks are done`, 60_000, 5);
  const seconds = (wallMs() - began) / 1000;
  await sleep(500);
  return TASKS / seconds;
}

export async function rate(): Promise<Row[]> {
  const towpath = new Towpath('agent: noop\nconcurrency: 2\nagents: {noop: {command: ["true"]}}\n');
  const floor = new Floor();
  try {
    for (const lane of LANES) mkdirSync(towpath.path(lane));
    await towpath.start();
    await floor.start(LANES.length, ['true']);
    await sleep(1000);
    const ours: number[] = [];
    const bare: number[] = [];
    for (let round = 0; round < 3; round++) {
      bare.push(await burst(floor, `r${round}-`));
      ours.push(await burst(towpath, `r${round}-`));
    }
    const [a, b] = [Math.max(...ours), Math.max(...bare)];
    return [
      {
        what: 'tasks a second, two lanes, best of 3',
        figure: `${a.toFixed(0)}/s`,
        floor: `${b.toFixed(0)}/s`,
        ratio: (b / a).toFixed(2),
        target: `${TARGET}/s`,
        met: a >= TARGET,
      },
    ];
  } finally {
    await towpath.stop();
    await floor.stop();
  }
}
