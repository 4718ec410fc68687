// From the rename of a task file into incoming/ to the start of its program: an idle daemon and the floor in turns.
import { setTimeout as sleep } from 'node:timers/promises';
import { percentile, until } from './measure.ts';
import type { Row } from './table.ts';
import { Floor, Towpath } from './workspace.ts';

const ROUNDS = 60;
const WARM_UP = 5;
/** The program prints when it runs, ns since the epoch. */
const PROGRAM = ['date', '+%s%N'];
const TASK = '---\ncomplexity: minor\nexpect: any\n---\n# Tell the time\n';

/** One drop; ms until the program ran. The next one only after this task is done. */
async function once(place: Towpath | Floor, id: string): Promise<number> {
  const drop = place.stage(id, TASK);
  await sleep(15);
  const at = drop();
  const before = place.count('done');
  await until(() => place.count('done') > before, `${id} is done`);
  const started = Number(BigInt(place.printed(id).trim()) / 1000n) / 1000;
  await sleep(30);
  return started - at;
}

export async function drop(): Promise<Row[]> {
  const towpath = new Towpath(`agent: clock\nagents: {clock: {command: ${JSON.stringify(PROGRAM)}}}\n`);
  const floor = new Floor();
  try {
    await towpath.start();
    await floor.start(1, PROGRAM);
    await sleep(1500);
    const ours: number[] = [];
    const bare: number[] = [];
    for (let round = 0; round < WARM_UP + ROUNDS; round++) {
      const [a, b] = [await once(towpath, `t${round}`), await once(floor, `t${round}`)];
      if (round < WARM_UP) continue;
      ours.push(a);
      bare.push(b);
    }
    return [50, 95].map((p) => {
      const [a, b] = [percentile(ours, p), percentile(bare, p)];
      return {
        what: `drop to running program, p${p}`,
        figure: `${a.toFixed(1)} ms`,
        floor: `${b.toFixed(1)} ms`,
        ratio: (a / b).toFixed(2),
        target: p === 50 ? '2.5 × floor' : '',
        met: p === 50 ? a / b <= 2.5 : null,
      };
    });
  } finally {
    await towpath.stop();
    await floor.stop();
  }
}
