// What must hold after the soak: each task where it belongs and done once, nothing left behind, nothing that grew.
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { percentile } from '../measure.ts';
import { gitIn } from '../workspace.ts';
import type { Sample } from './sampler.ts';
import type { Record } from './soak.ts';
import { filedFor, kindOf, PARTS } from './work.ts';

const QUEUES = ['incoming', 'claimed', 'provisional', 'done', 'blocked', 'failed'];
/** A run more or less at that moment. */
const MORE_DESCRIPTORS = 4;
/** V8 lets garbage lie while nothing asks for memory: of 240 MB after 5,000 tasks 120 were garbage. */
const MORE_MB = 120;
/** With fewer looks at one daemon a tenth of them tells nothing. */
const LOOKS = 50;

export interface Growth {
  descriptors: [then: number, last: number];
  rss: [then: number, last: number];
  seconds: number;
}

/** All that does not hold. */
export async function judge(record: Record): Promise<string[]> {
  const wrong = [...record.problems, ...places(record), ...onces(record), ...left(record), ...commits(record)];
  const growth = growthOf(record.samples);
  if (growth && growth.descriptors[1] > growth.descriptors[0] + MORE_DESCRIPTORS)
    wrong.push(`descriptors grew from ${growth.descriptors.join(' to ')}`);
  if (growth && growth.rss[1] > growth.rss[0] + MORE_MB) wrong.push(`memory grew from ${growth.rss.join(' to ')} MB`);
  for (let n = 0; n < 40 && processes(record.place.root).length > 0; n++) await sleep(50);
  return [...wrong, ...processes(record.place.root).map((what) => `a process was left: ${what}`)];
}

/** The daemon that lived longest at the end: its second tenth and its last; null when it did not live for long. */
export function growthOf(samples: readonly Sample[]): Growth | null {
  const pid = samples.findLast((one) => one.pid !== 0)?.pid;
  const life = samples.filter((one) => one.pid !== 0 && one.pid === pid);
  if (life.length < LOOKS) return null;
  const tenth = Math.floor(life.length / 10);
  const median = (from: number, of: (one: Sample) => number) =>
    Math.round(percentile(life.slice(from, from + tenth).map(of), 50));
  const pair = (of: (one: Sample) => number): [number, number] => [median(tenth, of), median(life.length - tenth, of)];
  return {
    descriptors: pair((one) => one.descriptors),
    rss: pair((one) => one.rss),
    seconds: life.at(-1)!.at - life[0]!.at,
  };
}

/** Each in one queue, in the right one, as it was written. */
function places({ place, tasks }: Record): string[] {
  const found = new Map<string, string[]>();
  for (const queue of QUEUES)
    for (const name of readdirSync(place.path('queues', queue))) found.set(name, [...(found.get(name) ?? []), queue]);
  const wrong: string[] = [];
  for (const [id, text] of tasks) {
    const queues = found.get(`${id}.md`) ?? [];
    found.delete(`${id}.md`);
    const { ends } = kindOf(id);
    if (queues.length !== 1) {
      wrong.push(`${id} is in ${queues.join(' and ') || 'no queue'}`);
      continue;
    }
    const now = readFileSync(place.path('queues', queues[0]!, `${id}.md`), 'utf8');
    if (queues[0] !== (ends === 'done' ? 'done' : 'failed'))
      wrong.push(`${id} is in ${queues[0]}: ${/^ {2}reason: (.*)/m.exec(now)?.[1]}`);
    const [front = '', body = ''] = text.split('\n---\n');
    if (!now.startsWith(front) || !now.endsWith(body)) wrong.push(`the file of ${id} was changed`);
  }
  // What was filed for another is over as well: the parts of a plan are done.
  const filed = ([name, queues]: [string, string[]]) =>
    tasks.has(filedFor(name.replace(/\.md$/, '')) ?? '') &&
    queues.length === 1 &&
    (queues[0] === 'done' || (queues[0] === 'failed' && !name.startsWith('divide')));
  const over = [...found].filter((one) => !filed(one));
  return [...wrong, ...over.map(([name, queues]) => `${queues}/${name} was left`)];
}

/** Done once, as the agents themselves wrote down. A full disk may take the word of an agent that it is done, a kill does. */
function onces({ tasks, notes, killed, marks }: Record): string[] {
  const good = new Map<string, number>();
  const runs = new Set<string>();
  const wrong: string[] = [];
  const full = marks.filter(({ what }) => what === 'disk full');
  const cramped = new Set<string>();
  for (const { what, id, run, ms } of notes.all) {
    if (full.some(({ from, to }) => ms > from && ms < to)) cramped.add(id);
    if (what === 'good') good.set(id, (good.get(id) ?? 0) + 1);
    else if (runs.has(`${id} ${run}`)) wrong.push(`run ${run} of ${id} was made twice`);
    runs.add(`${id} ${run}`);
  }
  for (const id of tasks.keys()) {
    const [least, most] = kindOf(id).good;
    const times = good.get(id) ?? 0;
    const more = killed.has(id) || cramped.has(id) ? 1 : 0;
    if (times < least || times > most + more) wrong.push(`${id} was done ${times} times`);
  }
  return wrong;
}

/** A branch with one commit for each major task, and one on main for each that landed. */
function commits({ place, tasks, killed }: Record): string[] {
  const repo = place.path('project');
  const git = (...args: string[]) =>
    gitIn(repo, ...args)
      .split('\n')
      .filter(Boolean);
  const wrong: string[] = [];
  const branches = new Set(git('branch', '--format=%(refname:short)'));
  const landed = git('log', '--format=%s', 'main');
  /** The commits that made a file of this name, up to `end`. */
  const madeBy = (id: string, range: string) =>
    git('log', '--format=%H', '--diff-filter=A', range, '--', `made-${id}.txt`);
  const onBranch = (id: string, of = id) => (branches.has(`towpath/${of}`) ? madeBy(id, `main..towpath/${of}`) : []);
  for (const id of tasks.keys()) {
    const kind = id.split('-')[0];
    const made =
      kind === 'work' || kind === 'review' || kind === 'mend'
        ? [onBranch(id)]
        : kind === 'divide'
          ? PARTS.map((part, n) => onBranch(`${id}.${n + 1}-${part}`, id))
          : kind === 'merge'
            ? [madeBy(id, 'main')]
            : kind === 'land'
              ? [landed.filter((line) => line === id)]
              : [];
    for (const commits of made)
      if (commits.length !== 1 && !killed.has(id)) wrong.push(`${id} has ${commits.length} commits`);
  }
  const trees = git('worktree', 'list');
  if (trees.length !== 1) wrong.push(`worktrees were left: ${trees.slice(1).join(', ')}`);
  const fsck = git('fsck', '--no-dangling', '--no-progress');
  const status = git('status', '--porcelain');
  return [...wrong, ...[...fsck, ...status].map((line) => `git: ${line}`)];
}

/** Locks, half-written files, and what a daemon tells of itself while it runs. */
function left({ place }: Record): string[] {
  const names = (path: string) => (existsSync(place.path(path)) ? readdirSync(place.path(path)) : []);
  const state = names('.towpath').filter(
    (name) => /^(daemon\.json|control\.sock|edit\.lock|.*\.tmp|.*\.lock$)$/.test(name) && name !== 'daemon.lock',
  );
  const moves = names('.towpath/moves');
  const trees = names('.worktrees').filter((name) => name !== '.gitignore');
  const locks = readdirSync(place.path('project/.git'), { recursive: true, encoding: 'utf8' }).filter((name) =>
    // Git leaves `tmp_obj_…` behind on a full disk, and clears it up itself one day.
    /\.lock$|towpath-index-/.test(name),
  );
  return [...state, ...moves, ...trees, ...locks].map((name) => `${name} was left`);
}

/** Live processes that were started for the workspace, by their environment or arguments. */
function processes(root: string): string[] {
  return readdirSync('/proc').flatMap((name) => {
    if (!/^\d+$/.test(name) || Number(name) === process.pid) return [];
    try {
      const words = readFileSync(`/proc/${name}/cmdline`, 'utf8');
      const ours = words.includes(root) || readFileSync(`/proc/${name}/environ`, 'utf8').includes(root);
      if (!ours || /\) [ZX] /.test(readFileSync(`/proc/${name}/stat`, 'latin1'))) return [];
      return [`${name} ${words.replaceAll('\0', ' ')}`];
    } catch {
      return [];
    }
  });
}
