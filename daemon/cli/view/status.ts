// towpath status: what is going on and what needs you, as one stable object and as one screen.
import type { Reader } from '../../agents/port.ts';
import { liveInfo } from '../../api/info.ts';
import { epochMs, startOfDay } from '../../clock.ts';
import type { LoadedSettings } from '../../config.ts';
import { heldHelpers, isPast } from '../../gate/helpers/past.ts';
import type { DaemonInfo } from '../../hold.ts';
import type { Ledger } from '../../ledger/ledger.ts';
import { Limits, onTrial } from '../../limits.ts';
import type { Workspace } from '../../paths.ts';
import { treeOf } from '../../process/tree.ts';
import { treeLoad } from '../../process/usage.ts';
import { readLock } from '../../queue/files/lock.ts';
import type { Phase, QueuePort, Task } from '../../queue/port.ts';
import { type ScheduleRow, scheduleRows } from '../../schedule/rows.ts';
import type { Queue } from '../../task/terms.ts';
import type { DayBudget } from '../../waiting/budget.ts';
import { budgetsToday } from './budgets.ts';
import { asks, type Need, needOf } from './needs.ts';
import { newest } from './newest.ts';
import { lastOf } from './runs.ts';

export interface Running {
  id: string;
  title: string;
  agent: string | null;
  model: string | null;
  phase: Phase | null;
  attempt: number | null;
  elapsed_ms: number;
  /** What the whole tree of its agent takes just now; null when there is none. */
  load: { cpu_percent: number; rss_bytes: number } | null;
  /** The last thing the agent did, in one line. */
  last: string | null;
}

export interface Status {
  workspace: string;
  daemon: { running: boolean; pid: number | null; since: string | null; version: string | null; paused: string | null };
  counts: Record<Queue, number>;
  running: Running[];
  needs_you: Need[];
  waiting: { id: string; reason: string }[];
  /** Closed agents and model servers; `trial`: the time is over, and one run tries it before the others. */
  limits: { agent: string; until: string | null; trial: boolean; reason: string }[];
  endpoints: DaemonInfo['endpoints'];
  schedules: ScheduleRow[];
  faults: { what: string; since: string; doing: string }[];
  spent_today_usd: number;
  /** Of the day; the settings hold at least one. */
  budgets: DayBudget[];
  done_today: number;
  failed_today: number;
}

export interface StatusSources {
  workspace: Workspace;
  queue: QueuePort;
  ledger: Ledger;
  /** Without it no budgets are told. */
  loaded?: LoadedSettings;
  /** Reads an agent's output; without it `last` stays null. */
  readerFor?: ((agent: string) => Reader | null) | undefined;
  now?: number;
  /** What the daemon tells of itself; by default it is asked. */
  info?: () => Promise<DaemonInfo | null>;
}

/** Without a daemon every waiting task waits for one; so many are named. */
const WAITING_MAX = 100;
/** So many of each queue are read; reading more only to name them would make `status` slow. */
const READ_MAX = 200;

export async function gatherStatus(sources: StatusSources): Promise<Status> {
  const { workspace, queue, ledger, now = Date.now() } = sources;
  const daemon = await (sources.info ?? (() => liveInfo(workspace)))();
  const counts = await queue.counts(daemon?.counts);
  const list = (name: Queue): Promise<Task[]> => newest(sources, name, READ_MAX);
  const claimed = await queue.list('claimed');
  const blocked = await withAsked(queue, daemon?.questions ?? [], await list('blocked'));
  const provisional = await list('provisional');
  const stuck = await present(sources, [...blocked, ...provisional, ...(await list('failed'))]);
  const today = startOfDay(now);
  return {
    workspace: workspace.root,
    daemon: {
      running: daemon !== null,
      pid: daemon?.pid ?? null,
      since: daemon?.started_at ?? null,
      version: daemon?.version ?? null,
      paused: daemon?.paused ?? null,
    },
    counts,
    running: await Promise.all(claimed.map((task) => runningOf(task, sources, now))),
    needs_you: stuck.flatMap((task) => needOf(workspace, task) ?? []),
    waiting: [
      ...(daemon
        ? Object.entries(daemon.waiting).map(([id, reason]) => ({ id, reason }))
        : await undriven(queue, counts.incoming)),
      ...stuck.flatMap((task) =>
        task.state.waits_for === 'dependencies'
          ? [{ id: task.id, reason: task.state.reason ?? 'waits for other tasks' }]
          : [],
      ),
      ...(await Promise.all(provisional.map((task) => heldUp(sources, task)))).flat(),
    ],
    limits: Object.entries(new Limits(workspace).list()).map(([agent, limit]) => ({
      agent,
      until: limit.until,
      trial: onTrial(limit, now),
      reason: limit.reason,
    })),
    endpoints: daemon?.endpoints ?? [],
    schedules: await scheduleRows(workspace, now),
    faults: daemon?.faults ?? [],
    spent_today_usd: ledger.spent({ since: today }),
    budgets: sources.loaded ? budgetsToday(workspace, ledger, sources.loaded.settings, daemon?.reserved ?? []) : [],
    done_today: ledger.reached('done', today),
    failed_today: ledger.reached('failed', today),
  };
}

/** Those that ask come first, also the ones that a hundred thousand others hide. */
async function withAsked(queue: QueuePort, ids: readonly string[], blocked: Task[]): Promise<Task[]> {
  const read = new Set(blocked.map(({ id }) => id));
  const more = await Promise.all(ids.filter((id) => !read.has(id)).map((id) => queue.get(id)));
  const all = [...more.flatMap((task) => (task?.queue === 'blocked' ? [task] : [])), ...blocked];
  return [...all.filter(asks), ...all.filter((task) => !asks(task))];
}

/** Without those that Towpath has filed and that nobody waits for any more. */
async function present(sources: StatusSources, tasks: Task[]): Promise<Task[]> {
  const past = await Promise.all(tasks.map(({ id }) => isPast(sources, id)));
  return tasks.filter((_, at) => !past[at]);
}

/** What a gate waits for may be held itself. */
const heldUp = async (sources: StatusSources, task: Task): Promise<Status['waiting']> =>
  (await heldHelpers(sources, task)).map((helper) => ({
    id: task.id,
    reason: `${task.state.reason ?? 'waits'}: ${helper.id} is held: ${helper.state.reason ?? 'moved to blocked/ by hand'}`,
  }));

async function undriven(queue: QueuePort, waiting: number): Promise<Status['waiting']> {
  if (waiting === 0 || waiting > READ_MAX) return [];
  const tasks = await queue.list('incoming');
  return tasks.slice(0, WAITING_MAX).map(({ id }) => ({ id, reason: 'no daemon runs' }));
}

async function runningOf(task: Task, { workspace, readerFor }: StatusSources, now: number): Promise<Running> {
  const read = readLock(workspace.lock(task.id));
  const lock = read === 'unreadable' ? null : read;
  const agent = lock?.agent?.name ?? task.state.agent ?? task.spec.agent ?? null;
  const reader = lock?.phase === 'execute' && agent ? readerFor?.(agent) : null;
  const since = epochMs(lock?.claimed_at ?? task.state.claimed_at ?? '');
  return {
    id: task.id,
    title: task.title,
    agent,
    model: task.state.model ?? task.spec.model ?? null,
    phase: lock?.phase ?? null,
    attempt: lock?.attempt ?? null,
    load: lock?.agent ? await treeLoad(treeOf({ root: lock.agent, marker: task.id, workspace: workspace.root })) : null,
    elapsed_ms: Number.isNaN(since) ? 0 : Math.max(0, now - since),
    last: lock && reader ? lastOf(workspace.run(task.id, lock.attempt), reader) : null,
  };
}
