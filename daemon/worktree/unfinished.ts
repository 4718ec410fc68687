// A merge, rebase, cherry-pick, revert or am that an agent left half done: concluded when its conflicts are resolved, else reported.
import { existsSync, lstatSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { git, items } from './git.ts';
import { stageAll } from './nested.ts';
import { GitProblem, nameFiles } from './problem.ts';
import { gitDirOf, operation } from './repo.ts';

/** How many commits of a rebase may need another `--continue`. */
const ROUNDS = 50;

/** The unmerged paths of a tree's index. */
export async function unmerged(tree: string, env: Record<string, string> = {}): Promise<string[]> {
  const lines = items(await git(tree).run(['ls-files', '-u', '-z'], { env }));
  return [...new Set(lines.map((line) => line.slice(line.indexOf('\t') + 1)))];
}

/** Those of the paths that still hold conflict markers. */
function marked(tree: string, paths: string[]): string[] {
  return paths.filter((path) => {
    const file = join(tree, path);
    if (!existsSync(file) || !lstatSync(file).isFile()) return false;
    const text = readFileSync(file, 'latin1');
    return /^<{7} /m.test(text) && /^>{7} /m.test(text);
  });
}

/**
 * Ends the operation that is under way in a work tree: files without conflict markers count as resolved. Returns its name, or
 * null when there was none. Throws `conflict` with the files when some are not resolved: all is left as it was then, for the
 * next attempt to go on.
 */
export async function finishOperation(tree: string, env: Record<string, string>): Promise<string | null> {
  const run = git(tree);
  const begun = await operation(tree);
  for (let round = 0; round < ROUNDS; round++) {
    const files = await unmerged(tree);
    const open = marked(tree, files);
    const now = await operation(tree);
    if (open.length > 0) throw unfinished(tree, now, open);
    if (!now) {
      if (files.length > 0) await stageAll(tree);
      return begun;
    }
    await refuseCommands(tree, now);
    await stageAll(tree);
    const ended = await run.attempt([now, '--continue'], { env });
    if (ended.code === 0) continue;
    const stuck = await unmerged(tree);
    if (stuck.length > 0) throw unfinished(tree, now, stuck);
    // A step that has become empty is the one thing that neither conflicts nor continues.
    if (now === 'merge' || !(await run.test([now, '--skip'], { env }))) throw unfinished(tree, now, []);
  }
  throw unfinished(tree, begun, []);
}

/** A rebase's list may hold shell commands: they are the agent's and are not run here. */
async function refuseCommands(tree: string, now: string): Promise<void> {
  const list = join(await gitDirOf(tree), 'rebase-merge/git-rebase-todo');
  if (now === 'rebase' && existsSync(list) && /^\s*(x|exec)\s/m.test(readFileSync(list, 'utf8')))
    throw unfinished(tree, now, []);
}

function unfinished(tree: string, now: string | null, files: string[]): GitProblem {
  const what = now ? `a ${now} was left half done in ${tree}` : `conflicts were left in ${tree}`;
  const where = files.length > 0 ? ` (unresolved: ${nameFiles(files)})` : '';
  return new GitProblem('conflict', what + where, 'resolve the conflicts and finish it, or abort it', files);
}
