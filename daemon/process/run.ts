// Runs a short program of the user's (hook, check, probe) to its end: bounded in time and output, nothing left behind.
import type { ChildProcessByStdio } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { statSync } from 'node:fs';
import type { Readable, Writable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { messageOf } from '../errors.ts';
import { ownerEnv } from '../owner.ts';
import { joinCgroup, makeCgroup, removeCgroup } from './cgroup.ts';
import { endTree } from './end.ts';
import { type Identity, identify } from './identity.ts';
import { Splitter, whole } from './lines.ts';
import { birth, MARKER, type Target } from './tree.ts';

export interface RunOptions {
  argv: readonly string[];
  cwd: string;
  /** The whole environment. A TOWPATH_RUN in it gets a segment of its own for this run, so that it is swept alone. */
  env: Readonly<Record<string, string>>;
  /** For stdin, which is /dev/null without it. A program that does not read it is no error. */
  input?: string | undefined;
  timeout_ms: number;
  /** Bytes that are kept of each stream, head and tail alike; default 1 MiB. */
  maxOutput?: number | undefined;
  /** Each line as it comes; a line of more than 64 KiB is cut. */
  onLine?: ((text: string, stream: 'stdout' | 'stderr') => void) | undefined;
  signal?: AbortSignal | undefined;
  /** Between SIGTERM and SIGKILL at a time-out, ms; default 5000. */
  grace_ms?: number | undefined;
}

/** `code` is null after a signal, and when the program never started. */
export interface RunResult {
  code: number | null;
  signal: NodeJS.Signals | null;
  stdout: string;
  stderr: string;
  timedOut: boolean;
  /** Ended by `signal` of the options. */
  aborted: boolean;
  duration_ms: number;
  /** Pids that it left behind and that could not be ended. */
  left: number[];
  /** Why it could not be started, on one line. */
  spawnError?: string;
}

/** After the program's end this long for the rest of its output; then whoever still holds the pipe is ended, ms. */
const DRAIN_MS = 1000;
const LINE_BYTES = 64 * 1024;

/** How the programs that run are called off, and whether that was done. */
const running = new Map<symbol, () => Promise<unknown>>();
let abandoned = false;
const never = new Promise<never>(() => {});

/**
 * For a process that is about to leave: ends every program that runs. Whoever waits for one waits for ever, so that a
 * program that was called off is not taken for one that failed; from now on none is started.
 */
export async function endPrograms(): Promise<void> {
  abandoned = true;
  await Promise.all([...running.values()].map((end) => end()));
}

/** Never rejects. The program leads a session of its own; what it leaves running is ended with it. */
export async function run(options: RunOptions): Promise<RunResult> {
  const { argv, cwd, input, timeout_ms, maxOutput = 1024 * 1024, onLine, signal: abort, grace_ms } = options;
  const begun = performance.now();
  const marker = `${options.env[MARKER] ?? `towpath/${process.pid}`}/${randomBytes(6).toString('hex')}`;
  const nothing = { code: null, signal: null, stdout: '', stderr: '', timedOut: false, duration_ms: 0, left: [] };
  if (abandoned) return never;
  if (abort?.aborted) return { ...nothing, aborted: true };

  const since = birth();
  const child = await start(argv, cwd, { ...options.env, ...ownerEnv(), [MARKER]: marker }, input !== undefined);
  if (typeof child === 'string')
    return { ...nothing, aborted: false, duration_ms: performance.now() - begun, spawnError: child };
  const target: Target = { root: rootOf(child), marker, since };
  // The kernel takes some 15 ms for it, which a short hook need not wait for. Who forks before that and leaves every
  // other trace behind as well escapes; a program under the shim cannot.
  const cgroup = makeCgroup(marker);
  const joined = cgroup === null ? null : joinCgroup(cgroup, child.pid!).then(() => Object.assign(target, { cgroup }));
  const key = Symbol();
  running.set(key, () => endTree(target, { grace_ms: DRAIN_MS }));
  const exited = new Promise<[number | null, NodeJS.Signals | null]>((resolve) => {
    child.once('exit', (code, signal) => resolve([code, signal]));
  });
  const stdout = capture(child.stdout, maxOutput, onLine && ((text) => onLine(text, 'stdout')));
  const stderr = capture(child.stderr, maxOutput, onLine && ((text) => onLine(text, 'stderr')));
  // EPIPE: it did not read its stdin, which is its own business.
  child.stdin?.on('error', () => {});
  child.stdin?.end(input);

  let why: 'timedOut' | 'aborted' | undefined;
  const stop = (reason: 'timedOut' | 'aborted') => {
    why ??= reason;
    void endTree(target, grace_ms === undefined ? {} : { grace_ms });
  };
  const timer = setTimeout(stop, timeout_ms, 'timedOut');
  const onAbort = () => stop('aborted');
  abort?.addEventListener('abort', onAbort, { once: true });
  const [code, signal] = await exited;
  clearTimeout(timer);
  abort?.removeEventListener('abort', onAbort);

  const drained = Promise.all([stdout.ended, stderr.ended]);
  await within(drained, DRAIN_MS);
  const { left } = await endTree(target, { grace_ms: DRAIN_MS });
  await within(drained, DRAIN_MS);
  void joined?.then(() => removeCgroup(cgroup!));
  child.stdout.destroy();
  child.stderr.destroy();
  running.delete(key);
  if (abandoned) return never;
  return {
    code,
    signal,
    stdout: stdout.text(),
    stderr: stderr.text(),
    timedOut: why === 'timedOut',
    aborted: why === 'aborted',
    duration_ms: performance.now() - begun,
    left,
  };
}

/** The child, or why there is none. */
async function start(
  argv: readonly string[],
  cwd: string,
  env: Record<string, string>,
  hasInput: boolean,
): Promise<ChildProcessByStdio<Writable | null, Readable, Readable> | string> {
  // Loaded by the first program: a daemon that runs none stays small.
  const { execa } = await import('execa');
  for (let tries = 0; ; tries += 1) {
    const started = execa(argv[0] ?? '', argv.slice(1), {
      cwd,
      env,
      extendEnv: false,
      stdin: hasInput ? 'pipe' : 'ignore',
      stdout: 'pipe',
      stderr: 'pipe',
      buffer: false,
      reject: false,
      // A session of its own; execa's own ways of ending reach the direct child alone, ours do not need them.
      detached: true,
      cleanup: false,
    });
    if (started.pid !== undefined) {
      // It settles once the pipes are closed, which a grandchild may put off: we listen to the process instead.
      void started.then(
        () => {},
        () => {},
      );
      // Node's own object: execa's is a promise as well, and would be awaited here.
      return started.nodeChildProcess as ChildProcessByStdio<Writable | null, Readable, Readable>;
    }
    const failure = await started;
    // A script that is being saved right now is busy for a moment.
    if (failure.code === 'ETXTBSY' && tries < 10) await sleep(20);
    else return `cannot start ${argv[0] ?? 'nothing'}: ${whyNot(failure, cwd)}`;
  }
}

/** The marker alone serves where the start time cannot be read. */
function rootOf({ pid }: { pid?: number | undefined }): Identity | undefined {
  try {
    return pid === undefined ? undefined : identify(pid);
  } catch {
    return undefined;
  }
}

function whyNot(failure: { code?: string | undefined; originalMessage?: string | undefined }, cwd: string): string {
  if (!statSync(cwd, { throwIfNoEntry: false })?.isDirectory()) return `no folder ${cwd}`;
  if (failure.code === 'ENOENT') return 'not found (or what its first line names is not)';
  if (failure.code === 'EACCES') return 'not an executable file';
  return messageOf(failure.originalMessage);
}

interface Captured {
  ended: Promise<void>;
  text(): string;
}

/** Keeps the first and the last `limit / 2` bytes of a stream, and tells its lines. */
function capture(stream: NodeJS.ReadableStream, limit: number, onLine: ((text: string) => void) | undefined): Captured {
  const half = Math.ceil(limit / 2);
  const head: Buffer[] = [];
  let headBytes = 0;
  let tail: Buffer[] = [];
  let tailBytes = 0;
  let left = 0;
  const splitter = onLine && new Splitter(onLine, LINE_BYTES);
  const trim = () => {
    const all = Buffer.concat(tail);
    const cut = Math.max(0, all.length - half);
    tail = [Buffer.from(all.subarray(cut))];
    left += cut;
    tailBytes = all.length - cut;
  };
  stream.on('data', (chunk: Buffer) => {
    splitter?.feed(chunk);
    const room = half - headBytes;
    const first = chunk.subarray(0, room);
    if (first.length > 0) head.push(first);
    headBytes += first.length;
    if (chunk.length === first.length) return;
    tail.push(chunk.subarray(first.length));
    tailBytes += chunk.length - first.length;
    if (tailBytes > half * 2 + LINE_BYTES) trim();
  });
  const ended = new Promise<void>((resolve) => {
    stream.once('error', () => resolve());
    stream.once('close', () => resolve());
    stream.once('end', () => {
      splitter?.flush();
      resolve();
    });
  });
  return {
    ended,
    text: () => {
      trim();
      if (left === 0) return Buffer.concat([...head, ...tail]).toString('utf8');
      const start = whole(Buffer.concat(head), true);
      return `${start}\n[… ${left} bytes left out …]\n${tail[0]!.toString('utf8').replace(/^\uFFFD+/, '')}`;
    },
  };
}

async function within(promise: Promise<unknown>, ms: number): Promise<void> {
  const timer = new AbortController();
  await Promise.race([promise, sleep(ms, undefined, { signal: timer.signal }).catch(() => {})]);
  timer.abort();
}
