// Figures: percentiles, what a process has used, clocks, waiting.
import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';

/** The p-th percentile, p from 0 to 100. */
export function percentile(values: readonly number[], p: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor((p / 100) * sorted.length))] ?? Number.NaN;
}

/** Milliseconds since the epoch with fractions: comparable with `date +%s%N` of another process. */
export const wallMs = (): number => performance.timeOrigin + performance.now();

/** Linux counts CPU time in hundredths of a second towards programs. */
const TICK_MS = 10;

/** User and system time of a process without its children, ms. */
export function cpuMs(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[11]) + Number(fields[12])) * TICK_MS;
}

export function rssMb(pid: number): number {
  return Number(/^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? 0) / 1024;
}

/** Waits until a condition holds, looking often. */
export async function until(condition: () => boolean, what: string, ms = 60_000, step = 2): Promise<void> {
  for (const end = Date.now() + ms; !condition(); await sleep(step))
    if (Date.now() > end) throw new Error(`waited ${ms} ms in vain: ${what}`);
}
