// Who a process is: host, boot, pid and start time together, so that a reused pid is never taken for the old process.
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { errno } from '../errors.ts';

/** A process that cannot be confused with a later one. `started` is the kernel's start time: clock ticks since boot on Linux, `ps -o lstart` text on macOS. */
export interface Identity {
  host: string;
  boot_id: string;
  pid: number;
  started: string;
}

let boot: string | undefined;

/** An id of this boot of the machine. */
export function bootId(): string {
  if (boot === undefined) {
    boot =
      process.platform === 'linux'
        ? readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim()
        : execFileSync('sysctl', ['-n', 'kern.boottime'], { encoding: 'utf8' }).trim();
  }
  return boot;
}

/** The start time of a live process; undefined when there is none or it is a zombie. Throws when it cannot be told (no file descriptor left). */
export function startedAt(pid: number): string | undefined {
  if (process.platform === 'linux') {
    try {
      const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
      // comm may hold spaces and parentheses: the fields begin after the last one; state is field 3, starttime field 22.
      const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
      return fields[0] === 'Z' || fields[0] === 'X' ? undefined : fields[19];
    } catch (thrown) {
      if (errno(thrown) === 'ENOENT' || errno(thrown) === 'ESRCH') return undefined;
      throw thrown;
    }
  }
  try {
    const out = execFileSync('ps', ['-o', 'stat=,lstart=', '-p', String(pid)], { encoding: 'utf8' }).trim();
    return out === '' || out.startsWith('Z') ? undefined : out.replace(/^\S+\s+/, '');
  } catch (thrown) {
    // ps ran, and found nobody.
    if ((thrown as { status?: unknown }).status === 1) return undefined;
    throw thrown;
  }
}

/** The identity of a live process of this machine; undefined when it is gone. */
export function identify(pid: number): Identity | undefined {
  const started = startedAt(pid);
  return started === undefined ? undefined : { host: hostname(), boot_id: bootId(), pid, started };
}

/** This process. */
export const self = (): Identity => identify(process.pid)!;

/**
 * Whether that very process still lives here. Where nothing can be known it is taken as alive, since a second run beside
 * a living one is the worse mistake: a process of another host, and a system that does not answer.
 */
export function isAlive(who: Identity): boolean {
  if (who.host !== hostname()) return true;
  try {
    return who.boot_id === bootId() && startedAt(who.pid) === who.started;
  } catch {
    return true;
  }
}
