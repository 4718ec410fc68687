// A patch becomes a commit without a work tree being touched: applied to a temporary index, judged by the tree that it leads to.
import { type Author, authored } from './commit.ts';
import { git, items } from './git.ts';
import { AS_PATCH, commitTree, treeOf, withIndex } from './objects.ts';

/** A file of plain content that may not be executed, or may; nothing else may come out of a patch. */
const FILE_MODES = ['100644', '100755'];

export type Patched = { commit: string; files: string[] } | { problem: string };

/** What a commit changes since another, as a patch to the byte; null when it is larger than that. */
export async function patchOf(dir: string, from: string, to: string, most: number): Promise<Buffer | null> {
  const args = ['diff-tree', ...AS_PATCH, from, to];
  const { code, bytes, cut } = await git(dir).attempt(args, { maxBytes: most });
  if (code !== 0 && !cut) await git(dir).run(args);
  return cut ? null : bytes;
}

/**
 * The commit on top of `commit` that a unified diff leads to, on no branch yet; or why it is not to be had. `keeps`: no file
 * may be removed.
 */
export async function patchCommit(
  dir: string,
  commit: string,
  patch: string | Buffer,
  { keeps = false, ...made }: { message: string; author: Author; keeps?: boolean },
): Promise<Patched> {
  const run = git(dir);
  return withIndex(dir, 'empty', async (env) => {
    await run.run(['read-tree', commit], { env });
    const args = ['apply', '--cached', '--recount', '--whitespace=nowarn', '-'];
    const input = typeof patch === 'string' ? parted(patch) : patch;
    const applied = await run.attempt(args, { env, input });
    if (applied.code !== 0) return { problem: `it does not apply: ${firstLine(applied.stderr)}` };
    const tree = (await run.run(['write-tree'], { env })).trim();
    const problem = await problemOf(dir, commit, tree, keeps);
    if (problem) return { problem };
    const files = await names(dir, commit, tree);
    if (files.length === 0) return { problem: 'it changes nothing' };
    return { commit: await commitTree(run, tree, [commit], made.message, authored(made.author)), files };
  });
}

/**
 * A patch as `--recount` can read it, which takes all that follows a hunk for lines of it: between the files stands a line that is
 * none, also where git's own is missing, and no empty lines stand there or at the end.
 */
function parted(patch: string): string {
  // Refused by what comes of it: there the empty lines are a part of it.
  if (/^GIT binary patch\r?$/m.test(patch)) return `${patch}\n`;
  const lines = patch.split('\n');
  const isHead = (at: number) =>
    /^--- /.test(lines[at]!) && /^\+\+\+ /.test(lines[at + 1] ?? '') && /^@@ -/.test(lines[at + 2] ?? '');
  const told: string[] = [];
  for (const [at, line] of lines.entries()) {
    if (line.startsWith('diff ') || isHead(at)) dropEmpty(told);
    if (isHead(at) && /^[-+ \\]/.test(told.at(-1) ?? '')) told.push('diff -u');
    told.push(line);
  }
  dropEmpty(told);
  return `${told.join('\n')}\n`;
}

function dropEmpty(lines: string[]): void {
  while (lines.length > 0 && /^\r?$/.test(lines.at(-1)!)) lines.pop();
}

const firstLine = (text: string): string =>
  text
    .trim()
    .split('\n')[0]
    ?.replace(/^error: /, '') ?? '';

async function names(dir: string, commit: string, tree: string): Promise<string[]> {
  return items(await git(dir).run(['diff-tree', '-r', '-z', '--no-renames', '--name-only', commit, tree]));
}

/** Modes, links, repositories inside and binary files are not for patches. */
async function problemOf(dir: string, commit: string, tree: string, keeps: boolean): Promise<string | null> {
  const raw = items(await git(dir).run(['diff-tree', '-r', '-z', '--no-renames', '--raw', commit, tree]));
  for (let at = 0; at + 1 < raw.length; at += 2) {
    const [from = '', to = ''] = raw[at]!.slice(1).split(' ');
    const path = raw[at + 1]!;
    const kinds = [from, to].filter((mode) => mode !== '000000');
    if (kinds.some((mode) => !FILE_MODES.includes(mode))) return `${path} is no plain file`;
    if (keeps && to === '000000') return `it removes ${path}`;
    if (kinds.length === 2 ? from !== to : to === '100755') return `it changes the mode of ${path}`;
  }
  const counts = items(await git(dir).run(['diff-tree', '-r', '-z', '--no-renames', '--numstat', commit, tree]));
  const binary = counts.find((line) => line.startsWith('-\t'));
  return binary ? `${binary.split('\t')[2]} is binary` : null;
}

/** Puts branch, index and files of a worktree at a commit, and makes sure that they are. What is untracked stays. */
export async function moveTo(dir: string, commit: string): Promise<void> {
  const run = git(dir);
  await run.run(['reset', '-q', '--hard', commit]);
  const tree = (await run.run(['rev-parse', 'HEAD^{tree}'])).trim();
  if (
    tree !== (await treeOf(run, commit)) ||
    (await run.run(['status', '--porcelain', '-uno', '--ignore-submodules=dirty'])).trim() !== ''
  )
    throw new Error(`${dir} could not be put at ${commit}`);
}
