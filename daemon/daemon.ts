// Composition: settings → hold the workspace → recover → look, tick, serve → drain.
import { existsSync, readFileSync, rmSync, statSync } from 'node:fs';
import { basename } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Endpoints } from './agents/endpoints.ts';
import { AgentRegistry } from './agents/registry.ts';
import { serveControl, socketPath } from './api/control.ts';
import type { Ask, Context } from './attempt/context.ts';
import { vet } from './attempt/plan.ts';
import { startBackground } from './background.ts';
import { Board } from './board.ts';
import { loadSettings } from './config.ts';
import { messageOf, TowpathError } from './errors.ts';
import { Events } from './events.ts';
import { machineFault } from './faults.ts';
import { makeFolders } from './folders.ts';
import { halting } from './halt.ts';
import { type Hold, holdWorkspace } from './hold.ts';
import { openLedger } from './ledger/ledger.ts';
import { Limits } from './limits.ts';
import { createLog, logEvents } from './log.ts';
import { Look } from './look.ts';
import { probe, watchMachine } from './machine.ts';
import { ownPrograms } from './owner.ts';
import type { Workspace } from './paths.ts';
import { self } from './process/identity.ts';
import { endOrphans } from './process/orphans.ts';
import { endPrograms } from './process/run.ts';
import { Counter, LARGE } from './queue/files/count.ts';
import { FileQueue } from './queue/files/engine.ts';
import { reloadSettings } from './reload.ts';
import { answer } from './requests.ts';
import { finishReruns } from './rerun.ts';
import { Scheduler } from './scheduler.ts';
import { useSecrets } from './secrets.ts';
import { worktreesDir } from './settings.ts';
import { supervise } from './supervise.ts';
import { Blocked } from './waiting/blocked.ts';
import { sweepHandMoves } from './waiting/hand.ts';
import { anyBad } from './waiting/left.ts';
import { Purse } from './waiting/purse.ts';
import { finishFilings } from './workflow/compile.ts';

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

/** What its surroundings may ask of a daemon. */
export interface Orders {
  /** Wait for the running attempts, then leave. */
  signal: AbortSignal;
  /** End them and put them back. `signal` is aborted as well. */
  now: AbortSignal;
  /** Is given the function that reads the settings again. */
  onReload?: (reload: () => void) => void;
}

/** What is still to be told to others may take so long when the end is urgent, ms. */
const CLOSE_MS = 5000;

export const VERSION = (
  JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8')) as { version: string }
).version;

/** Runs a daemon until it is stopped, or drained. Resolves to true when all is well: no task in failed/ or blocked/ (drain, single), or a clean stop. */
export async function runDaemon(options: DaemonOptions, stop: Orders): Promise<boolean> {
  const { workspace } = options;
  const { settings } = loadSettings(workspace);
  useSecrets(settings, workspace.root);
  const hold = takeWorkspace(workspace, worktreesDir(settings, workspace));
  ownPrograms(workspace.root, self());
  const orphans = await endOrphans(workspace.root);
  const events = new Events();
  options.onEvents?.(events);
  logEvents(createLog({ destination: workspace.log }), events);
  const ledger = openLedger(workspace, { onProblem: (message) => events.emit('warning', { message }) });
  ledger.attach(events);
  let blocked: Blocked | null = null;
  const lastAlive = statSync(workspace.alive, { throwIfNoEntry: false })?.mtimeMs ?? 0;
  const queue = new FileQueue(workspace, {
    durability: settings.durability,
    version: VERSION,
    vet: (task) => vet(task, ctx.settings, workspace, ctx.agents),
    onWaiting: (task) => blocked?.arrived(task),
    // An earlier daemon has told of those that it saw.
    onMovedIn: (task, from, changed) => {
      if (changed >= lastAlive)
        events.emit('transition', { task: task.id, from, to: 'incoming', reason: 'moved by hand' });
    },
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
    agents: new AgentRegistry(settings, workspace),
    limits: new Limits(workspace),
    endpoints: new Endpoints(),
    self: self(),
    ask: options.ask,
  };
  blocked = new Blocked(ctx);
  const purse = new Purse(ledger, ctx);
  const scheduler = new Scheduler(
    ctx,
    {
      single: options.single,
      ...(options.worker ? { worker: options.worker } : {}),
      ...(options.role ? { role: options.role } : {}),
    },
    blocked,
    purse,
  );
  events.on((event) => {
    if (event.event !== 'attempt_finished') return;
    purse.finished(event);
    scheduler.nudge();
  });
  const counter = new Counter(workspace);
  events.on((event) => event.event === 'transition' && counter.moved(event.from, event.to));
  const counts = () => ({ ...counter.large, ...(queue.intake.size < LARGE ? {} : { incoming: queue.intake.size }) });
  const load = (name: string) => [...scheduler.jobs.values()].filter(({ endpoint }) => endpoint === name).length;
  const { questions } = blocked;
  const board = new Board(ctx, scheduler, counts, load, (count) => questions.first(count), VERSION);
  const supervision = supervise(ctx, scheduler);
  const { halt, over } = halting(scheduler, supervision.stopping);
  let lost: (why: TowpathError) => void = () => {};
  const taken = new Promise<never>((_, reject) => {
    lost = reject;
  });
  await finishReruns({ ...ctx, endRunning: async () => false }).catch((thrown: unknown) =>
    events.emit('warning', { message: `part of a workflow is still to run again: ${messageOf(thrown)}` }),
  );
  const server = await serveControl(socketPath(workspace), (request) => answer(ctx, scheduler, board, halt, request));
  if (orphans > 0)
    events.emit('warning', {
      message: `ended ${orphans} programs that an earlier daemon had left: git, hooks or checks`,
    });
  events.emit('daemon_started', { pid: process.pid, version: VERSION });
  board.publish();
  // A command that was killed while it filed the steps of a workflow has written down which ones.
  const fileSteps = async () => {
    const { durability } = ctx.settings;
    for (const id of await finishFilings({ workspace, queue, durability })) queue.intake.handedOver(`${id}.md`);
  };
  const look = new Look(ctx, scheduler, blocked, () => {
    void counter.refresh().catch(() => {});
    void fileSteps().catch((thrown: unknown) => events.emit('warning', { message: messageOf(thrown) }));
  });
  await look.watch();
  const background = await startBackground(
    ...([ctx, scheduler, ledger, purse] as const),
    // One that drains files what is due, and waits for nothing that is not.
    options.single ? 'never' : options.drain ? 'once' : 'always',
  );
  const unwatchMachine = watchMachine(ctx, {
    holds: scheduler.holds,
    hold,
    ledger,
    mended: () => look.anew(),
    clockSet: (ms) => {
      if (ms < 0) queue.intake.clockSetBack();
      scheduler.nudge();
    },
    lost: () =>
      lost(
        new TowpathError('daemon_running', `another daemon has taken ${workspace.root}`, 'this one leaves all to it'),
      ),
  });
  await fileSteps();
  await scheduler.takeLeftovers();
  await sweepHandMoves(ctx, scheduler, lastAlive);
  let looked = false;
  void look.first().then(() => {
    looked = true;
    scheduler.nudge();
  });
  stop.onReload?.(() => {
    supervision.reloading();
    void reloadSettings(ctx, scheduler);
  });
  stop.signal.addEventListener('abort', () => halt('wait'));
  stop.now.addEventListener('abort', () => halt('now'));
  options.onReady?.(process.pid);
  supervision.ready();
  if (stop.signal.aborted) halt(stop.now.aborted ? 'now' : 'wait');
  scheduler.onRound(() => {
    board.soon();
    supervision.round();
    if ((options.drain || options.single) && looked && !scheduler.stopping && scheduler.drained && background.ready)
      halt('wait');
  });
  const { mode, clean } = await Promise.race([over, taken]);
  scheduler.close();
  unwatchMachine();
  const closed = Promise.all([background.close(), supervision.close()]);
  if (mode === 'wait') await closed;
  else await Promise.race([closed, sleep(CLOSE_MS)]);
  if (mode !== 'wait') await endPrograms();
  await look.close();
  await queue.intake.save();
  server.close();
  if (options.drain) tellWhoWaits(ctx, scheduler);
  const bad = await anyBad(ctx);
  const left = clean ? 'stopped' : `stopped, with ${scheduler.jobs.size} at work that the next start goes on with`;
  events.emit('daemon_stopped', { reason: options.drain && clean ? 'drained' : left });
  ledger.flush();
  ledger.close();
  board.remove();
  rmSync(socketPath(workspace), { force: true });
  // Where work was broken off, the kernel lets go of the workspace when this process ends: no sooner may another begin.
  if (clean) hold.release();
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
