// How the daemon ends: it waits for what runs, ends it and puts it back, or leaves the agents running for the next daemon.
import { setTimeout as sleep } from 'node:timers/promises';
import { endPrograms } from './process/run.ts';
import type { Scheduler } from './scheduler.ts';
import type { Job } from './waiting/job.ts';

/** `wait` for the running attempts, end them `now`, or `keep` the agents running and leave at once. */
export type Halt = 'wait' | 'now' | 'keep';

/** What takes longer than this to be put back is left as a crash would leave it, ms: a service manager does not wait for ever. */
const NOW_MS = 20_000;
/** What is between two steps (a commit, a gate, a hook) may take so long to come to an end or to the start of its agent, ms. */
const KEEP_MS = 5000;
const LOOK_MS = 50;

export interface Halting {
  /** May be called again with a more urgent mode. */
  halt(mode: Halt): void;
  /** Resolves when the daemon may leave: `clean` when nothing of this process is at work any more. */
  over: Promise<{ mode: Halt; clean: boolean }>;
}

/** `onHalt` is told each time that a mode begins. */
export function halting(scheduler: Scheduler, onHalt: (mode: Halt) => void): Halting {
  let mode: Halt | null = null;
  let end: (how: { mode: Halt; clean: boolean }) => void = () => {};
  const over = new Promise<{ mode: Halt; clean: boolean }>((resolve) => {
    end = resolve;
  });
  const allDone = () => Promise.all([...[...scheduler.jobs.values()].map((job) => job.done), scheduler.trains.done()]);
  const breakOff = async (left: Halt) => {
    await endPrograms();
    end({ mode: left, clean: false });
  };
  return {
    over,
    halt(wanted) {
      if (mode === wanted || (mode !== null && wanted === 'wait')) return;
      mode = wanted;
      onHalt(wanted);
      scheduler.close();
      if (wanted === 'keep') {
        void settled(scheduler).then((clean) => (clean ? end({ mode: 'keep', clean }) : breakOff('keep')));
        return;
      }
      if (wanted === 'now') {
        for (const id of scheduler.jobs.keys()) void scheduler.end(id, 'stop');
        scheduler.trains.end();
        setTimeout(() => void breakOff('now'), NOW_MS).unref();
      }
      void allDone().then(() => end({ mode: wanted, clean: true }));
    },
  };
}

/** Waits until all that is left at work is agents; true when not even those are. */
async function settled({ jobs, trains }: Scheduler): Promise<boolean> {
  trains.end();
  const until = Date.now() + KEEP_MS;
  while ((trains.busy || [...jobs.values()].some((job) => !isAgents(job))) && Date.now() < until) await sleep(LOOK_MS);
  return jobs.size === 0 && !trains.busy;
}

/** Its agent runs under a keeper of its own, and the lock says who it is: the next daemon finds it. */
const isAgents = ({ claim }: Job): boolean => claim?.lock.phase === 'execute' && claim.lock.agent !== null;
