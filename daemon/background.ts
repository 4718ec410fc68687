// What the daemon does beside the queue: health checks, schedules, the sums of the day, polling for tasks, notices, heartbeats, old history.
import { writeFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Context } from './attempt/context.ts';
import { formatDuration } from './clock.ts';
import { messageOf } from './errors.ts';
import type { TowpathEvent } from './events.ts';
import { askPulls } from './gate/pull/pull.ts';
import { hasHooks } from './hooks/discover.ts';
import { runHooks } from './hooks/run.ts';
import type { Ledger } from './ledger/ledger.ts';
import { submitPolled } from './queue/polled.ts';
import { toJson } from './queue/port.ts';
import { Schedules } from './schedule/schedules.ts';
import type { Scheduler } from './scheduler.ts';
import { outside } from './secrets.ts';
import type { Purse } from './waiting/purse.ts';

const BUDGET_MS = 5000;
const POLL_MS = 60_000;
/** How often model servers are asked whether they are there, ms. */
const ENDPOINTS_MS = 30_000;
const HEARTBEAT_MS = 15_000;
/** After schedules could not be looked at, ms. */
const SCHEDULES_MS = 5000;
/** How often the ledger lets go of what is old; so many rows at a time, with a pause for others to write, ms. */
const RETAIN_MS = 60_000;
const RETAIN_ROWS = 500;
const RETAIN_PAUSE_MS = 250;
/** Notices that may run or wait at once; more are dropped and told. */
const NOTICES = 64;

export interface Background {
  /** The first health check has answered, and so have the pull requests that are open. */
  readonly ready: boolean;
  close(): Promise<void>;
}

/** Starts it all; `schedules`: how often they are looked at. The first health check is over when it resolves. */
export async function startBackground(
  ctx: Context,
  scheduler: Scheduler,
  ledger: Ledger,
  purse: Purse,
  schedules: 'always' | 'once' | 'never',
): Promise<Background> {
  const { holds } = scheduler;
  const hooks = (event: 'health_check' | 'poll' | 'notify', payload: Record<string, unknown>) =>
    runHooks({
      workspace: ctx.workspace,
      event,
      payload: { version: 1, event, workspace: ctx.workspace.root, ...payload },
      cwd: ctx.workspace.root,
      env: ctx.settings.env,
      timeout_ms: ctx.settings.hooks.timeout,
      events: ctx.events,
    });
  const health = async () => {
    const { verdict } = await hooks('health_check', {});
    holds.setFault(
      'health',
      verdict.kind === 'continue' || ctx.settings.hooks.on_failure.health_check === 'ignore'
        ? null
        : {
            what: `the health check fails: ${verdict.reason}`,
            doing: `nothing is claimed; asked again every ${formatDuration(ctx.settings.hooks.health_every)}`,
            holds: true,
          },
    );
  };
  /** Also when the day changes. */
  const budget = () => {
    if (purse.refresh()) scheduler.nudge();
  };
  let closed = false;
  const retain = async () => {
    const before = new Date(Date.now() - ctx.settings.ledger.keep).toISOString();
    while (!closed && ledger.letGo(before, RETAIN_ROWS)) await sleep(RETAIN_PAUSE_MS);
  };
  const poll = async () => {
    const { runs } = await hooks('poll', {});
    for (const run of runs)
      await submitPolled(ctx.queue, run.stdout, (message) => ctx.events.emit('warning', { message }));
    scheduler.nudge();
  };
  let asking = false;
  const pulls = async () => {
    // A server that is away may take longer than the time until the next turn.
    if (asking) return;
    asking = true;
    try {
      const open = (await ctx.queue.list('provisional')).filter(({ state }) => state.waits_for === 'pr');
      const ids = open.map(({ id }) => id);
      const { gone, problems } = await askPulls(ctx, ids);
      for (const task of gone) scheduler.ended(task.id, task);
      const [first, ...more] = problems;
      if (first) throw new Error(`${first.id}: ${first.problem}${more.length ? ` (and ${more.length} more)` : ''}`);
    } finally {
      asking = false;
    }
  };
  const endpoints = async () => {
    if (await ctx.endpoints.refresh(ctx.settings.endpoints, outside())) scheduler.nudge();
  };
  const notices = new Set<Promise<unknown>>();
  const unsubscribe = ctx.events.on((event: TowpathEvent) => {
    if (event.event === 'agent_opened' || event.event === 'agent_closed') return scheduler.nudge();
    if (event.event !== 'transition' || !hasHooks(ctx.workspace.hooks, 'notify')) return;
    if (notices.size >= NOTICES)
      return ctx.events.emit('warning', { task: event.task, message: 'too many notices at once: one was dropped' });
    const notice = ctx.queue
      .get(event.task)
      .then((task) =>
        hooks('notify', {
          task: task && toJson(task),
          attempt: task?.state.runs ?? null,
          worktree: task?.state.worktree ?? null,
          branch: task?.state.branch ?? null,
          agent: task?.state.agent ?? null,
          model: task?.state.model ?? null,
          from: event.from,
          to: event.to,
          outcome: event.outcome ?? null,
          reason: event.reason ?? null,
        }),
      )
      .catch((thrown: unknown) =>
        ctx.events.emit('warning', { task: event.task, message: `notify: ${messageOf(thrown)}` }),
      );
    notices.add(notice);
    void notice.finally(() => notices.delete(notice));
  });
  /** What breaks off here is told, and done again at its next turn. */
  const guarded = (name: string, work: () => unknown) => async () => {
    try {
      await work();
      holds.setFault(name, null);
    } catch (thrown) {
      if (!holds.blame(thrown))
        holds.setFault(name, { what: `${name} failed: ${messageOf(thrown)}`, doing: 'it is tried again' });
    }
  };
  const heartbeat = () => {
    writeFileSync(ctx.workspace.alive, '');
    return scheduler.heartbeat();
  };
  const planned = new Schedules(ctx, holds);
  let turn: NodeJS.Timeout | undefined;
  const schedule = async () => {
    let pause = SCHEDULES_MS;
    await guarded('the schedules', async () => {
      const { filed, again } = await planned.look();
      pause = again;
      if (filed > 0) scheduler.nudge();
    })();
    if (schedules === 'always' && !closed) turn = setTimeout(() => void schedule(), pause);
  };
  await guarded('the health check', health)();
  await guarded('asking the model servers', endpoints)();
  void guarded('polling for tasks', poll)();
  if (schedules !== 'never') await schedule();
  let asked = false;
  const first = guarded('asking for pull requests', pulls)().finally(() => {
    asked = true;
    scheduler.nudge();
  });
  const timers = [
    setInterval(() => void guarded('asking for pull requests', pulls)(), ctx.settings.pr.every),
    setInterval(() => void guarded('the health check', health)(), ctx.settings.hooks.health_every),
    setInterval(() => void guarded('adding up what was spent', budget)(), BUDGET_MS),
    setInterval(() => void guarded('polling for tasks', poll)(), POLL_MS),
    setInterval(() => void guarded('letting go of old history', retain)(), RETAIN_MS),
    setInterval(() => void guarded('asking the model servers', endpoints)(), ENDPOINTS_MS),
    setInterval(() => void guarded('the heartbeat', heartbeat)(), HEARTBEAT_MS),
  ];
  return {
    get ready() {
      return asked;
    },
    close: async () => {
      closed = true;
      clearTimeout(turn);
      for (const timer of timers) clearInterval(timer);
      await guarded('the heartbeat', heartbeat)();
      await Promise.allSettled([...notices, first]);
      unsubscribe();
    },
  };
}
