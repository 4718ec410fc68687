// The JSON lock beside a claimed task: published whole, read with distrust; an unreadable one is held, never free.
import { readFileSync, rmSync } from 'node:fs';
import { z } from 'zod';
import { now } from '../../clock.ts';
import { errno } from '../../errors.ts';
import type { Lock } from '../port.ts';
import type { Durable } from './durable.ts';

const identity = z.object({ host: z.string(), boot_id: z.string(), pid: z.number().int(), started: z.string() });
const schema = z.object({
  version: z.literal(1),
  task: z.string(),
  attempt: z.number().int(),
  epoch: z.number().int(),
  phase: z.enum(['prepare', 'execute', 'settle']),
  owner: identity,
  worker: z.string().optional(),
  agent: identity.extend({ name: z.string(), session: z.string().nullable(), shim: identity.optional() }).nullable(),
  repo: z.string().nullable(),
  worktree: z.string().nullable(),
  branch: z.string().nullable(),
  claimed_at: z.string(),
  heartbeat_at: z.string(),
});

/** A lock as it is at the claim. */
export function newLock(
  task: string,
  owner: Lock['owner'],
  { attempt, epoch, worker }: { attempt: number; epoch: number; worker?: string | undefined },
): Lock {
  const at = now();
  const nothing = { agent: null, repo: null, worktree: null, branch: null };
  return {
    version: 1,
    task,
    attempt,
    epoch,
    phase: 'prepare',
    owner,
    ...(worker ? { worker } : {}),
    ...nothing,
    claimed_at: at,
    heartbeat_at: at,
  };
}

/** The lock at a path; null when there is none, `unreadable` when there is something else. */
export function readLock(path: string): Lock | null | 'unreadable' {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (thrown) {
    return errno(thrown) === 'ENOENT' ? null : 'unreadable';
  }
  try {
    const parsed = schema.safeParse(JSON.parse(text));
    return parsed.success ? (parsed.data as Lock) : 'unreadable';
  } catch {
    return 'unreadable';
  }
}

const text = (lock: Lock): string => `${JSON.stringify(lock)}\n`;

/** Takes a lock; false when somebody has it. Not synced: after a power cut no process of it lives, and its task tells the rest. */
export const publishLock = (disk: Durable, path: string, lock: Lock): boolean => disk.create(path, text(lock), false);

/** Writes a lock anew whole, also one that is missing. */
export const rewriteLock = (disk: Durable, path: string, lock: Lock): void => disk.replace(path, text(lock), false);

/** Writes a lock that is there and ours anew: often, so in place. */
export const renewLock = (disk: Durable, path: string, lock: Lock): void => disk.overwrite(path, text(lock));

export const removeLock = (path: string): void => rmSync(path, { force: true });
