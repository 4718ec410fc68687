// What the process tests share: a temp folder, a program under the shim, and waiting for a condition.
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { onTestFinished } from 'vitest';
import { endTree } from '../../daemon/process/end.ts';
import { childEnv } from '../../daemon/process/env.ts';
import { startShim } from '../../daemon/process/shim.ts';

/** A folder that is removed with the test. */
export function tempDir(): string {
  const dir = mkdtempSync(join(tmpdir(), 'towpath-process-'));
  onTestFinished(() => rmSync(dir, { recursive: true, force: true }));
  return dir;
}

/**
 * Leaves a process behind that ignores SIGTERM, has a session of its own, no parent but init and no environment; it
 * writes its pid into `pids`, then `up`, and waits.
 */
export const GHOST = [
  'perl',
  '-MPOSIX',
  '-e',
  `$SIG{CHLD} = "IGNORE"; if (fork) { sleep 1 while 1 } setsid; exit if fork; select undef, undef, undef, 0.05; $SIG{TERM} = "IGNORE";
   open F, ">>pids"; print F "$$\\n"; close F; %ENV = ();
   exec "/bin/sh", "-c", "echo up >up; while :; do sleep 1; done"`,
];

let runs = 0;
/** A marker that no other run on this machine has. */
export const newMarker = (): string => `test/${process.pid}/${Date.now()}-${runs++}`;

export const env = (set: Record<string, string> = {}): Record<string, string> => childEnv({ set });

/** Starts `argv` under the shim in a fresh folder; what is left of it goes with the test. */
export async function shimmed(argv: string[], set: Record<string, string> = {}, stdin = '/dev/null') {
  const dir = tempDir();
  const marker = newMarker();
  const runDir = join(dir, 'run');
  onTestFinished(async () => void (await endTree({ marker }, { grace_ms: 0 })));
  const running = await startShim({ runDir, argv, cwd: dir, env: env({ ...set, TOWPATH_RUN: marker }), stdin });
  return { ...running, runDir, marker, dir };
}

/** Polls until `condition` is truthy and returns it; the test's own time-out ends it otherwise. */
export async function until<T>(condition: () => T | undefined | false | null | ''): Promise<T> {
  for (;;) {
    const value = condition();
    if (value) return value;
    await sleep(10);
  }
}

/** The text of a file, empty as long as there is none. */
export function text(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}
