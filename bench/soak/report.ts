// The soak as a part of the benchmark: its figures as rows, its course as a picture, and an error when something did not hold.
import { writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { percentile } from '../measure.ts';
import { type Plot, svg } from '../plot.ts';
import type { Row } from '../table.ts';
import { FAULTS } from './faults.ts';
import { growthOf, judge } from './judge.ts';
import { type Options, type Record, soak } from './soak.ts';

const PICTURE = fileURLToPath(new URL('../../docs/soak.svg', import.meta.url));
/** A probe that was dropped so shortly before a fault, or after it, s, is no measure of the quiet. */
const BEFORE_S = 1;
const AFTER_S = 6;

export interface Played {
  rows: Row[];
  problems: string[];
  picture: string;
  ended: number;
}

/** Plays it and puts together what is to be told. */
export function play(options: Options): Promise<Played> {
  return soak(options, async (record) => {
    const problems = await judge(record);
    return {
      rows: rows(record, problems),
      problems,
      picture: svg(plot(record, options, problems)),
      ended: record.tasks.size,
    };
  });
}

export async function report(options: Options): Promise<Row[]> {
  const { rows, problems, picture } = await play(options);
  writeFileSync(PICTURE, picture);
  for (const problem of problems) console.error(`  ${problem}`);
  if (problems.length > 0) process.exitCode = 1;
  return rows;
}

function rows(record: Record, problems: string[]): Row[] {
  const { samples, latencies, marks, seconds, tasks } = record;
  const quiet = latencies.filter(
    ({ at }) => !marks.some((mark) => at > mark.at - BEFORE_S && at < mark.at + (mark.to - mark.from) / 1000 + AFTER_S),
  );
  const ms = (of: typeof latencies) =>
    [50, 95, 100]
      .map((p) =>
        percentile(
          of.map((one) => one.ms),
          Math.min(p, 99.999),
        ).toFixed(0),
      )
      .join(' / ');
  const growth = growthOf(samples);
  const row = (what: string, figure: string, target = '', met: boolean | null = null): Row => ({
    ...{ what: `soak: ${what}`, figure, target, met },
  });
  return [
    row('tasks, faults', `${tasks.size}, ${marks.length} in ${seconds.toFixed(0)} s`),
    row('drop to running program in the quiet, p50 / p95 / most', `${ms(quiet)} ms of ${quiet.length}`),
    row('drop to running program, all, p50 / p95 / most', `${ms(latencies)} ms of ${latencies.length}`),
    row('most resident memory', `${Math.max(...samples.map(({ rss }) => rss)).toFixed(0)} MB`),
    ...(growth
      ? [
          row(`resident memory, second → last tenth of ${growth.seconds.toFixed(0)} s`, `${growth.rss.join(' → ')} MB`),
          row('descriptors, second → last tenth', growth.descriptors.join(' → ')),
        ]
      : []),
    row('lost, twice, left behind, in the wrong place', `${problems.length}`, '0', problems.length === 0),
  ];
}

function plot(record: Record, options: Options, problems: string[]): Plot {
  const { samples, latencies, marks, seconds, tasks } = record;
  const course = (of: (one: Record['samples'][number]) => number) =>
    samples.map((one) => [one.at, one.pid === 0 ? null : of(one)] as const);
  const counts = FAULTS.map((fault) => marks.filter(({ what }) => what === fault).length);
  return {
    title: `Towpath: ${tasks.size.toLocaleString('en')} tasks, ${counts.reduce((a, b) => a + b, 0)} faults`,
    subtitle: `Seed ${options.seed}, ${Math.round(seconds)} s. ${problems.length === 0 ? 'Each task once and where it belongs, nothing left behind.' : `${problems.length} things did not hold.`} Marks at the foot of each panel are faults:`,
    xTitle: 'seconds since the start',
    xMost: Math.ceil(seconds),
    marks: marks.map(({ at, what }) => ({ x: at, kind: what })),
    panels: [
      { title: 'Tasks ended', unit: 'number', as: 'line', values: samples.map(({ at, ended }) => [at, ended]) },
      { title: 'Resident memory of the daemon', unit: 'MB', as: 'line', values: course(({ rss }) => rss) },
      { title: 'Open descriptors of the daemon', unit: 'number', as: 'line', values: course((one) => one.descriptors) },
      {
        ...{ title: 'Drop of a probe → its program runs', unit: 'ms (logarithmic)', as: 'points', log: true },
        values: latencies.map(({ at, ms }) => [at, ms]),
      },
    ],
  };
}
