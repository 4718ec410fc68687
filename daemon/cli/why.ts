// towpath why: the reason, from the files, why a task is not running.
import { existsSync, readdirSync } from 'node:fs';
import { hostname } from 'node:os';
import { Endpoints } from '../agents/endpoints.ts';
import { AgentRegistry } from '../agents/registry.ts';
import { vet } from '../attempt/plan.ts';
import { readRun } from '../attempt/record.ts';
import { formatDuration } from '../clock.ts';
import { TowpathError } from '../errors.ts';
import { pausedBy } from '../holds.ts';
import { openLedger } from '../ledger/ledger.ts';
import { Limits } from '../limits.ts';
import { readiness } from '../queue/dependencies.ts';
import { readLock } from '../queue/files/lock.ts';
import type { Lock, Task } from '../queue/port.ts';
import { QUEUES } from '../task/terms.ts';
import { waitOf } from '../waiting/assign.ts';
import { isHanded } from '../waiting/blocked.ts';
import { judgeJoin } from '../waiting/joins.ts';
import { Purse } from '../waiting/purse.ts';
import { stepOf } from '../workflow/plan.ts';
import type { Common } from './common.ts';
import { type Opened, open } from './open.ts';
import { cleanLines } from './view/style.ts';
import { shellWord } from './view/words.ts';

export async function why([id]: [string], options: Common): Promise<void> {
  const opened = open(options.workspace);
  const task = await opened.queue.get(id);
  if (!task) throw new TowpathError('task_not_found', `no task "${id}"`, 'see "towpath list"');
  const reason = await reasonOf(opened, task);
  console.log(options.json ? JSON.stringify({ id, queue: task.queue, reason }) : cleanLines(reason));
}

/** The reason why a task is not running. */
export async function reasonOf(opened: Opened, task: Task): Promise<string> {
  const { state } = task;
  if (task.refusal) return `refused: ${task.refusal}`;
  switch (task.queue) {
    case 'claimed': {
      const lock = opened.queue.lockOf(task.id);
      if (lock === null || lock === 'unreadable')
        return 'it is claimed, but its lock cannot be read: the daemon looks closer when it starts';
      const since = formatDuration(Date.now() - Date.parse(lock.claimed_at));
      if (lock.owner.host !== hostname())
        return `${heldBy(lock)}: it is left to it, "towpath cancel ${shellWord(task.id)}" takes it away`;
      return opened.daemon
        ? `it is running: ${lock.agent?.name ?? 'no agent yet'}, phase ${lock.phase}, for ${since}`
        : `it was claimed ${since} ago and no daemon runs: "towpath start" goes on with it`;
    }
    case 'done':
      return `it is done${state.branch ? `, on ${state.branch}` : state.commit ? `, as commit ${state.commit}` : ''}`;
    case 'provisional':
      return [
        state.reason ? `${state.reason}${inTime(state.not_before)}` : 'its gate is running: checks, hooks, review',
        ...(await helpers(opened, task)),
      ].join('\n');
    case 'failed':
      return `${state.outcome === 'refused' ? 'refused: ' : ''}${state.reason ?? 'moved to failed/ by hand'}`;
    case 'blocked':
      if (state.waits_for === 'dependencies') return dependencyReason(opened, task) ?? goesOn(opened, task);
      if (state.waits_for === 'answer')
        return `it asks: ${state.question ?? state.reason}\nanswer with: towpath answer ${shellWord(task.id)} -m "…"`;
      return state.reason ?? 'moved to blocked/ by hand; "towpath retry" or a move to incoming/ runs it';
    case 'incoming':
      return waitingReason(opened, task);
  }
}

/** Why those do not go on that its gate waits for. */
async function helpers(opened: Opened, { state }: Task): Promise<string[]> {
  const all = await Promise.all((state.awaits ?? []).map((id) => opened.queue.get(id)));
  const open = all.flatMap((one) => (one && one.queue !== 'done' ? [one] : []));
  return Promise.all(open.map(async (one) => `${one.id}: ${await reasonOf(opened, one)}`));
}

const inTime = (at: string | undefined): string => {
  const left = at === undefined ? 0 : Date.parse(at) - Date.now();
  return left > 0 ? `, in ${formatDuration(left)}` : '';
};

/** Whom it waits for, and where they lie now. */
function dependencyReason({ workspace }: Opened, task: Task): string | null {
  const queueOf = (id: string) => QUEUES.find((queue) => existsSync(`${workspace.queue(queue)}/${id}.md`)) ?? null;
  const ready = judgeJoin(workspace, task.id, queueOf) ?? readiness(task.spec, queueOf);
  return ready.kind === 'ready' ? null : ready.reason;
}

/** Nobody is waited for any more; a step of a workflow waits for more than its file says. */
function goesOn({ workspace, daemon }: Opened, { id, state }: Task): string {
  if (stepOf(workspace, id)) return state.reason ?? '';
  return `what it waited for is done: ${daemon ? 'it goes on now' : 'no daemon runs, "towpath start" takes it up'}`;
}

const heldBy = ({ owner }: Lock): string => `it is claimed by ${owner.host} (pid ${owner.pid})`;

/** A lock that nobody has taken away yet, although its task lies in incoming. */
function lockReason({ workspace, daemon }: Opened, id: string): string | null {
  const lock = readLock(workspace.lock(id));
  if (lock === null) return null;
  const file = `queues/claimed/${id}.lock.json`;
  if (lock !== 'unreadable')
    return `${heldBy(lock)} by ${file}${daemon ? '' : ', and no daemon runs: "towpath start" looks closer'}`;
  return `${file} cannot be read, so it counts as held: the daemon looks closer when it starts`;
}

async function waitingReason(opened: Opened, task: Task): Promise<string> {
  const { workspace, loaded, daemon } = opened;
  const { settings } = loaded;
  const agents = new AgentRegistry(settings, workspace);
  const refusal = vet(task, settings, workspace, agents);
  if (refusal) return `it will be refused: ${refusal}`;
  const dependencies = dependencyReason(opened, task);
  if (dependencies) return dependencies;
  const held = lockReason(opened, task.id);
  if (held) return held;
  await agents.findAuto();
  const jobs = readdirSync(workspace.queue('claimed')).flatMap((file) => {
    const lock = file.endsWith('.lock.json') ? readLock(`${workspace.queue('claimed')}/${file}`) : null;
    return lock && lock !== 'unreadable'
      ? [
          {
            id: lock.task,
            agent: lock.agent?.name ?? '',
            role: '',
            repo: lock.repo ?? '',
            minor: lock.worktree === lock.repo,
            endpoint: readRun(workspace.run(lock.task, lock.attempt))?.request?.endpoints?.[0]?.name ?? null,
          },
        ]
      : [];
  });
  const ledger = openLedger(workspace, { readonly: true });
  const purse = new Purse(ledger, { settings, agents });
  ledger.close();
  const wait = waitOf(task, {
    ...{ settings, workspace, agents, jobs, endpoints: new Endpoints(), limits: new Limits(workspace) },
    hold: daemon ? daemon.paused : pausedBy(workspace),
    budget: (agent, role, project) => purse.wait(agent, role, daemon?.reserved ?? [], project),
    provisional: (await opened.queue.list('provisional')).filter(({ state }) => !state.awaits && !isHanded(state))
      .length,
  });
  if (!daemon) return wait ? `${wait.reason}; and no daemon runs` : 'no daemon runs: "towpath start" takes it up';
  return (
    wait?.reason ??
    daemon.waiting[task.id] ??
    'nothing is in its way: it is read once it has been quiet for two seconds, and then runs'
  );
}
