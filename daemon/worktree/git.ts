// Runs git: raw argv through simple-git in a clean environment that cannot prompt, page, edit or run the repository's hooks.
import { AsyncLocalStorage } from 'node:async_hooks';
import { realpathSync } from 'node:fs';
import { simpleGit } from 'simple-git';
import { messageOf } from '../errors.ts';
import { ownerEnv } from '../owner.ts';
import { GitProblem } from './problem.ts';

export { GitProblem, type GitProblemKind } from './problem.ts';

/** How one git command ended. `cut`: its output was longer than `maxBytes`, so git was stopped. */
export interface GitResult {
  code: number;
  stdout: string;
  stderr: string;
  bytes: Buffer;
  cut: boolean;
}

export interface GitOptions {
  /** More environment: `GIT_INDEX_FILE`, `GIT_AUTHOR_*`. Every key is let through. */
  env?: Record<string, string>;
  /** More `-c key=value`. */
  config?: string[];
  /** Written to stdin, which is closed afterwards; must not be empty. */
  input?: string | Buffer;
  /** Stop after so long without output. */
  timeoutMs?: number;
  maxBytes?: number;
}

export interface Git {
  readonly dir: string;
  /** stdout of a command that must succeed; throws `git_failed` with git's own last words. */
  run(args: string[], options?: GitOptions): Promise<string>;
  /** The result, whatever the exit code; throws only when git could not be started. */
  attempt(args: string[], options?: GitOptions): Promise<GitResult>;
  /** stdout without its last line end, or null when the command failed: for questions such as `rev-parse --verify -q`. */
  ask(args: string[], options?: GitOptions): Promise<string | null>;
  /** Whether the exit code is 0. */
  test(args: string[], options?: GitOptions): Promise<boolean>;
}

/** Who commits. The author is the agent's, given by each commit. */
export const COMMITTER = { name: 'towpath', email: 'towpath@localhost' };

// Names that the user's own transport and configuration need; all else of the daemon's environment stays out, above all GIT_*.
const PASSED = ['PATH', 'HOME', 'USER', 'TMPDIR', 'XDG_CONFIG_HOME', 'SSH_AUTH_SOCK', 'SYSTEMROOT'];
// Where a company's own certificates are.
const CERTIFICATES = ['GIT_SSL_CAINFO', 'GIT_SSL_CAPATH', 'SSL_CERT_FILE', 'SSL_CERT_DIR'];
const PROXIES = ['http_proxy', 'https_proxy', 'no_proxy', 'HTTPS_PROXY', 'NO_PROXY', 'ALL_PROXY', 'all_proxy'];

const FIXED = {
  LANG: 'C',
  LC_ALL: 'C',
  GIT_TERMINAL_PROMPT: '0',
  // A program that fails is how ssh and git learn that nobody can answer: without it ssh opens /dev/tty.
  GIT_ASKPASS: 'false',
  SSH_ASKPASS: 'false',
  SSH_ASKPASS_REQUIRE: 'force',
  GIT_EDITOR: 'true',
  GIT_SEQUENCE_EDITOR: 'true',
  GIT_OPTIONAL_LOCKS: '0',
  GIT_AUTHOR_NAME: COMMITTER.name,
  GIT_AUTHOR_EMAIL: COMMITTER.email,
  GIT_COMMITTER_NAME: COMMITTER.name,
  GIT_COMMITTER_EMAIL: COMMITTER.email,
};

const CONFIG = [
  'core.hooksPath=/dev/null',
  'core.fsmonitor=false',
  'commit.gpgsign=false',
  'push.gpgSign=false',
  'submodule.recurse=false',
  // A background gc would keep our pipes open; safecrlf=true would refuse an agent's line ends.
  'gc.auto=0',
  'maintenance.auto=false',
  'core.safecrlf=false',
  // Git's own defaults, and refs: an empty one after a power cut breaks the repository. Objects are synced in keep.ts.
  'core.fsync=committed,-loose-object,reference',
];

const UNSAFE = {
  allowUnsafeHooksPath: true,
  allowUnsafeFsMonitor: true,
  allowUnsafeEditor: true,
  allowUnsafeAskPass: true,
  allowUnsafeProtocolOverride: true,
  allowUnsafeSubmodule: true,
};

/** What git sees, with more. */
export function environment(more: Record<string, string>): Record<string, string> {
  const env: Record<string, string> = {};
  for (const name of [...PASSED, ...CERTIFICATES, ...PROXIES]) {
    const value = process.env[name];
    if (value !== undefined) env[name] = value;
  }
  return { ...env, ...FIXED, ...ownerEnv(), ...more };
}

/** Git with its settings, for who does not start it here. */
export const argvOf = (args: string[], config: string[] = []): string[] => [
  'git',
  ...[...CONFIG, ...config].flatMap((one) => ['-c', one]),
  ...args,
];

async function attempt(dir: string, args: string[], options: GitOptions): Promise<GitResult> {
  const env = environment(options.env ?? {});
  const stop = new AbortController();
  let seen: { exitCode: number; stdOut: Buffer[]; stdErr: Buffer[] } | undefined;
  let failed: unknown;
  let size = 0;
  try {
    const runner = simpleGit({
      baseDir: dir,
      config: [...CONFIG, ...(options.config ?? [])],
      unsafe: UNSAFE,
      allowEnvironment: Object.keys(env),
      abort: stop.signal,
      // Waiting for the exit alone can lose the end of the output; a command that was killed may leave a child with our pipe.
      completion: { onClose: true, onExit: options.timeoutMs ? 2000 : 5000 },
      timeout: { block: options.timeoutMs ?? 900_000 },
      ...(options.input !== undefined && { input: () => options.input }),
      // simple-git takes a failure without stderr (merge conflicts, `diff --quiet`) for success: keep the code, judge it here.
      errors: (error, result) => {
        seen = result;
        if (result.exitCode === 0 && error) failed = error;
        return undefined;
      },
    });
    runner.env(env).outputHandler((_command, stdout) => {
      stdout.on('data', (chunk: Buffer) => {
        size += chunk.length;
        if (options.maxBytes !== undefined && size > options.maxBytes) stop.abort();
      });
      // simple-git adds 50 ms to a command that printed nothing; we wait for close, so nothing can come late.
      queueMicrotask(() => stdout.emit('data', Buffer.alloc(0)));
    });
    await runner.raw(args);
  } catch (error) {
    failed = error;
  }
  if (!seen) throw new GitProblem('git_failed', `git ${args[0]} in ${dir} could not run: ${messageOf(failed)}`);
  const bytes = Buffer.concat(seen.stdOut);
  const stderr = Buffer.concat(seen.stdErr).toString('utf8');
  // A negative code is a spawn error: simple-git has put its stack into stderr.
  if (seen.exitCode < 0 && stderr.includes('ENOENT'))
    throw new GitProblem('git_failed', 'git was not found on the PATH', 'install git');
  const cut = options.maxBytes !== undefined && size > options.maxBytes;
  return { code: failed && !cut ? -1 : (seen.exitCode ?? -1), stdout: bytes.toString('utf8'), stderr, bytes, cut };
}

/** Git in one folder; paths and names that come from outside must follow `--` or be full refs. */
export function git(dir: string): Git {
  const self: Git = {
    dir,
    attempt: (args, options = {}) => attempt(dir, args, options),
    async run(args, options) {
      const result = await self.attempt(args, options);
      if (result.code !== 0 && !result.cut) throw failure(dir, args, result);
      return result.stdout;
    },
    async ask(args, options) {
      const result = await self.attempt(args, options);
      return result.code === 0 ? result.stdout.replace(/\n$/, '') : null;
    },
    async test(args, options) {
      return (await self.attempt(args, options)).code === 0;
    },
  };
  return self;
}

/** How git says that the disk is full; it has one exit code for everything, and of a checkout it names the file alone. */
const FULL = /No space left on device|Out of diskspace|Disk quota exceeded|^error: unable to write file /m;
/** Somebody else's git is at work; what it says after that is good advice. */
const LOCKED = /^fatal: (Unable to create '[^'\n]+\.lock': File exists)\./m;

/** The error for a git command that failed: its name, its place, what git said. */
export function failure(dir: string, args: string[], result: GitResult): GitProblem {
  const said = (result.stderr.trim() || result.stdout.trim() || 'no message').split('\n').slice(-4).join(' ');
  if (result.code < 0)
    return new GitProblem('busy', `git ${args[0]} was killed in ${dir}: ${said}`, 'it is tried again');
  const locked = LOCKED.exec(result.stderr)?.[1];
  if (locked) return new GitProblem('busy', `git ${args[0]} failed in ${dir}: ${locked}`, 'it is tried again');
  if (FULL.test(result.stderr))
    return new GitProblem('busy', `git ${args[0]} found no room in ${dir}: ${said}`, 'it is tried again');
  return new GitProblem('git_failed', `git ${args[0]} failed in ${dir} (exit ${result.code}): ${said}`);
}

/** The items of `-z` output. */
export function items(text: string): string[] {
  return text.split('\0').filter((item) => item !== '');
}

const tails = new Map<string, Promise<unknown>>();
const held = new AsyncLocalStorage<string>();

/** Runs fn when no other writer of this process works on the repository; inside itself it may be called again. */
export async function exclusive<T>(repoCommonDir: string, fn: () => Promise<T>): Promise<T> {
  const key = realpathSync(repoCommonDir);
  if (held.getStore() === key) return fn();
  const before = tails.get(key) ?? Promise.resolve();
  const mine = before.then(() => held.run(key, fn));
  const tail = mine.catch(() => {});
  tails.set(key, tail);
  try {
    return await mine;
  } finally {
    if (tails.get(key) === tail) tails.delete(key);
  }
}
