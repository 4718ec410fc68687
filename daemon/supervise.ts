// What a service manager is told while the daemon runs: ready, a line of status, signs of life, and that it ends.
import type { Context } from './attempt/context.ts';
import type { Halt } from './halt.ts';
import type { Scheduler } from './scheduler.ts';
import { fromManager, Notifier } from './service/notify.ts';

/** A line of status is sent at most so often, ms: each costs a process. */
const STATUS_MS = 10_000;

export interface Supervision {
  /** Work can be claimed. */
  ready(): void;
  /** The scheduler has come round. */
  round(): void;
  reloading(): void;
  stopping(mode: Halt): void;
  /** What was sent has arrived. */
  close(): Promise<void>;
}

const NOBODY: Supervision = {
  ready: () => {},
  round: () => {},
  reloading: () => {},
  stopping: () => {},
  close: async () => {},
};

/** Does nothing, and costs nothing, where no service manager asked for it. */
export function supervise(ctx: Context, scheduler: Scheduler): Supervision {
  const manager = fromManager();
  if (!manager) return NOBODY;
  const notifier = new Notifier(manager.socket, (message) => ctx.events.emit('warning', { message }));
  let last = Promise.resolve();
  const send = (...variables: string[]) => {
    last = notifier.send(...variables);
  };
  let ready = false;
  let due = false;
  let told = '';
  let toldAt = 0;
  const status = () => `STATUS=${told}`;
  const look = () => {
    const waiting = ctx.queue.intake.size;
    const hold = scheduler.holds.reason ?? scheduler.holds.faults[0]?.what;
    told = `${scheduler.jobs.size} running, ${waiting} waiting${hold ? `; ${hold}` : ''}`.replace(/\s+/g, ' ');
    toldAt = Date.now();
  };
  const tell = () => {
    const before = told;
    look();
    if (due) send('WATCHDOG=1', status());
    else if (told !== before) send(status());
    due = false;
  };
  // A sign of life needs a turn of the event loop and a round of the scheduler: one that hangs sends none.
  const beat = setInterval(
    () => {
      // Before it is ready nobody watches, and nothing may be claimed.
      if (!ready) return;
      if (manager.watchdog_ms) due = true;
      scheduler.nudge();
    },
    manager.watchdog_ms ? manager.watchdog_ms / 2 : STATUS_MS,
  );
  let later: NodeJS.Timeout | undefined;
  return {
    ready: () => {
      ready = true;
      look();
      send('READY=1', status());
    },
    round: () => {
      if (!ready) return;
      if (due || Date.now() - toldAt >= STATUS_MS) return tell();
      // A change just after the last line is told once the time has come.
      later ??= setTimeout(() => {
        later = undefined;
        tell();
      }, STATUS_MS).unref();
    },
    reloading: () => send('RELOADING=1', 'READY=1', status()),
    stopping: (mode) => {
      ready = false;
      clearTimeout(later);
      const what = { wait: 'waits for the running attempts', now: 'ends what runs', keep: 'leaves the agents running' };
      send('STOPPING=1', `STATUS=stopping: ${what[mode]}`);
    },
    close: () => {
      clearInterval(beat);
      clearTimeout(later);
      return last;
    },
  };
}
