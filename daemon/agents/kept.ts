// What a run's folder keeps of its processes (`health.json`): what was last seen of them, and who they were.
import { readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { bootId, type Identity } from '../process/identity.ts';
import { readCgroup } from '../process/shim.ts';
import type { Target } from '../process/tree.ts';

/** What was seen of a run's processes. Times are ISO. */
export interface Health {
  /** When it was seen; null: never yet. */
  seen_at: string | null;
  last_output: string | null;
  /** The kind of the last event. */
  last_event: string | null;
  /** The last sign of life of any kind. */
  last_sign: string;
  /** Tool calls without a result. */
  open_tools: number;
  processes: number;
  /** Of one core, since the look before. */
  cpu_percent: number;
  cpu_ms: number;
  io_bytes: number;
  switches: number;
  rss_bytes: number;
}

/** As it is before anything was seen. */
export const unseen = (at: string): Health => ({
  ...{ seen_at: null, last_output: null, last_event: null, last_sign: at, open_tools: 0 },
  ...{ processes: 0, cpu_percent: 0, cpu_ms: 0, io_bytes: 0, switches: 0, rss_bytes: 0 },
});

interface Kept extends Health {
  boot_id: string;
  members: [number, string][];
}

/** A hint for whoever looks, and a help for whoever ends the run: it is not synced, and a full disk may lose it. */
export function writeHealth(runDir: string, health: Health, members: ReadonlyMap<number, string>): void {
  const path = join(runDir, 'health.json');
  const kept: Kept = { ...health, boot_id: bootId(), members: [...members] };
  try {
    writeFileSync(`${path}.tmp`, JSON.stringify(kept), { mode: 0o600 });
    renameSync(`${path}.tmp`, path);
  } catch {
    // Written again at the next look.
  }
}

/** All that is known of the processes of a run that this or an earlier daemon started, for whoever ends it. */
export function runTarget(runDir: string, root: Identity | undefined): Target {
  const { marker } = read<{ marker?: string }>(runDir, 'run.json');
  const { boot_id, members = [] } = read<Partial<Kept>>(runDir, 'health.json');
  return { root, marker, cgroup: readCgroup(runDir), known: new Map(boot_id === bootId() ? members : []) };
}

function read<T extends object>(runDir: string, name: string): T | Record<string, never> {
  try {
    return JSON.parse(readFileSync(join(runDir, name), 'utf8')) as T;
  } catch {
    return {};
  }
}
