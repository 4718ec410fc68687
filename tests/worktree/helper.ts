// Real repositories in temporary folders for the worktree tests.
import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  realpathSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, expect } from 'vitest';
import { GitProblem, type GitProblemKind } from '../../daemon/worktree/problem.ts';
import { type Prepared, prepareWorktree, type WorktreeRequest } from '../../daemon/worktree/worktree.ts';

const made: string[] = [];
afterAll(() => {
  for (const dir of made.splice(0)) rmSync(dir, { recursive: true, force: true });
});

export function folder(): string {
  const dir = realpathSync(mkdtempSync(join(tmpdir(), 'towpath-wt-')));
  made.push(dir);
  return dir;
}

/** git as a user or an agent would run it. */
export function sh(dir: string, ...args: string[]): string {
  const identity = ['-c', 'user.name=u', '-c', 'user.email=u@example.org', '-c', 'protocol.file.allow=always'];
  const env = { PATH: process.env['PATH'], HOME: '/nonexistent', LC_ALL: 'C', GIT_EDITOR: 'true' };
  return execFileSync('git', [...identity, ...args], { cwd: dir, env, encoding: 'utf8', stdio: 'pipe' }).trimEnd();
}

export function write(dir: string, files: Record<string, string>): void {
  for (const [name, text] of Object.entries(files)) {
    mkdirSync(dirname(join(dir, name)), { recursive: true });
    writeFileSync(join(dir, name), text);
  }
}

export function commit(dir: string, files: Record<string, string>, message = 'work'): string {
  write(dir, files);
  sh(dir, 'add', '-A');
  sh(dir, 'commit', '-q', '-m', message);
  return sh(dir, 'rev-parse', 'HEAD');
}

/** A repository on branch main with one commit. */
export function repository(files: Record<string, string> = { 'a.txt': 'one\n', 'b.txt': 'two\n' }): string {
  const dir = join(folder(), 'repo');
  mkdirSync(dir);
  sh(dir, 'init', '-q', '-b', 'main');
  commit(dir, files, 'first');
  return dir;
}

export function hook(dir: string, name: string, script: string): void {
  const file = join(dir, '.git/hooks', name);
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, `#!/bin/sh\n${script}\n`);
  chmodSync(file, 0o755);
}

/** prepareWorktree for the task `id` with the usual places. */
export function prepare(repo: string, id: string, more: Partial<WorktreeRequest> = {}): Promise<Prepared> {
  const dir = join(repo, '.worktrees', `task-${id}`);
  return prepareWorktree({ repo, dir, branch: `towpath/${id}`, ours: false, dependencies: [], ...more });
}

export async function problem(promise: Promise<unknown>, kind: GitProblemKind): Promise<GitProblem> {
  const thrown = await promise.then(
    () => null,
    (error: unknown) => error,
  );
  expect(thrown).toBeInstanceOf(GitProblem);
  expect((thrown as GitProblem).line).not.toContain('\n');
  expect((thrown as GitProblem).kind).toBe(kind);
  return thrown as GitProblem;
}

export const read = (...parts: string[]): string => readFileSync(join(...parts), 'utf8');
export const has = (...parts: string[]): boolean => existsSync(join(...parts));
export const author = { name: 'claude', email: 'claude@towpath.invalid' };
