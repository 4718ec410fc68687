// Repositories inside a work tree: submodules, and those that an agent made or cloned there, whose files git would not take.
import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { type Git, git, items } from './git.ts';

/** The paths that `.gitmodules` names, without an end slash. */
export async function submodulePaths(tree: string): Promise<string[]> {
  if (!existsSync(join(tree, '.gitmodules'))) return [];
  const args = ['config', '-z', '--file', '.gitmodules', '--get-regexp', '^submodule\\..*\\.path$'];
  const found = (await git(tree).ask(args)) ?? '';
  return items(found).map((item) => item.slice(item.indexOf('\n') + 1));
}

/** Untracked, unignored repositories, and those an agent added as a bare link to commits that only they hold. */
export async function embeddedRepos(tree: string, env: Record<string, string> = {}): Promise<string[]> {
  return [...new Set([...(await untrackedRepos(tree, env)), ...(await strayLinks(tree, env))])];
}

async function untrackedRepos(tree: string, env: Record<string, string>): Promise<string[]> {
  const others = items(await git(tree).run(['ls-files', '-o', '-z', '--exclude-standard'], { env }));
  return others.filter((path) => path.endsWith('/')).map((path) => path.slice(0, -1));
}

/** What the index holds, as `git ls-files -s` tells it: mode and path. `hidden`: git is told not to look for changes of it. */
interface Tracked {
  mode: string;
  path: string;
  hidden: boolean;
}

export async function staged(tree: string, env: Record<string, string> = {}): Promise<Tracked[]> {
  const lines = items(await git(tree).run(['ls-files', '-s', '-v', '-z'], { env }));
  return lines.map((line) => ({
    mode: line.slice(2, 8),
    path: line.slice(line.indexOf('\t') + 1),
    hidden: /^[a-zS]/.test(line),
  }));
}

/** The files that are there though git does not look at them (`--assume-unchanged`, `--skip-worktree`); those of a sparse checkout are not there. */
export const hiddenFiles = (tree: string, tracked: readonly Tracked[]): string[] =>
  tracked.flatMap(({ path, hidden }) => (hidden && existsSync(join(tree, path)) ? [path] : []));

/** Gitlinks in the index that are no submodule although a repository lies there. */
export async function strayLinks(
  tree: string,
  env: Record<string, string> = {},
  tracked?: Tracked[],
): Promise<string[]> {
  const links = (tracked ?? (await staged(tree, env))).filter(({ mode }) => mode === '160000');
  if (links.length === 0) return [];
  const known = new Set(await submodulePaths(tree));
  const strays = links.filter(({ path }) => !known.has(path) && existsSync(join(tree, path, '.git')));
  return [...new Set(strays.map(({ path }) => path))];
}

/** All repositories inside a tree but its submodules, also those whose files are tracked by the outer one: beside a tracked file lies a `.git`. */
export async function nestedRepos(tree: string): Promise<string[]> {
  const tracked = await staged(tree);
  const known = new Set(await submodulePaths(tree));
  const folders = new Set<string>();
  for (const { path } of tracked)
    for (let dir = dirname(path); dir !== '.' && !folders.has(dir); dir = dirname(dir)) folders.add(dir);
  const overlaid = [...folders].filter((dir) => !known.has(dir) && existsSync(join(tree, dir, '.git')));
  return [...new Set([...(await untrackedRepos(tree, {})), ...(await strayLinks(tree, {}, tracked)), ...overlaid])];
}

/** Whether a repository is a copy of something (it has a remote) or another worktree: not the agent's own files. */
async function isForeign(path: string): Promise<boolean> {
  const run = git(path);
  if ((await run.ask(['remote'])) !== '') return true;
  return (await run.ask(['rev-parse', '--git-dir'])) !== (await run.ask(['rev-parse', '--git-common-dir']));
}

/**
 * Stages everything in a tree that is not ignored, into its own index or the one of `env.GIT_INDEX_FILE`. The files of a
 * repository that the agent made (`git init` of a generator) are taken as plain files; clones and worktrees are left
 * out and returned. `except`: paths to leave alone, a folder with all below it when it ends in a slash. Throws `git_failed`.
 */
export async function stageAll(
  tree: string,
  env: Record<string, string> = {},
  except: string[] = [],
): Promise<string[]> {
  const run = git(tree);
  const left = new Set<string>();
  const spared = new Set(except.map((path) => path.replace(/\/$/, '')));
  for (const link of await strayLinks(tree, env))
    await run.run(['update-index', '-z', '--force-remove', '--stdin'], { env, input: `${link}\0` });
  // A repository may hold further ones: each round opens one more level.
  for (let level = 0; level < 20; level++) {
    const found = (await untrackedRepos(tree, env)).filter((path) => !left.has(path) && !spared.has(path));
    if (found.length === 0) break;
    for (const path of found) if (!(await takeFiles(run, path, env))) left.add(path);
  }
  const specs = ['.', ...[...left, ...spared].map((path) => `:(top,exclude,literal)${path}`)];
  const fromStdin = ['--pathspec-from-file=-', '--pathspec-file-nul'];
  await run.run(['add', '-A', ...fromStdin], { env, input: specs.map((spec) => `${spec}\0`).join('') });
  return [...left];
}

async function takeFiles(outer: Git, path: string, env: Record<string, string>): Promise<boolean> {
  const dir = join(outer.dir, path);
  if (await isForeign(dir)) return false;
  const listed = (await git(dir).ask(['ls-files', '-c', '-o', '-z', '--exclude-standard'])) ?? '';
  const files = [...new Set(items(listed))].filter((file) => !file.endsWith('/') && existsSync(join(dir, file)));
  if (files.length === 0) return false;
  const inside = files.map((file) => `${path}/${file}`);
  const ignored = await outer.ask(['check-ignore', '-z', '--stdin'], {
    env,
    input: inside.map((f) => `${f}\0`).join(''),
  });
  const skip = new Set(items(ignored ?? ''));
  const first = inside.find((file) => !skip.has(file));
  if (first === undefined) return false;
  // Once the index knows one file below it, git treats the folder as its own and not as a repository; `add` takes the rest.
  await outer.run(['update-index', '-z', '--add', '--stdin'], { env, input: `${first}\0` });
  return true;
}

/** Why the submodules of a tree cannot be thrown away: uncommitted work, or commits that no remote has. Null when they can. */
export async function submoduleWork(tree: string): Promise<string | null> {
  for (const path of await submodulePaths(tree)) {
    const dir = join(tree, path);
    if (!existsSync(join(dir, '.git'))) continue;
    const sub = git(dir);
    const status = await sub.ask(['status', '--porcelain=v1', '--ignore-submodules=none']);
    if (status === null) return `the submodule ${path} cannot be read`;
    if (status !== '') return `the submodule ${path} has uncommitted changes`;
    const own = await sub.ask(['rev-list', '--max-count=1', 'HEAD', '--branches', '--not', '--remotes']);
    if (own) return `the submodule ${path} has commits that no remote has`;
    if (await sub.test(['rev-parse', '--verify', '-q', 'refs/stash'])) return `the submodule ${path} has a stash`;
    const deeper = await submoduleWork(dir);
    if (deeper) return deeper;
  }
  return null;
}
