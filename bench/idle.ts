// An idle daemon: CPU and memory with an empty queue, and with many waiting files.
import { setTimeout as sleep } from 'node:timers/promises';
import { cpuMs, rssMb } from './measure.ts';
import type { Row } from './table.ts';
import { Towpath } from './workspace.ts';

const WINDOW_MS = 20_000;
const MANY = 10_000;
const SETTINGS = 'agent: noop\nagents: {noop: {command: ["true"]}}\n';

/** Percent of one core over the window. */
async function load(pid: number): Promise<number> {
  const before = cpuMs(pid);
  await sleep(WINDOW_MS);
  return ((cpuMs(pid) - before) / WINDOW_MS) * 100;
}

export async function idle(): Promise<Row[]> {
  const empty = new Towpath(SETTINGS);
  const full = new Towpath(SETTINGS);
  try {
    for (let n = 0; n < MANY; n++)
      full.file(`queues/incoming/t${n}.md`, '---\ncomplexity: minor\nnot_before: 10h\n---\n# Wait\n\nNot today.\n');
    await Promise.all([empty.start(), full.start()]);
    // Long enough for the first scan, the collector, and one slow rescan to fall into the window.
    await sleep(12_000);
    const [quiet, busy] = await Promise.all([load(empty.pid), load(full.pid)]);
    const [small, large] = [rssMb(empty.pid), rssMb(full.pid)];
    return [
      row('idle, CPU over 20 s', `${quiet.toFixed(2)} %`, '< 0.5 %', quiet < 0.5),
      row('idle, resident memory', `${small.toFixed(0)} MB`, '< 90 MB', small < 90),
      row(`${MANY} waiting, CPU over 20 s`, `${busy.toFixed(2)} %`, '', null),
      row(`${MANY} waiting, resident memory`, `${large.toFixed(0)} MB`, '', null),
    ];
  } finally {
    await empty.stop();
    await full.stop();
  }
}

const row = (what: string, figure: string, target: string, met: boolean | null): Row => ({ what, figure, target, met });
