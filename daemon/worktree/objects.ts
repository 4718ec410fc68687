// Trees and commits made without touching a work tree: temporary indexes, commit objects, merges of trees.
import { randomBytes } from 'node:crypto';
import { copyFileSync, existsSync, mkdtempSync, readdirSync, rmSync, statSync, utimesSync } from 'node:fs';
import { join } from 'node:path';
import { errno } from '../errors.ts';
import { type Git, git, items } from './git.ts';
import { GitProblem, nameFiles } from './problem.ts';
import { gitDirOf } from './repo.ts';

/** A pid may be ours again after a restart: this tells one process from the next. */
const NONCE = randomBytes(4).toString('hex');
const PREFIX = 'towpath-index-';

/** Removes the temporary indexes of processes that were killed. */
function sweepIndexes(gitDir: string): void {
  for (const name of readdirSync(gitDir)) {
    if (!name.startsWith(PREFIX)) continue;
    const [pid, nonce] = name.slice(PREFIX.length).split('-');
    if (nonce !== NONCE && (Number(pid) === process.pid || !isThere(Number(pid))))
      rmSync(join(gitDir, name), { recursive: true, force: true });
  }
}

function isThere(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch (thrown) {
    return errno(thrown) !== 'ESRCH';
  }
}

/** Calls fn with the environment of a temporary index: a copy of the tree's own (it knows what is unchanged), or an empty one. */
export async function withIndex<T>(
  tree: string,
  from: 'copy' | 'empty',
  fn: (env: Record<string, string>) => Promise<T>,
): Promise<T> {
  const gitDir = await gitDirOf(tree);
  sweepIndexes(gitDir);
  const dir = mkdtempSync(join(gitDir, `${PREFIX}${process.pid}-${NONCE}-`));
  try {
    const index = join(dir, 'index');
    const own = join(gitDir, 'index');
    if (from === 'copy' && existsSync(own)) {
      copyFileSync(own, index);
      // Git looks again into files that are as young as their index: a younger copy would hide a change of the same second.
      const written = Math.floor(statSync(own).mtimeMs / 1000);
      utimesSync(index, written, written);
    }
    return await fn({ GIT_INDEX_FILE: index });
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
}

/** A commit object of a tree; returns its id. `env` may name an author. */
export async function commitTree(
  run: Git,
  tree: string,
  parents: string[],
  message: string,
  env: Record<string, string> = {},
): Promise<string> {
  const args = ['commit-tree', tree, ...parents.flatMap((parent) => ['-p', parent]), '-F', '-'];
  return (await run.run(args, { input: `${message.trim() || 'no message'}\n`, env })).trim();
}

/** The tree of a commit or tree-ish. */
export async function treeOf(run: Git, sha: string): Promise<string> {
  return (await run.run(['rev-parse', '--verify', `${sha}^{tree}`])).trim();
}

/** One path on two sides; a side where it is absent is null. */
export interface Entry {
  path: string;
  from: { mode: string; sha: string } | null;
  to: { mode: string; sha: string } | null;
}

/** What differs between two trees, a renamed file as its removal and its addition. */
export async function entries(run: Git, from: string, to: string): Promise<Entry[]> {
  const parts = items(await run.run(['diff-tree', '-r', '-z', '--raw', '--no-abbrev', '--no-renames', from, to]));
  const found: Entry[] = [];
  for (let i = 0; i + 1 < parts.length; i += 2) {
    const [mode1 = '', mode2 = '', sha1 = '', sha2 = ''] = parts[i]!.slice(1).split(' ');
    const side = (mode: string, sha: string) => (mode === '000000' ? null : { mode, sha });
    found.push({ path: parts[i + 1]!, from: side(mode1, sha1), to: side(mode2, sha2) });
  }
  return found;
}

/** The options by which git writes a difference that it can apply again to the byte, whatever the user has set. */
export const AS_PATCH = [
  ...['-p', '--binary', '--full-index', '--no-renames', '--no-ext-diff', '--no-textconv'],
  ...['--src-prefix=a/', '--dst-prefix=b/'],
];

/** The tree of `onto` with the changes of a commit (against its parent) merged in. Throws `conflict` with the files. */
export async function mergedTree(root: string, onto: string, commit: string): Promise<string> {
  const run = git(root);
  const patch = (await run.attempt(['diff-tree', ...AS_PATCH, `${commit}^`, commit])).bytes;
  if (patch.length === 0) return treeOf(run, onto);
  return withIndex(root, 'empty', async (env) => {
    await run.run(['read-tree', onto], { env });
    const applied = await run.attempt(['apply', '--3way', '--cached', '--whitespace=nowarn', '-'], {
      env,
      input: patch,
    });
    if (applied.code === 0) return (await run.run(['write-tree'], { env })).trim();
    const lines = items(await run.run(['ls-files', '-u', '-z'], { env }));
    const unmerged = [...new Set(lines.map((line) => line.slice(line.indexOf('\t') + 1)))];
    const files = unmerged.length > 0 ? unmerged : (await entries(run, `${commit}^`, commit)).map(({ path }) => path);
    throw new GitProblem(
      'conflict',
      `the work of ${commit.slice(0, 10)} conflicts with what is in ${root} now (${nameFiles(files)})`,
      'do the work again on the new state',
      files,
    );
  });
}
