// Composition: settings → hold the workspace → recover → watch, tick, serve → drain.
import { existsSync, readFileSync, rmSync, statSync } from 'node:fs';
import { basename } from 'node:path';
import { AgentRegistry } from './agents/registry.ts';
import { serveControl, socketPath } from './api/control.ts';
import type { Ask, Context } from './attempt/context.ts';
import { vet } from './attempt/plan.ts';
import { startBackground } from './background.ts';
import { Board } from './board.ts';
import { formatDuration } from './clock.ts';
import { loadSettings, worktreesDir } from './config.ts';
import { messageOf, TowpathError } from './errors.ts';
import { Events } from './events.ts';
import { machineFault } from './faults.ts';
import { makeFolders } from './folders.ts';
import { type Hold, holdWorkspace } from './hold.ts';
import { openLedger } from './ledger/ledger.ts';
import { Limits } from './limits.ts';
import { createLog, logEvents } from './log.ts';
import { probe, watchMachine } from './machine.ts';
import { ownPrograms } from './owner.ts';
import type { Workspace } from './paths.ts';
import { self } from './process/identity.ts';
import { endOrphans } from './process/orphans.ts';
import { Counter, LARGE } from './queue/files/count.ts';
import { FileQueue } from './queue/files/engine.ts';
import { someTaskNames } from './queue/files/read.ts';
import type { QueueHint } from './queue/port.ts';
import { answer } from './requests.ts';
import { Scheduler } from './scheduler.ts';
import { Blocked } from './waiting/blocked.ts';
import { noticeHandMoves, sweepHandMoves } from './waiting/hand.ts';

export interface DaemonOptions {
  workspace: Workspace;
  worker?: string;
  role?: string;
  drain: boolean;
  single: boolean;
  ask: Ask | null;
  /** Told before the first event is emitted. */
  onEvents?: (events: Events) => void;
  onReady?: (pid: number) => void;
}

/** How often the folders are read whole, for what the events missed, ms; and how often unsettled files are looked at. */
const RESCAN_MS = 30_000;
const SETTLE_MS = 250;
/** How often they are read while no watch is to be had, ms. */
const UNWATCHED_MS = 5000;
/** How long the first look may take before tasks are started out of what it has seen, ms. */
const FIRST_LOOK_MS = 2000;
/** After so many hints in a row some may have been lost (inotify holds 16,384): the folder is read once they cease for this long, ms. */
const BURST = 500;
const BURST_QUIET_MS = 1000;

export const VERSION = (
  JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8')) as { version: string }
).version;

/** Runs a daemon until it is stopped, or drained. Resolves to true when all is well: no task in failed/ or blocked/ (drain, single), or a clean stop. */
export async function runDaemon(
  options: DaemonOptions,
  stop: { signal: AbortSignal; now: AbortSignal },
): Promise<boolean> {
  const { workspace } = options;
  const { settings } = loadSettings(workspace);
  const hold = takeWorkspace(workspace, worktreesDir(settings, workspace));
  ownPrograms(workspace.root, self());
  const orphans = await endOrphans(workspace.root);
  const events = new Events();
  options.onEvents?.(events);
  logEvents(createLog({ destination: workspace.log }), events);
  const ledger = openLedger(workspace, { onProblem: (message) => events.emit('warning', { message }) });
  ledger.attach(events);
  const agents = new AgentRegistry(settings, workspace);
  let blocked: Blocked | null = null;
  const queue = new FileQueue(workspace, {
    durability: settings.durability,
    version: VERSION,
    vet: (task) => vet(task, settings, workspace, agents),
    onWaiting: (task) => blocked?.arrived(task),
    onRefused: (task) => {
      events.emit('transition', {
        task: task.id,
        from: 'incoming',
        to: 'failed',
        outcome: 'refused',
        reason: task.state.reason,
      });
      blocked?.changed('failed', basename(task.path));
    },
  });
  const ctx: Context = {
    workspace,
    settings,
    queue,
    events,
    agents,
    limits: new Limits(workspace),
    self: self(),
    ask: options.ask,
  };
  blocked = new Blocked(ctx);
  const scheduler = new Scheduler(
    ctx,
    {
      single: options.single,
      ...(options.worker ? { worker: options.worker } : {}),
      ...(options.role ? { role: options.role } : {}),
    },
    blocked,
  );
  const counter = new Counter(workspace);
  events.on((event) => event.event === 'transition' && counter.moved(event.from, event.to));
  const counts = () => ({ ...counter.large, ...(queue.intake.size < LARGE ? {} : { incoming: queue.intake.size }) });
  const board = new Board(ctx, scheduler.holds, (count) => scheduler.waits(count), counts, VERSION);
  let finished: () => void = () => {};
  let lost: (why: TowpathError) => void = () => {};
  const over = new Promise<void>((resolve, reject) => {
    finished = resolve;
    lost = reject;
  });
  const halt = (now: boolean) => {
    scheduler.close();
    if (now) for (const id of scheduler.jobs.keys()) void scheduler.end(id, 'stop');
    void Promise.all([...scheduler.jobs.values()].map((job) => job.done)).then(finished);
  };
  const server = await serveControl(socketPath(workspace), (request) => answer(ctx, scheduler, board, halt, request));
  if (orphans > 0)
    events.emit('warning', {
      message: `ended ${orphans} programs that an earlier daemon had left: git, hooks or checks`,
    });
  events.emit('daemon_started', { pid: process.pid, version: VERSION });
  board.publish();
  /** Runs what may meet a fault of the machine: told, held, and done again when it is over. */
  const guarded = async (work: () => unknown) => {
    try {
      await work();
    } catch (thrown) {
      if (!scheduler.holds.blame(thrown))
        events.emit('warning', { message: `could not look for work: ${messageOf(thrown)}` });
    }
    scheduler.nudge();
  };
  const lookAgain = () => guarded(() => queue.intake.refresh());
  let burst = 0;
  let afterBurst: NodeJS.Timeout | undefined;
  const hinted = (hint: QueueHint) => {
    if (hint.queue !== 'incoming') {
      blocked.changed(hint.queue, hint.name);
      if (hint.name) void noticeHandMoves(ctx, scheduler, hint.queue, hint.name);
    } else if (!hint.name) void lookAgain();
    else if (++burst > BURST) {
      clearTimeout(afterBurst);
      afterBurst = setTimeout(() => {
        burst = 0;
        void lookAgain();
      }, BURST_QUIET_MS);
    }
    scheduler.nudge();
  };
  const unwatch = await queue.watch(hinted, (why) =>
    scheduler.holds.setFault(
      'watch',
      why === null
        ? null
        : {
            what: `the queues cannot be watched: ${why}`,
            doing: `they are read every ${formatDuration(UNWATCHED_MS)} instead`,
          },
    ),
  );
  await agents.findAuto();
  const lastAlive = statSync(workspace.alive, { throwIfNoEntry: false })?.mtimeMs ?? 0;
  const background = await startBackground(ctx, scheduler, ledger);
  const machine = watchMachine(ctx, {
    holds: scheduler.holds,
    hold,
    ledger,
    mended: () => {
      void scheduler.takeLeftovers();
      void guarded(() => queue.intake.scan());
    },
    clockSet: (ms) => {
      if (ms < 0) queue.intake.clockSetBack();
      scheduler.nudge();
    },
    lost: () =>
      lost(
        new TowpathError('daemon_running', `another daemon has taken ${workspace.root}`, 'this one leaves all to it'),
      ),
  });
  await scheduler.takeLeftovers();
  await sweepHandMoves(ctx, scheduler, lastAlive);
  const began = performance.now();
  // The first is the best of all when they are read in time; with very many the best of those that were read so far.
  const choose = () => {
    scheduler.ready = true;
    scheduler.nudge();
  };
  const scan = guarded(() => queue.intake.scan(() => performance.now() - began > FIRST_LOOK_MS && choose())).then(
    choose,
  );
  scheduler.nudge();
  void guarded(() => counter.refresh());
  const timers = [
    setInterval(() => {
      if (queue.intake.unsettled > 0) void guarded(() => queue.intake.recheck());
    }, SETTLE_MS),
    setInterval(() => {
      if (!scheduler.holds.hasFault('watch')) return;
      blocked.refresh();
      void lookAgain();
    }, UNWATCHED_MS),
    setInterval(() => {
      blocked.refresh();
      burst = 0;
      void guarded(() => counter.refresh());
      void agents.findAuto().then(lookAgain);
      void scheduler.takeLeftovers();
    }, RESCAN_MS),
  ];
  stop.signal.addEventListener('abort', () => halt(false));
  stop.now.addEventListener('abort', () => halt(true));
  options.onReady?.(process.pid);
  if (stop.signal.aborted) halt(stop.now.aborted);
  let scanned = false;
  void scan.then(() => {
    scanned = true;
    scheduler.nudge();
  });
  scheduler.onRound(() => {
    board.soon();
    if ((options.drain || options.single) && scanned && !scheduler.stopping && scheduler.drained && background.ready)
      halt(false);
  });
  await over;
  for (const timer of timers) clearInterval(timer);
  clearTimeout(afterBurst);
  scheduler.close();
  machine.close();
  await background.close();
  await unwatch();
  await queue.intake.save();
  server.close();
  if (options.drain) tellWhoWaits(ctx, scheduler);
  const bad = (['failed', 'blocked'] as const).some((name) => someTaskNames(workspace.queue(name), 1).length > 0);
  events.emit('daemon_stopped', { reason: options.drain ? 'drained' : 'stopped' });
  ledger.flush();
  ledger.close();
  board.remove();
  rmSync(socketPath(workspace), { force: true });
  hold.release();
  if (options.single) return scheduler.clean;
  return !options.drain || (!bad && scheduler.leftIsFine);
}

/** Throws `daemon_running`, or `filesystem` where nothing can be written: what runs without keeping anything keeps no promise. */
function takeWorkspace(workspace: Workspace, worktrees: string): Hold {
  try {
    probe(existsSync(workspace.state) ? workspace.state : workspace.root);
    makeFolders(workspace, worktrees);
    return holdWorkspace(workspace);
  } catch (thrown) {
    const fault = machineFault(thrown);
    if (!fault) throw thrown;
    throw new TowpathError('filesystem', `cannot write to ${workspace.root}: ${fault}`, 'start again when it is over');
  }
}

/** A drained daemon says why anything is left. */
function tellWhoWaits({ queue, events }: Context, scheduler: Scheduler): void {
  const { size } = queue.intake;
  const waits = scheduler.waits(5);
  for (const { id } of queue.intake.first(5))
    events.emit('warning', {
      task: id,
      message: `still waits: ${waits.get(id)?.reason ?? 'it came too late'}`,
    });
  if (size > 5) events.emit('warning', { message: `${size - 5} more tasks still wait` });
}
