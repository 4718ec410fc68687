// Tasks a second with a worktree and a branch each, beside bare git doing the same: worktree add, commit, worktree remove.
import { execFile } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { until, wallMs } from './measure.ts';
import type { Row } from './table.ts';
import { makeRepo, Place, Towpath } from './workspace.ts';

const TASKS = 40;
const LANES = 2;
const run = promisify(execFile);

/** The least that git must do for a task: three commands, and one more to stage. */
async function bare(place: Place): Promise<number> {
  makeRepo(place.path('repo'));
  const git = (dir: string, ...args: string[]) =>
    run('git', ['-c', 'user.name=b', '-c', 'user.email=b@example.org', '-C', dir, ...args]);
  let next = 0;
  // Two that add or remove at once can fail in git itself: one at a time, as in Towpath.
  let turn: Promise<unknown> = Promise.resolve();
  const alone = (...args: string[]) => {
    const mine = turn.then(() => git(place.path('repo'), ...args));
    turn = mine.catch(() => {});
    return mine;
  };
  const lane = async () => {
    while (next < TASKS) {
      const id = `t${next++}`;
      const dir = place.path('trees', id);
      await alone('worktree', 'add', '-q', '-b', id, dir, 'main');
      writeFileSync(join(dir, 'made.txt'), id);
      await git(dir, 'add', '-A');
      await git(dir, 'commit', '-q', '-m', id);
      await alone('worktree', 'remove', '--force', dir);
    }
  };
  const began = wallMs();
  await Promise.all(Array.from({ length: LANES }, lane));
  return (TASKS / (wallMs() - began)) * 1000;
}

async function ours(towpath: Towpath): Promise<number> {
  makeRepo(towpath.path('repo'));
  towpath.file('agent.sh', '#!/bin/sh\necho made >made.txt\n', 0o755);
  await towpath.start();
  await sleep(1000);
  const drops = Array.from({ length: TASKS }, (_, n) => towpath.stage(`t${n}`, '# Make a file\n'));
  await sleep(20);
  const began = wallMs();
  for (const drop of drops) drop();
  await until(() => towpath.count('done') + towpath.count('failed') === TASKS, 'all tasks are done', 120_000, 20);
  const seconds = (wallMs() - began) / 1000;
  if (towpath.count('done') !== TASKS) throw new Error(`${towpath.count('failed')} tasks failed`);
  return TASKS / seconds;
}

export async function worktrees(): Promise<Row[]> {
  const floor = new Place();
  const towpath = new Towpath(
    `agent: maker\nrepo: repo\nconcurrency: ${LANES}\nagents: {maker: {command: [./agent.sh]}}\n`,
  );
  try {
    const least = await bare(floor);
    const rate = await ours(towpath);
    return [
      {
        what: 'tasks a second with a worktree each, two lanes',
        figure: `${rate.toFixed(1)}/s`,
        floor: `${least.toFixed(1)}/s`,
        ratio: (least / rate).toFixed(2),
        target: '',
        met: null,
      },
    ];
  } finally {
    await towpath.stop();
    await floor.stop();
  }
}
