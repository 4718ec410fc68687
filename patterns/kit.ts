// What the shipped patterns share: the call on stdin, the files that git knows, writing below the worktree, the result on the last line.
import { execFileSync } from 'node:child_process';
import { existsSync, lstatSync, mkdirSync, readFileSync, realpathSync, writeFileSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';

export interface Call<Inputs> {
  inputs: Inputs;
  workspace: string;
  repo: string;
  worktree: string;
  branch: string | null;
  /** Only shown: the worktree is thrown away afterwards, and nothing outside it may be changed. */
  dry_run: boolean;
}

export interface Result {
  output: string;
  outputs: Record<string, unknown>;
}

/** Larger files are read by nobody here: they are data. */
const MAX_BYTES = 1024 * 1024;

/** Runs a pattern: reads the call, prints the result. What it throws is the reason why it failed. */
export async function main<Inputs>(work: (call: Call<Inputs>) => Result | Promise<Result>): Promise<void> {
  try {
    const call = JSON.parse(readFileSync(0, 'utf8')) as Call<Inputs>;
    process.chdir(call.worktree);
    const { output, outputs } = await work(call);
    console.log(JSON.stringify({ success: true, output, outputs }));
  } catch (thrown) {
    console.error(thrown instanceof Error ? thrown.message : String(thrown));
    process.exitCode = 1;
  }
}

export const say = (text: string): void => console.log(text.startsWith('{') ? ` ${text}` : text);

export const git = (dir: string, ...args: string[]): string =>
  execFileSync('git', args, {
    cwd: dir,
    encoding: 'utf8',
    maxBuffer: 256 * 1024 * 1024,
    stdio: ['ignore', 'pipe', 'pipe'],
  });

/** The entries of a list that git ends with NUL. */
export const entries = (text: string): string[] => text.split('\0').filter(Boolean);

/** Regular files of the worktree that are tracked, or new and not ignored; sorted. */
export function files(): string[] {
  const all = entries(git('.', 'ls-files', '-z', '--cached', '--others', '--exclude-standard'));
  return [...new Set(all)].filter((path) => lstatSync(path, { throwIfNoEntry: false })?.isFile()).sort();
}

/** A file's text; null for one that is missing, binary or very large. */
export function text(path: string): string | null {
  const stat = lstatSync(path, { throwIfNoEntry: false });
  if (!stat?.isFile() || stat.size > MAX_BYTES) return null;
  const bytes = readFileSync(path);
  if (bytes.subarray(0, 8000).includes(0)) return null;
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    return null;
  }
}

/** A JSON file, or null. */
export function json(path: string): Record<string, unknown> | null {
  try {
    const value: unknown = JSON.parse(text(path) ?? '');
    return typeof value === 'object' && value !== null && !Array.isArray(value)
      ? (value as Record<string, unknown>)
      : null;
  } catch {
    return null;
  }
}

/** A path of the user's, relative to the worktree. Throws when it leads out of it, also through a link. */
export function inside(path: string): string {
  const root = realpathSync('.');
  const full = resolve(root, path);
  let there = full;
  while (!existsSync(there)) there = dirname(there);
  for (const at of [relative(root, full), relative(root, realpathSync(there))])
    if (at.startsWith('..') || at.split('/')[0] === '.git') throw new Error(`${path}: lies outside the worktree`);
  if (lstatSync(full, { throwIfNoEntry: false })?.isSymbolicLink()) throw new Error(`${path}: is a link`);
  return relative(root, full);
}

/** Writes a file, when it would be another; says whether it did. */
export function write(path: string, content: string): boolean {
  const to = inside(path);
  if (text(to) === content) return false;
  mkdirSync(dirname(join('.', to)), { recursive: true });
  writeFileSync(to, content);
  return true;
}

/** The key with the highest count; the first of equals; undefined when there is none. */
export function most<T extends string>(all: readonly T[]): T | undefined {
  const counts = new Map<T, number>();
  for (const one of all) counts.set(one, (counts.get(one) ?? 0) + 1);
  return [...counts].sort((a, b) => b[1] - a[1])[0]?.[0];
}

export type Language = 'typescript' | 'javascript' | 'python';
const SOURCES: Record<Language, RegExp> = {
  typescript: /(?<!\.d)\.[cm]?tsx?$/,
  javascript: /\.[cm]?jsx?$/,
  python: /\.py$/,
};

/** What a repository is mainly written in, by its files; null when it is none of ours. */
export function languageOf(all: readonly string[]): Language | null {
  const names = Object.keys(SOURCES) as Language[];
  const found = most(
    all.flatMap((path) => names.filter((name) => SOURCES[name].test(path) && !/config\.[cm]?[jt]s$/.test(path))),
  );
  if (found) return found;
  if (all.includes('tsconfig.json')) return 'typescript';
  if (all.includes('package.json')) return 'javascript';
  return all.includes('pyproject.toml') || all.includes('setup.py') ? 'python' : null;
}

/** All packages that a package.json names. */
export function packages(manifest: Record<string, unknown> | null): Set<string> {
  const keys = ['dependencies', 'devDependencies', 'peerDependencies', 'optionalDependencies'];
  return new Set(keys.flatMap((key) => Object.keys((manifest?.[key] as object | undefined) ?? {})));
}
