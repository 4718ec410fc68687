// Kill to running again: SIGKILL of a daemon with tasks waiting and running, a new start, the first waiting task's program; beside a bare Node.
import { execFileSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { percentile, until, wallMs } from './measure.ts';
import type { Row } from './table.ts';
import { Towpath, tempDir, textOf } from './workspace.ts';

const WAITING = [10, 100, 1000] as const;
const RUNNING = 2;
const ROUNDS = 20;
/** Prints when it runs, and takes long enough for the next one to wait at the kill. */
const CLOCK = (side: string) => `#!/bin/sh\ndate +%s%N >>${side}/clock\nsleep 0.05\n`;
const SETTINGS = `concurrency: {total: ${RUNNING + 1}, agents: {long: ${RUNNING}, clock: 1}}
agents: {long: {command: [sleep, "3600"]}, clock: {command: [./clock.sh]}}
`;
const task = (agent: string, repo: string) =>
  `---\nagent: ${agent}\nrepo: ${repo}\ncomplexity: minor\nexpect: any\n---\n# Wait for your turn\n`;

/** The least that must be done: Node starts, and starts one program. */
const BARE = `require('node:child_process').spawn('date', ['+%s%N'], { stdio: 'inherit' })`;

function bare(): number {
  const began = wallMs();
  const printed = execFileSync(process.execPath, ['-e', BARE], { encoding: 'utf8' });
  return Number(BigInt(printed.trim()) / 1000n) / 1000 - began;
}

export async function restart(): Promise<Row[]> {
  const rows: Row[] = [];
  for (const waiting of WAITING) {
    const side = tempDir();
    const place = new Towpath(SETTINGS);
    try {
      place.file('clock.sh', CLOCK(side), 0o755);
      for (let n = 0; n < RUNNING; n++) {
        mkdirSync(place.path(`long-${n}`));
        place.file(`queues/incoming/long-${n}.md`, task('long', `long-${n}`));
      }
      mkdirSync(place.path('here'));
      // One round takes a few of them.
      for (let n = 0; n < waiting + ROUNDS * 3; n++) place.file(`queues/incoming/t${n}.md`, task('clock', 'here'));
      await sleep(2500);
      await place.start();
      await until(() => place.count('claimed') === RUNNING + 1, 'all slots are taken', 60_000, 5);
      const ours: number[] = [];
      const least: number[] = [];
      for (let round = 0; round < ROUNDS; round++) {
        await place.kill();
        // Who was just being started when the daemon died may still tell its time.
        await sleep(200);
        const before = textOf(`${side}/clock`).length;
        const began = wallMs();
        await Promise.all([
          place.start(),
          until(() => textOf(`${side}/clock`).length > before, 'a task runs', 60_000, 1),
        ]);
        const [first = '0'] = textOf(`${side}/clock`).slice(before).split('\n');
        ours.push(Number(BigInt(first) / 1000n) / 1000 - began);
        least.push(bare());
      }
      for (const p of [50, 95]) {
        const [a, b] = [percentile(ours, p), percentile(least, p)];
        rows.push({
          what: `start after kill -9, ${waiting} waiting, ${RUNNING} running: to a running program, p${p}`,
          figure: `${a.toFixed(0)} ms`,
          floor: `${b.toFixed(0)} ms`,
          ratio: (a / b).toFixed(2),
          target: '',
          met: null,
        });
      }
    } finally {
      await place.stop({ now: true });
    }
  }
  return rows;
}
