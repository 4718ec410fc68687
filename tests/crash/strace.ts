// The sweep below Node: strace kills the daemon's main thread at its Nth system call of a kind, SQLite's and libuv's own calls included.
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import type { Case, Stage } from './sweep.ts';

/** System calls that change what others see. */
const STATE_CALLS = [
  ...['rename', 'renameat', 'renameat2', 'link', 'linkat', 'unlink', 'unlinkat', 'symlink', 'symlinkat'],
  ...['mkdir', 'mkdirat', 'rmdir', 'fsync', 'fdatasync', 'ftruncate', 'chmod', 'fchmod', 'fchmodat', 'utimensat'],
  ...['write', 'writev', 'pwrite64', 'pwritev', 'openat', 'clone', 'clone3', 'fork', 'vfork', 'kill', 'bind', 'fcntl'],
];

const works = (...args: string[]) => spawnSync('strace', ['-qq', '-o', '/dev/null', ...args, 'true']).status === 0;
export const hasStrace = (): boolean => process.platform === 'linux' && works();

/** Without -f: neither the daemon's children are followed nor its worker threads, which change nothing (it reads and writes in its main thread). */
export const straceArgs = (call: string, n: string): string[] => [
  ...['strace', '-qq', '-o', '/dev/null', '-e', `trace=${call}`],
  ...['-e', `inject=${call}:signal=KILL:when=${n}`],
];

/** The kills that an undisturbed `start --drain` offers, by system call. */
export async function systemCalls(stage: Stage): Promise<Case[]> {
  const log = join(stage.world.base, 'strace');
  // Not every machine has every call.
  const known = STATE_CALLS.filter((name) => works('-e', `trace=${name}`)).join(',');
  stage.reset();
  await stage.world.drain({ under: ['strace', '-qq', '-e', `trace=${known}`, '-e', 'signal=none', '-o', log] });
  const seen = new Map<string, number>();
  const cases = (existsSync(log) ? readFileSync(log, 'utf8') : '').split('\n').flatMap((line): Case[] => {
    const name = /^(\w+)\(/.exec(line)?.[1];
    if (!name) return [];
    const n = (seen.get(name) ?? 0) + 1;
    seen.set(name, n);
    return changes(name, line) ? [{ scenario: stage.scenario.name, kills: [`sys ${name} ${n}`] }] : [];
  });
  rmSync(log, { force: true });
  return cases;
}

/** Whether a call changes anything outside of the daemon. */
function changes(name: string, line: string): boolean {
  if (name === 'openat')
    return /O_(CREAT|TRUNC|RDWR|WRONLY)/.test(line) && !/"\/(dev|proc|sys)\//.test(line.replace('/dev/shm', ''));
  // Locks alone: what SQLite holds a database with.
  if (name === 'fcntl') return /F_(OFD_)?SETLK/.test(line);
  // Wake-ups among the daemon's own threads.
  if (name === 'write') return !/^write\(\d+, "(\\\d+)+", 8\)/.test(line);
  return true;
}
