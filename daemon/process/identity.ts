// Who a process is: host, boot, pid and start time together, so that a reused pid is never taken for the old process.
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { hostname } from 'node:os';

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

/** The start time of a live process; undefined when there is none or it is a zombie. */
export function startedAt(pid: number): string | undefined {
  if (process.platform === 'linux') {
    try {
      const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
      // comm may hold spaces and parentheses: the fields begin after the last one; state is field 3, starttime field 22.
      const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
      return fields[0] === 'Z' || fields[0] === 'X' ? undefined : fields[19];
    } catch {
      return undefined;
    }
  }
  try {
    const out = execFileSync('ps', ['-o', 'stat=,lstart=', '-p', String(pid)], { encoding: 'utf8' }).trim();
    return out === '' || out.startsWith('Z') ? undefined : out.replace(/^\S+\s+/, '');
  } catch {
    return undefined;
  }
}

/** The identity of a live process of this machine; undefined when it is gone. */
export function identify(pid: number): Identity | undefined {
  const started = startedAt(pid);
  return started === undefined ? undefined : { host: hostname(), boot_id: bootId(), pid, started };
}

/** This process. */
export const self = (): Identity => identify(process.pid)!;

/** Whether that very process still lives here. A process of another host is taken as alive: nothing can be known of it. */
export function isAlive(who: Identity): boolean {
  if (who.host !== hostname()) return true;
  return who.boot_id === bootId() && startedAt(who.pid) === who.started;
}
