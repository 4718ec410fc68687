// Minor tasks work in the repository's own checked-out tree: what the agent did is captured, taken back, put in again, accepted.
import { type Author, authored } from './commit.ts';
import { exclusive, type Git, git } from './git.ts';
import { clearLocks } from './lock.ts';
import { commitTree, type Entry, entries, mergedTree, treeOf } from './objects.ts';
import { type OpenTree, snapshot } from './open.ts';
import { GitProblem } from './problem.ts';
import { putIndex, putTree } from './put.ts';
import { salvageRef, shaOf } from './refs.ts';
import { openRepo, operation } from './repo.ts';

export { type OpenTree, openTree } from './open.ts';

export interface Captured {
  commit: string;
  tree: string;
  files: string[];
}

/** Every commit that HEAD was found on after an agent's work is kept here: it keeps them alive and says that they are the agent's. */
const tipRef = (open: OpenTree, tip: string): string => `refs/towpath/tip/${open.head}/${tip}`;

async function inTree<T>(root: string, fn: (run: Git) => Promise<T>): Promise<T> {
  const repo = await openRepo(root);
  return exclusive(repo.commonDir, async () => {
    await clearLocks(root, { ours: false });
    return fn(git(root));
  });
}

/**
 * Keeps what the agent changed in an open tree (tracked and new files, and commits that it made) as one commit on top of
 * `open.head` under refs/towpath/salvage/<id>/<attempt>; tree, index and branch stay as they are. Null when nothing changed.
 * Called again, also after or amid `restoreTree`, it returns the same commit.
 */
export function captureTree(
  open: OpenTree,
  options: { id: string; attempt: number | string; message: string; author: Author },
): Promise<Captured | null> {
  return inTree(open.root, async (run) => {
    const head = await shaOf(run, 'HEAD');
    if (head && head !== open.head && !(await isEarlier(run, open, options)))
      await run.run(['update-ref', tipRef(open, head), head]);
    const tree = await snapshot(open);
    const changed = await entries(run, open.head, tree);
    const ref = salvageRef(options.id, options.attempt);
    const old = await shaOf(run, ref);
    if (old && (await shaOf(run, `${old}^`)) === open.head) {
      const kept = await entries(run, open.head, old);
      if (isPartOf(changed, kept)) return captured(run, old, kept);
    }
    if (changed.length === 0) return null;
    if (old) await run.run(['update-ref', `${ref}-before-${old.slice(0, 10)}`, old]);
    const commit = await commitTree(run, tree, [open.head], options.message, authored(options.author));
    await run.run(['update-ref', ref, commit]);
    return captured(run, commit, changed);
  });
}

/** Whether this attempt was captured before: HEAD may have been moved by the user since. */
async function isEarlier(
  run: Git,
  open: OpenTree,
  options: { id: string; attempt: number | string },
): Promise<boolean> {
  return (await shaOf(run, `${salvageRef(options.id, options.attempt)}^`)) === open.head;
}

function isPartOf(some: Entry[], all: Entry[]): boolean {
  const state = (to: Entry['to']) => (to ? `${to.mode} ${to.sha}` : '');
  const known = new Map(all.map(({ path, to }) => [path, state(to)]));
  return some.every(({ path, to }) => known.get(path) === state(to));
}

async function captured(run: Git, commit: string, changed: Entry[]): Promise<Captured> {
  return { commit, tree: await treeOf(run, commit), files: changed.map(({ path }) => path) };
}

/**
 * Takes an agent's work out of an open tree: back to `open.head` on `open.branch`, or, when the user has gone on since, to
 * where they are. Anything that no salvage ref holds yet is kept under one first, which is returned (else null). Files that
 * were there untracked, and ignored ones, stay.
 */
export function restoreTree(open: OpenTree): Promise<string | null> {
  return inTree(open.root, async (run) => {
    const begun = await operation(open.root);
    // --quit forgets the operation and leaves files and commits alone.
    if (begun) await run.attempt([begun, '--quit']);
    const head = await shaOf(run, 'HEAD');
    const agents = !head || head === open.head || (await shaOf(run, tipRef(open, head))) !== null;
    const target = agents ? open.head : head;
    const now = await snapshot(open, target);
    const kept = await keep(run, open, now, target);
    await putTree(open.root, now, target);
    if (agents) {
      const ref = `refs/heads/${open.branch}`;
      const tip = await shaOf(run, ref);
      if (tip === null || (tip !== open.head && (await shaOf(run, tipRef(open, tip))) !== null))
        await run.run(['update-ref', ref, open.head]);
      await run.run(['symbolic-ref', 'HEAD', ref]);
    }
    const settled = (await shaOf(run, 'HEAD')) ?? target;
    // The user's branch went on while the agent was on another one: the files follow HEAD.
    if (settled !== target) await putTree(open.root, target, settled);
    await run.run(['read-tree', '--reset', settled]);
    await run.attempt(['update-index', '-q', '--refresh']);
    return kept;
  });
}

/** Makes sure that some salvage ref has the tree; returns the ref that had to be made. */
async function keep(run: Git, open: OpenTree, tree: string, target: string): Promise<string | null> {
  if (tree === (await treeOf(run, target)) || tree === (await treeOf(run, open.head))) return null;
  const args = ['for-each-ref', '--format=%(tree)', 'refs/towpath/salvage'];
  if ((await run.run(args)).split('\n').includes(tree)) return null;
  const ref = `refs/towpath/salvage/restored/${tree}`;
  const commit = await commitTree(run, tree, [target], 'towpath: what was in the tree before it was restored');
  await run.run(['update-ref', ref, commit]);
  return ref;
}

/**
 * Puts a captured commit's changes back into a tree without committing or staging them. Doing it twice is doing it once.
 * Throws `conflict` with the files, and the tree is as before.
 */
export function applyTree(root: string, commit: string): Promise<void> {
  return inTree(root, async (run) => {
    const head = (await run.run(['rev-parse', '--verify', 'HEAD^{commit}'])).trim();
    await putTree(root, head, await mergedTree(root, head, commit));
  });
}

/**
 * The opposite of applyTree: takes a commit's changes out of a tree where they are not committed; all other files and the index
 * stay. Throws `conflict` when one of its files was changed since, and the tree is as before.
 */
export function unapplyTree(root: string, commit: string): Promise<void> {
  return inTree(root, async (run) => {
    const head = (await run.run(['rev-parse', '--verify', 'HEAD^{commit}'])).trim();
    await putTree(root, await mergedTree(root, head, commit), head);
  });
}

/** A captured commit with what was put on top of it: one commit, as it would have been captured. */
export function withTop(open: OpenTree, commit: string, top: string, trailer: string): Promise<string> {
  return inTree(open.root, async (run) => {
    const [message, author] = await wording(run, commit);
    return commitTree(run, await treeOf(run, top), [open.head], `${message.trimEnd()}\n${trailer}\n`, author);
  });
}

/** Puts one captured commit's changes into a tree in place of another's. Doing it twice is doing it once. Throws `conflict`, and the tree is as before. */
export function replaceTree(root: string, from: string, to: string): Promise<void> {
  return inTree(root, async (run) => {
    const head = (await run.run(['rev-parse', '--verify', 'HEAD^{commit}'])).trim();
    await putTree(root, await mergedTree(root, head, from), await mergedTree(root, head, to));
  });
}

/** Another commit is what is kept of an attempt; the one before it is kept beside it. */
export function recapture(
  open: OpenTree,
  { id, attempt, commit }: { id: string; attempt: number; commit: string },
): Promise<void> {
  return inTree(open.root, async (run) => {
    const ref = salvageRef(id, attempt);
    const old = await shaOf(run, ref);
    if (old === commit) return;
    if (old) await run.run(['update-ref', `${ref}-before-${old.slice(0, 10)}`, old]);
    await run.run(['update-ref', ref, commit]);
  });
}

/**
 * Makes a captured commit part of `open.branch`, and of the tree when that branch is checked out: the commit itself when the
 * branch has not moved, else one with the same changes on top. Returns the commit on the branch; called again, the same one.
 * Throws `conflict` with the files, and tree and branch are as before.
 */
export function acceptTree(open: OpenTree, commit: string): Promise<string> {
  return inTree(open.root, async (run) => {
    const ref = `refs/heads/${open.branch}`;
    const tip = await shaOf(run, ref);
    if (!tip)
      throw new GitProblem('base_missing', `the branch ${open.branch} is gone from ${open.root}`, 'make it again');
    const here = (await run.ask(['symbolic-ref', '-q', 'HEAD'])) === ref;
    if (!here) await refuseElsewhere(run, open.branch, ref);
    const landed = await findLanded(run, open, commit, tip);
    if (landed) {
      // Killed between ref and files: finish, unless the user has gone on with those files.
      if (here && landed === tip) await putTree(open.root, `${tip}^`, tip).catch(ignoreConflict);
      if (here && landed === tip) await putIndex(open.root, `${tip}^`, tip);
      return landed;
    }
    const unmoved = tip === open.head || (await shaOf(run, tipRef(open, tip))) !== null;
    const tree = unmoved ? await treeOf(run, commit) : await mergedTree(open.root, tip, commit);
    if (!unmoved && tree === (await treeOf(run, tip))) return tip;
    const next = unmoved ? commit : await commitTree(run, tree, [tip], ...(await wording(run, commit)));
    const from = unmoved ? open.head : tip;
    if (here) await putTree(open.root, from, tree);
    await run.run(['update-ref', '-m', 'towpath: accepted', ref, next, tip]);
    if (here) await putIndex(open.root, from, tree);
    return next;
  });
}

function ignoreConflict(thrown: unknown): void {
  if (!(thrown instanceof GitProblem && thrown.kind === 'conflict')) throw thrown;
}

async function refuseElsewhere(run: Git, branch: string, ref: string): Promise<void> {
  const elsewhere = ((await run.ask(['for-each-ref', '--format=%(worktreepath)', ref])) ?? '').trim();
  if (elsewhere)
    throw new GitProblem(
      'git_failed',
      `the branch ${branch} is checked out in ${elsewhere}`,
      'check it out in the main tree',
    );
}

/** The commit of the branch that already has these changes: the very one, or one with its author, time and words. */
async function findLanded(run: Git, open: OpenTree, commit: string, tip: string): Promise<string | null> {
  const format = '--format=%H%n%an%n%ae%n%at%n%B';
  const words = (text: string) => text.slice(text.indexOf('\n') + 1).trim();
  const wanted = words(await run.run(['log', '-1', format, commit]));
  const since = (await run.run(['log', '-z', format, `${open.head}..${tip}`])).split('\0');
  const found = since.find((text) => text.startsWith(commit) || words(text) === wanted);
  return found ? found.slice(0, found.indexOf('\n')) : null;
}

async function wording(run: Git, commit: string): Promise<[string, Record<string, string>]> {
  const text = await run.run(['log', '-1', '--format=%an%n%ae%n%at%n%B', commit]);
  const [name = '', email = '', time = '', ...message] = text.split('\n');
  const author = { GIT_AUTHOR_NAME: name, GIT_AUTHOR_EMAIL: email, GIT_AUTHOR_DATE: `${time} +0000` };
  return [message.join('\n'), author];
}
