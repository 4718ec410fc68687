// Starts a program under the shim (shim.sh): it outlives the daemon, writes to files, and its exit code is kept.
import { spawn } from 'node:child_process';
import { existsSync, type FSWatcher, mkdirSync, readFileSync, watch, writeFileSync } from 'node:fs';
import { constants, hostname } from 'node:os';
import { join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { errno, messageOf, TowpathError } from '../errors.ts';
import { bootId, type Identity, identify, isAlive, self, startedAt } from './identity.ts';
import { type Birth, birth, SHIM_MARK } from './tree.ts';

const SHIM = fileURLToPath(new URL('./shim.sh', import.meta.url));
const SIGNALS = new Map(Object.entries(constants.signals).map(([name, number]) => [number, name]));

export interface ShimStart {
  /** Made when missing; gets `pid`, `stdout`, `stderr`, `exit`. One folder serves one run. */
  runDir: string;
  argv: readonly string[];
  cwd: string;
  /** The whole environment; should carry the marker `TOWPATH_RUN`. */
  env: Readonly<Record<string, string>>;
  /** The file that becomes the program's stdin. */
  stdin: string;
  /** A folder that `makeCgroup` made, for the program and all that it starts. */
  cgroup?: string | null;
}

export interface Running {
  shim: Identity;
  /** Undefined when the program never began (its pid could not be written) or, on macOS, is gone already. */
  agent: Identity | undefined;
  /** A moment before any process of the run was born. */
  since: Birth | undefined;
  /** Resolves when the shim has left; the exit file is there then, unless it was killed. */
  exited: Promise<void>;
}

/** The shims that this process started and that still live, by folder: their end need not be polled for. */
const children = new Map<string, Promise<void>>();

/** How a program ended: one of the two is null. */
export interface Exit {
  code: number | null;
  /** `SIGTERM` … */
  signal: string | null;
}

/**
 * Starts `argv` in a session of its own and returns as soon as its pid is on disk. A program that cannot be started is
 * a run that ends with 127 or 126 and says why on its stderr. Throws `agent` when the run was started before, the
 * working directory is missing or the system has no process left.
 */
export async function startShim({ runDir: folder, argv, cwd, env, stdin, cgroup }: ShimStart): Promise<Running> {
  const runDir = resolve(folder);
  mkdirSync(runDir, { recursive: true, mode: 0o700 });
  if (existsSync(join(runDir, 'pid')) || existsSync(join(runDir, 'exit')))
    throw new TowpathError('agent', `the run in ${runDir} was started before`, 'use a fresh folder');
  if (cgroup) writeFileSync(join(runDir, 'cgroup'), `${cgroup}\n`, { mode: 0o600 });
  const since = birth();
  const child = spawn('/bin/sh', [SHIM, runDir, resolve(stdin), ...argv], {
    cwd,
    env: { ...env, [SHIM_MARK]: bootId() },
    detached: true,
    stdio: 'ignore',
  });
  let gone = false;
  const left = new Promise<void>((done, reject) => {
    child.once('exit', () => done());
    child.once('error', reject);
  });
  const { pid } = child;
  if (pid === undefined) {
    const thrown: unknown = await left.catch((error: unknown) => error);
    const why = errno(thrown) === 'ENOENT' ? `no folder ${cwd}` : messageOf(thrown);
    throw new TowpathError('agent', `cannot start ${argv[0]}: ${why}`);
  }
  child.unref();
  const exited = left.then(() => {
    gone = true;
    children.delete(runDir);
  });
  children.set(runDir, exited);
  const shim: Identity = { ...self(), pid, started: startedAt(pid) ?? 'gone' };
  let found = readPid(runDir);
  while (!found && !gone) {
    await sleep(1);
    found = readPid(runDir);
  }
  return { shim, agent: found?.agent, since, exited };
}

export interface Watched {
  runDir: string;
  agent?: Identity | undefined;
  shim?: Identity | undefined;
  /** Called at each look, every 250 ms at first and every second later. */
  onTick?: (() => void) | undefined;
}

/**
 * Waits for the end of a run that this or an earlier daemon started. `lost`: nobody lives and no exit code was kept,
 * because the machine stopped or the shim was killed (then the program is waited for all the same).
 */
export async function waitForExit({ runDir: folder, agent, shim, onTick }: Watched): Promise<Exit & { lost: boolean }> {
  const runDir = resolve(folder);
  const own = children.get(runDir);
  let wake = () => {};
  const watcher = own ? undefined : watchFolder(runDir, () => wake());
  try {
    for (let delay = 250; ; delay = Math.min(delay * 1.25, 1000)) {
      const alive = [shim, agent].some((who) => who && isAlive(who));
      // Looked at in this order, because the exit is written before the shim leaves.
      const exit = tryReadExit(runDir);
      if (exit) return { ...exit, lost: false };
      if (exit === null && !alive && !children.has(runDir)) return { code: null, signal: null, lost: true };
      onTick?.();
      await new Promise<void>((done) => {
        const timer = setTimeout(done, delay);
        wake = () => {
          clearTimeout(timer);
          done();
        };
        if (children.has(runDir)) void own?.then(wake);
      });
    }
  } finally {
    watcher?.close();
  }
}

/** Undefined when it cannot be told now: no file descriptor left, a disk that does not answer. */
function tryReadExit(runDir: string): Exit | null | undefined {
  try {
    return readExit(runDir);
  } catch {
    return undefined;
  }
}

/** A hint only: without watches left (or on a file system that has none) the clock alone serves. */
function watchFolder(dir: string, onExit: () => void): FSWatcher | undefined {
  try {
    const watcher = watch(dir, (_, name) => (name === 'exit' || name === null) && onExit());
    return watcher.on('error', () => watcher.close());
  } catch {
    return undefined;
  }
}

/** How the program of a run ended; null while it runs, or when nobody was left to write it down. */
export function readExit(runDir: string): Exit | null {
  const text = read(join(runDir, 'exit'));
  const found = /^\{"(code|signal)":(\d+)\}\n$/.exec(text);
  if (!found) return null;
  const number = Number(found[2]);
  return found[1] === 'code'
    ? { code: number, signal: null }
    : { code: null, signal: SIGNALS.get(number) ?? `SIG${number}` };
}

/**
 * Who was started in this folder, from what the shim wrote down: for a daemon that died before it could note it
 * elsewhere. `shim` is undefined when it has left; `agent` may be dead too: ask `isAlive`. Undefined: nothing began.
 */
export function readPid(runDir: string): { agent: Identity; shim: Identity | undefined } | undefined {
  const found = /^(\d+) (\d+|-) (\S+) (\d+)\n$/.exec(read(join(runDir, 'pid')));
  if (!found) return undefined;
  const [, pid, ticks, boot_id, parent] = found as unknown as [string, string, string, string, string];
  if (ticks === '-') {
    const agent = identify(Number(pid));
    return agent && { agent, shim: identify(Number(parent)) };
  }
  const agent = { host: hostname(), boot_id, pid: Number(pid), started: ticks };
  const shim = identify(Number(parent));
  // A pid can be used again only after its owner died, and the shim was there before the program.
  const same = shim?.boot_id === boot_id && Number(shim.started) <= Number(ticks);
  return { agent, shim: same ? shim : undefined };
}

/** The cgroup that the program of a run was started in, by whatever daemon. */
export const readCgroup = (runDir: string): string | undefined => read(join(runDir, 'cgroup')).trim() || undefined;

function read(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (thrown) {
    if (errno(thrown) === 'ENOENT' || errno(thrown) === 'ENOTDIR') return '';
    throw thrown;
  }
}
