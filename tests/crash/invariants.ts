// What must hold once a daemon has drained a workspace, whatever was killed before: a list of what does not.
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseTask } from '../../daemon/task/file.ts';
import { QUEUES, type World } from './world.ts';

/** What came of a world, without times, paths and the number of runs: equal for every order of the same events. */
export interface Picture {
  tasks: Record<string, unknown>;
  main: string[];
  /** Files that git sees as changed or new in the user's checkout. */
  status: string;
  /** How often each task's agent ran. */
  runs: Record<string, number>;
}

export function picture(world: World): Picture {
  const tasks: Picture['tasks'] = {};
  for (const [id, queues] of [...world.tasks()].sort()) {
    const { state } = parseTask(readFileSync(world.path('queues', queues[0] ?? '', `${id}.md`)));
    const { outcome, attempts, waits_for, question, resolved, branch } = state;
    const own = branch?.startsWith('towpath/') && world.git('branch', '--list', branch).trim() !== '';
    tasks[id] = {
      in: queues.join(' and '),
      ...{ outcome, attempts, waits_for, question, resolved, branch },
      reason: state.reason?.replaceAll(/\d{4}-\d\d-\d\dT[\d:.]+Z/g, 'TIME'),
      feedback: state.feedback?.map(({ from, message, attempt }) => `${from} ${attempt}: ${message}`),
      files: own ? world.git('ls-tree', '-r', branch!).trim().split('\n') : null,
      commits: own ? world.git('log', '--format=%s', `main..${branch}`).trim() : null,
    };
  }
  const runs: Record<string, number> = {};
  for (const line of world.ledger) {
    const [what, id = ''] = line.split(' ');
    if (what === 'start') runs[id] = (runs[id] ?? 0) + 1;
  }
  return {
    tasks: withoutRun(tasks),
    main: world.git('log', '--format=%s %T', 'main').trim().split('\n'),
    status: world.git('status', '--porcelain', '-uall'),
    runs: withoutRun(runs),
  };
}

/** The run of a workflow has a name of its own each time. */
const withoutRun = <T>(told: T): T =>
  JSON.parse(JSON.stringify(told).replaceAll(/-[0-9a-f]{8}\.(?=\d)/g, '-RUN.')) as T;

/** The task files as the user wrote them, by id: to be called when nothing has run yet. */
export function originals(world: World): Map<string, string> {
  const found = new Map<string, string>();
  for (const [id, [queue = '']] of world.tasks()) found.set(id, withoutOurs(world.read(`queues/${queue}/${id}.md`)));
  return found;
}

/** A task file without the key that is Towpath's own, read by lines and not by Towpath's code. */
export function withoutOurs(text: string): string {
  const kept: string[] = [];
  let ours = false;
  for (const line of text.split('\n')) {
    if (/^towpath:/.test(line)) ours = true;
    else if (ours && /^(\s+\S|$)/.test(line)) continue;
    else {
      ours = false;
      kept.push(line);
    }
  }
  // Where there was no front matter, or none that can be read, ours stands alone before the text.
  return kept.join('\n').replace(/^---\n---\n/, '');
}

/** `mayDie`: agents were killed too, so a run may have begun and never ended, and begin again. */
export async function problems(
  world: World,
  expected: { originals: Map<string, string>; ignoreRuns?: boolean; mayDie?: boolean },
): Promise<string[]> {
  const wrong: string[] = [];
  const tasks = world.tasks();
  for (const [id, queues] of tasks) if (queues.length > 1) wrong.push(`${id} is in ${queues.join(' and ')}`);
  for (const [id, text] of expected.originals) {
    const [queue] = tasks.get(id) ?? [];
    if (!queue) wrong.push(`${id} is gone`);
    else if (withoutOurs(world.read(`queues/${queue}/${id}.md`)) !== text) wrong.push(`the file of ${id} was changed`);
  }
  for (const [id, [queue = '']] of tasks) {
    if (queue === 'claimed') wrong.push(`${id} is still claimed`);
    const { state } = parseTask(readFileSync(world.path('queues', queue, `${id}.md`)));
    if ((queue === 'failed' || queue === 'blocked') && !state.reason) wrong.push(`${id} in ${queue}/ has no reason`);
    if (state.queue !== undefined && state.queue !== queue)
      wrong.push(`${id} in ${queue}/ says it is in ${state.queue}/`);
    const runs = world.path('.towpath/runs', id);
    const again = existsSync(runs)
      ? readdirSync(runs).filter(
          (name) => existsSync(`${runs}/${name}/run.json`) && !existsSync(`${runs}/${name}/verdict.json`),
        )
      : [];
    if (again.length > 0) wrong.push(`${id} has runs without a verdict: ${again.join(', ')}`);
    if (queue === 'done' && existsSync(world.path(`.worktrees/task-${id}`)))
      wrong.push(`the worktree of ${id} was left`);
  }
  for (const queue of QUEUES)
    for (const name of readdirSync(world.path('queues', queue)))
      if (name.startsWith('.') || !name.endsWith('.md')) wrong.push(`${queue}/${name} was left`);
  for (const name of ['daemon.json', 'control.sock', 'edit.lock'])
    if (existsSync(world.path('.towpath', name))) wrong.push(`.towpath/${name} was left`);
  for (const name of readdirSync(world.path('.worktrees')))
    if (name.startsWith('.trash')) wrong.push(`.worktrees/${name} was left`);
  for (const name of readdirSync(world.path('.git'), { recursive: true, encoding: 'utf8' }))
    if (/\.lock$|towpath-index-|tmp_obj_/.test(name)) wrong.push(`.git/${name} was left`);
  wrong.push(...worktreesLeft(world), ...overlaps(world.ledger, expected.mayDie ?? false));
  wrong.push(...(await processesLeft(world)));
  const fsck = world.git('fsck', '--no-dangling', '--no-progress').trim();
  if (fsck !== '') wrong.push(`git fsck: ${fsck}`);
  if (world.read('user.txt') !== 'not tracked\n') wrong.push('the file of the user was changed');
  return wrong;
}

function worktreesLeft(world: World): string[] {
  const listed = world.git('worktree', 'list', '--porcelain');
  return listed.split('\n\n').flatMap((block) => {
    const path = /^worktree (.*)$/m.exec(block)?.[1];
    if (!path || path === world.root) return [];
    if (/^(locked|prunable)/m.test(block)) return [`the worktree ${path} is odd: ${block.replaceAll('\n', ', ')}`];
    return existsSync(path) ? [] : [`the worktree ${path} is registered and not there`];
  });
}

/** Runs of one task must follow each other, and the same run must not be made twice. */
export function overlaps(ledger: string[], mayDie: boolean): string[] {
  const wrong: string[] = [];
  const open = new Map<string, string>();
  const seen = new Set<string>();
  for (const line of ledger) {
    const [what, id, attempt, pid] = line.split(' ') as [string, string, string, string];
    if (what === 'end') {
      if (open.get(id) === pid) open.delete(id);
      continue;
    }
    if (open.has(id) && !mayDie) wrong.push(`two agents of ${id} at once: ${open.get(id)} and ${pid}`);
    if (seen.has(`${id}/${attempt}`) && !mayDie) wrong.push(`run ${attempt} of ${id} was made twice`);
    seen.add(`${id}/${attempt}`);
    open.set(id, pid);
  }
  if (!mayDie) for (const [id, pid] of open) wrong.push(`the agent ${pid} of ${id} never ended`);
  return wrong;
}

/** What was just told to end may take a moment to be gone. */
async function processesLeft(world: World): Promise<string[]> {
  for (let n = 0; n < 20 && world.processes().length > 0; n++) await sleep(25);
  return world.processes().map(({ pid, what }) => `process ${pid} was left: ${what}`);
}
