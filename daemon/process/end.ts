// Ends all processes of a run: asks, waits, kills, and looks again until none is left.
import { setTimeout as sleep } from 'node:timers/promises';
import { killCgroup, membersOf, removeCgroup } from './cgroup.ts';
import { startedAt } from './identity.ts';
import { collect, isShim, ownLine, type Seen, type Target } from './tree.ts';

export interface EndOptions {
  /** How long they may take to leave by themselves, ms. */
  grace_ms?: number;
  /** What asks them to leave. */
  signal?: NodeJS.Signals;
}

/** How long a shim may take to write its exit code once its program is dead, ms. */
const SHIM_MS = 500;
/** After that long we give up on what cannot die (a process in the kernel's hands, another user's), ms. */
const KILL_MS = 10_000;

export interface Ended {
  /** Who was signalled and is dead. */
  ended: number[];
  /** Who lives on all the same: in the hands of the kernel (it dies once they let go), or another user's. */
  left: number[];
}

/**
 * Ends a run and confirms its death. Signals nobody whose start time differs from the one found, and never this process
 * or its ancestors. A shim is left alone until all else is dead, so that the exit code is kept.
 */
export async function endTree(
  target: Target,
  { grace_ms = 5000, signal = 'SIGTERM' }: EndOptions = {},
): Promise<Ended> {
  const seen: Seen = { started: new Map(), groups: new Set() };
  const signalled = new Map<number, string>();
  const send = (pid: number, started: string, what: NodeJS.Signals) => {
    try {
      if (startedAt(pid) !== started) return;
      process.kill(pid, what);
      signalled.set(pid, started);
    } catch {
      // Gone since, another user's, or we cannot tell now: looked at again in the next round.
    }
  };
  const killFrom = performance.now() + grace_ms;
  let left: number[] = [];
  let aloneSince: number | undefined;
  for (let step = 2, killing = false; ; step = Math.min(step * 2, 100)) {
    const now = performance.now();
    let found: Map<number, string>;
    try {
      // Each look takes in who was born since.
      found = collect(target, seen);
    } catch {
      await sleep(step);
      continue;
    }
    left = [...found.keys()];
    if (found.size === 0 || now > killFrom + KILL_MS) break;
    // Asked each time, because a program carries the shim's variable until it is exec'ed.
    const { programs = [], shims = [] } = Object.groupBy(found, ([pid]) => (isShim(pid) ? 'shims' : 'programs'));
    if (!killing && now >= killFrom) {
      killing = true;
      step = 2;
    }
    if (killing && target.cgroup && !holdsOurs(target.cgroup)) killCgroup(target.cgroup);
    for (const [pid, started] of programs) {
      if (killing) send(pid, started, 'SIGKILL');
      else if (signalled.get(pid) !== started) {
        send(pid, started, signal);
        // A stopped process hears nothing else.
        send(pid, started, 'SIGCONT');
      }
    }
    aloneSince = programs.length > 0 ? undefined : (aloneSince ?? now);
    if (aloneSince !== undefined && now - aloneSince >= SHIM_MS)
      for (const [pid, started] of shims) send(pid, started, 'SIGKILL');
    await sleep(killing ? step : Math.max(1, Math.min(step, killFrom - now)));
  }
  if (target.cgroup && left.length === 0) removeCgroup(target.cgroup);
  return { ended: [...signalled].filter(([pid, started]) => !lives(pid, started)).map(([pid]) => pid), left };
}

/** Whether somebody put us, or who started us, into the cgroup of a run: its members are then killed one by one. */
function holdsOurs(cgroup: string): boolean {
  const ours = ownLine();
  return membersOf(cgroup).some((pid) => ours.has(pid));
}

function lives(pid: number, started: string): boolean {
  try {
    return startedAt(pid) === started;
  } catch {
    return true;
  }
}
