// Watches over the machine: disks that fill or turn read-only, folders that are gone, a clock that jumps; each is told, and looked at until it is over.
import { closeSync, existsSync, fsyncSync, openSync, rmSync, statfsSync, writeSync } from 'node:fs';
import { uptime } from 'node:os';
import { join } from 'node:path';
import type { Context } from './attempt/context.ts';
import { formatDuration } from './clock.ts';
import { messageOf } from './errors.ts';
import type { Hold } from './hold.ts';
import { HELD, type Holds } from './holds.ts';
import type { Ledger } from './ledger/ledger.ts';
import { QUEUES } from './task/terms.ts';

/** How often it is looked, ms; and how often something is written to see whether that works when nothing says it does not. */
const LOOK_MS = 2000;
const PROBE_MS = 15_000;
/** A disk with less room than this cannot keep a task file with its state, bytes. */
const PROBE_BYTES = 64 * 1024;
/** A clock that differs from the time that passed by more than this was set, ms. */
const JUMP_MS = 5000;
/** How long a jump of the clock or a sleep is shown, ms. */
const SHOWN_MS = 10 * 60_000;

interface Owner {
  holds: Holds;
  hold: Hold;
  ledger: Ledger;
  /** Writing works again, or folders are back: what broke off can be entered again. */
  mended: () => void;
  /** The clock was set, by so many ms. */
  clockSet: (ms: number) => void;
  /** Another daemon has taken the workspace. */
  lost: () => void;
}

/** Looks at once, and from then on until the returned function is called. */
export function watchMachine(ctx: Context, { holds, hold, ledger, mended, clockSet, lost }: Owner): () => void {
  const { workspace } = ctx;
  let probed = Number.NEGATIVE_INFINITY;
  const clock = clockWatch();

  const queues = (): boolean => {
    const there = QUEUES.some((queue) => existsSync(workspace.queue(queue)));
    holds.setFault(
      'queues',
      there
        ? null
        : {
            what: `the folders below ${join(workspace.root, 'queues')} are gone`,
            doing: 'nothing is claimed and nothing is made anew: put them back',
            holds: true,
          },
    );
    return there;
  };
  const disk = () => {
    const { bavail, bsize, files, ffree } = statfsSync(workspace.root);
    const free = bavail * bsize;
    const floor = ctx.settings.limits.disk_free;
    const few = files > 0 && ffree < 100 ? 'no more files can be made on this disk' : null;
    const low =
      free < floor
        ? `only ${Math.floor(free / 1e6)} MB of disk are free (limits.disk_free is ${Math.floor(floor / 1e6)} MB)`
        : null;
    const what = low ?? few;
    holds.setFault('disk', what === null ? null : { what, doing: HELD, holds: true });
  };
  const history = () =>
    holds.setFault(
      'ledger',
      ledger.problem === null
        ? null
        : { what: ledger.problem, doing: 'tasks go on; their history is kept in memory and written when it can be' },
    );
  const time = () => {
    const { set, slept } = clock();
    if (set !== 0) {
      const what = `the clock was set ${set > 0 ? 'forward' : 'back'} by ${formatDuration(Math.abs(set))}`;
      clockSet(set);
      passing('clock', what, 'agents are timed by a clock that nobody can set; dates go by the new time');
    }
    if (slept > 0)
      passing('sleep', `the machine slept for ${formatDuration(slept)}`, 'no agent is blamed for that time');
  };
  const fading = new Map<string, NodeJS.Timeout>();
  const passing = (source: string, what: string, doing: string) => {
    clearTimeout(fading.get(source));
    holds.setFault(source, { what, doing });
    fading.set(
      source,
      setTimeout(() => holds.setFault(source, null), SHOWN_MS),
    );
  };

  const look = () => {
    try {
      time();
      if (!hold.renew()) return lost();
      const wasGone = holds.hasFault('queues');
      if (!queues()) return;
      disk();
      history();
      const broken = holds.hasFault('machine');
      if (broken || performance.now() - probed >= PROBE_MS) {
        probed = performance.now();
        for (const dir of [workspace.state, workspace.queue('claimed')]) if (existsSync(dir)) probe(dir);
        holds.setFault('machine', null);
      }
      if (broken || wasGone) mended();
    } catch (thrown) {
      if (!holds.blame(thrown))
        holds.setFault('machine', { what: `the disk cannot be used: ${messageOf(thrown)}`, doing: HELD, holds: true });
    }
  };
  const timer = setInterval(look, LOOK_MS);
  look();
  return () => {
    clearInterval(timer);
    for (const each of fading.values()) clearTimeout(each);
  };
}

/** Does what keeping a task's state takes: a new file, bytes, a sync. Throws what the system says. */
export function probe(dir: string): void {
  const path = join(dir, `.towpath-probe-${process.pid}`);
  try {
    const fd = openSync(path, 'w', 0o600);
    try {
      writeSync(fd, Buffer.alloc(PROBE_BYTES));
      fsyncSync(fd);
    } finally {
      closeSync(fd);
    }
  } finally {
    rmSync(path, { force: true });
  }
}

/**
 * Says at each call what happened to the time since the last: by how much the clock was set, and how long the machine
 * slept, ms. The time since boot goes on in a sleep, the one of timers does not, and neither follows the clock.
 */
function clockWatch(): () => { set: number; slept: number } {
  const read = () => ({ wall: Date.now(), boot: uptime() * 1000, timers: performance.now() });
  let last = read();
  return () => {
    const now = read();
    const boot = now.boot - last.boot;
    const set = now.wall - last.wall - boot;
    const slept = boot - (now.timers - last.timers);
    last = now;
    return { set: Math.abs(set) > JUMP_MS ? set : 0, slept: slept > JUMP_MS ? slept : 0 };
  };
}
