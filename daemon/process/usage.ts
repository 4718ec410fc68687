// What a tree of processes has used so far: the sum over its members, since one process alone tells little.
import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import pidusage from 'pidusage';

export interface Usage {
  /** User and system time of the members that live, ms. */
  cpu_ms: number;
  /** Bytes through read and write calls of any kind: files, pipes, terminals. 0 where the system does not tell. */
  io_bytes: number;
  /** Context switches of all threads. 0 where the system does not tell. */
  switches: number;
  rss_bytes: number;
  /** Members that were found alive. */
  processes: number;
}

/** Linux counts CPU time in hundredths of a second towards programs, on every architecture that Node runs on. */
const TICK_MS = 10;

/** What each of the pids has used that lives. */
export function usageOf(pids: readonly number[]): Map<number, Usage> {
  if (process.platform !== 'linux') return fromPs(pids);
  return new Map(pids.flatMap((pid) => fromProc(pid) ?? []));
}

/** The sum over the pids that live. It can fall when a member ends. */
export const treeUsage = (pids: readonly number[]): Usage => sum(usageOf(pids).values());

export function sum(parts: Iterable<Usage>): Usage {
  const all: Usage = { cpu_ms: 0, io_bytes: 0, switches: 0, rss_bytes: 0, processes: 0 };
  for (const one of parts) for (const key of Object.keys(all) as (keyof Usage)[]) all[key] += one[key];
  return all;
}

/** How busy a tree is: percent of one core since the last call (since the start at the first), and its memory. */
export async function treeLoad(pids: readonly number[]): Promise<{ cpu_percent: number; rss_bytes: number }> {
  const load = { cpu_percent: 0, rss_bytes: 0 };
  if (pids.length === 0) return load;
  // pidusage knows one pid at a time, and answers undefined for one that is gone.
  const found: Record<string, pidusage.Status | undefined> = await pidusage([...pids]).catch(() => ({}));
  for (const status of Object.values(found)) {
    load.cpu_percent += status?.cpu ?? 0;
    load.rss_bytes += status?.memory ?? 0;
  }
  return load;
}

function fromProc(pid: number): [[number, Usage]] | undefined {
  const stat = read(`/proc/${pid}/stat`);
  if (stat === '') return undefined;
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ', 18);
  const io = read(`/proc/${pid}/io`);
  // status of a process counts the switches of its first thread alone; most processes have no other.
  const threads =
    fields[17] === '1'
      ? [read(`/proc/${pid}/status`)]
      : list(`/proc/${pid}/task`).map((thread) => read(`/proc/${pid}/task/${thread}/status`));
  const usage: Usage = {
    cpu_ms: (Number(fields[11]) + Number(fields[12])) * TICK_MS,
    io_bytes: number(/^rchar: (\d+)/m, io) + number(/^wchar: (\d+)/m, io),
    switches: 0,
    rss_bytes: number(/^VmRSS:\s+(\d+)/m, threads[0] ?? '') * 1024,
    processes: 1,
  };
  for (const status of threads) {
    usage.switches += number(/^voluntary_ctxt_switches:\s+(\d+)/m, status);
    usage.switches += number(/^nonvoluntary_ctxt_switches:\s+(\d+)/m, status);
  }
  return [[pid, usage]];
}

/** macOS tells time and memory; I/O and switches stay 0 there, and the time, in hundredths, has to serve. */
function fromPs(pids: readonly number[]): Map<number, Usage> {
  const found = new Map<number, Usage>();
  if (pids.length === 0) return found;
  let out = '';
  try {
    out = execFileSync('ps', ['-o', 'pid=,time=,rss=', '-p', pids.join(',')], { encoding: 'utf8' });
  } catch {
    // ps fails when none of them lives.
  }
  for (const line of out.split('\n')) {
    const parts = /^\s*(\d+)\s+(?:(\d+)-)?((?:\d+:)*[\d.]+)\s+(\d+)\s*$/.exec(line);
    if (!parts) continue;
    const seconds = parts[3]!.split(':').reduce((total, part) => total * 60 + Number(part), 0);
    found.set(Number(parts[1]), {
      cpu_ms: (Number(parts[2] ?? 0) * 86_400 + seconds) * 1000,
      io_bytes: 0,
      switches: 0,
      rss_bytes: Number(parts[4]) * 1024,
      processes: 1,
    });
  }
  return found;
}

const number = (pattern: RegExp, text: string): number => Number(pattern.exec(text)?.[1] ?? 0);

function list(path: string): string[] {
  try {
    return readdirSync(path);
  } catch {
    return [];
  }
}

/** A process may end, or be another user's, between two reads. */
function read(path: string): string {
  try {
    return readFileSync(path, 'latin1');
  } catch {
    return '';
  }
}
