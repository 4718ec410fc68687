// Keeps the head and the tail of a file that is being written to: its middle is given back to the disk, in place.
import { readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { run } from './run.ts';

/** The bytes of a file that are not there any more; what lies behind has kept its place. */
export interface Cut {
  from: number;
  to: number;
}

/** `cut.json` of a run's folder: written before anything is cut, so that what it does not name is whole. */
export interface Cuts {
  stdout?: Cut;
  stderr?: Cut;
  /** Where the reader was, and all that it knew: what came before cannot be read again. */
  reader?: unknown;
}

/** Disks give back whole blocks. */
const BLOCK = 4096;
const PUNCH_MS = 30_000;

export function readCuts(runDir: string): Cuts {
  try {
    return JSON.parse(readFileSync(join(runDir, 'cut.json'), 'utf8')) as Cuts;
  } catch {
    return {};
  }
}

/** Synced, because the hole may reach the disk before the note of it does. */
export function writeCuts(runDir: string, cuts: Cuts): void {
  const path = join(runDir, 'cut.json');
  writeFileSync(`${path}.tmp`, JSON.stringify(cuts), { mode: 0o600, flush: true });
  renameSync(`${path}.tmp`, path);
}

/**
 * What to cut out of a file of `size` bytes so that at most `keep` stay: a quarter of that at its head, half of it at its
 * tail, and nothing from `read` on. Undefined while it is small enough, or too little would be won.
 */
export function cutOf(size: number, read: number, keep: number, before: Cut | undefined): Cut | undefined {
  const cut = before ? before.to - before.from : 0;
  if (size - cut <= keep) return undefined;
  const from = before?.from ?? Math.ceil(keep / 4 / BLOCK) * BLOCK;
  const to = Math.floor(Math.min(read, size - keep / 2) / BLOCK) * BLOCK;
  return to - from - cut < keep / 8 ? undefined : { from, to };
}

/** Makes the hole. Says why not, where the system or the disk cannot. */
export async function punch(path: string, { from, to }: Cut): Promise<string | null> {
  const argv = ['fallocate', '--punch-hole', '--offset', String(from), '--length', String(to - from), path];
  const env = { PATH: process.env['PATH'] ?? '/usr/bin:/bin' };
  const done = await run({ argv, cwd: '/', env, timeout_ms: PUNCH_MS });
  return done.code === 0 ? null : (done.spawnError ?? done.stderr.trim().split('\n').at(-1) ?? 'it failed');
}
