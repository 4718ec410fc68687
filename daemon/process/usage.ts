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

/**
 * The sum over the pids that live. It can fall when a member ends: to see whether something is at work, compare two
 * results for being different.
 */
export function treeUsage(pids: readonly number[]): Usage {
  const sum: Usage = { cpu_ms: 0, io_bytes: 0, switches: 0, rss_bytes: 0, processes: 0 };
  if (process.platform === 'linux') for (const pid of pids) addFromProc(sum, pid);
  else if (pids.length > 0) addFromPs(sum, pids);
  return sum;
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

function addFromProc(sum: Usage, pid: number): void {
  const stat = read(`/proc/${pid}/stat`);
  if (stat === '') return;
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ', 14);
  sum.processes += 1;
  sum.cpu_ms += (Number(fields[11]) + Number(fields[12])) * TICK_MS;
  const io = read(`/proc/${pid}/io`);
  sum.io_bytes += number(/^rchar: (\d+)/m, io) + number(/^wchar: (\d+)/m, io);
  sum.rss_bytes += number(/^VmRSS:\s+(\d+)/m, read(`/proc/${pid}/status`)) * 1024;
  // status of a process counts the switches of its first thread alone.
  for (const thread of threads(pid)) {
    const status = read(`/proc/${pid}/task/${thread}/status`);
    sum.switches += number(/^voluntary_ctxt_switches:\s+(\d+)/m, status);
    sum.switches += number(/^nonvoluntary_ctxt_switches:\s+(\d+)/m, status);
  }
}

function addFromPs(sum: Usage, pids: readonly number[]): void {
  let out = '';
  try {
    out = execFileSync('ps', ['-o', 'time=,rss=', '-p', pids.join(',')], { encoding: 'utf8' });
  } catch {
    // ps fails when none of them lives.
  }
  for (const line of out.split('\n')) {
    const found = /^\s*(?:(\d+)-)?((?:\d+:)*[\d.]+)\s+(\d+)\s*$/.exec(line);
    if (!found) continue;
    const seconds = found[2]!.split(':').reduce((total, part) => total * 60 + Number(part), 0);
    sum.processes += 1;
    sum.cpu_ms += (Number(found[1] ?? 0) * 86_400 + seconds) * 1000;
    sum.rss_bytes += Number(found[3]) * 1024;
  }
}

const number = (pattern: RegExp, text: string): number => Number(pattern.exec(text)?.[1] ?? 0);

function threads(pid: number): string[] {
  try {
    return readdirSync(`/proc/${pid}/task`);
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
