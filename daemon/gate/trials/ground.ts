// Where a trial is put on top of a task's work and taken off again: the worktree, or for a minor task the repository's own tree.
import type { Context } from '../../attempt/context.ts';
import { readWork, type Work, writeWork } from '../../attempt/work.ts';
import type { Task } from '../../queue/port.ts';
import { changes } from '../../worktree/commit.ts';
import { GitProblem, git } from '../../worktree/git.ts';
import { treeOf } from '../../worktree/objects.ts';
import { moveTo } from '../../worktree/patch.ts';
import { replaceTree, withTop } from '../../worktree/tree.ts';
import { regainWorktree } from '../../worktree/worktree.ts';
import { clear, type Trial, takeOff } from './trial.ts';

export interface Ground {
  /** Puts a commit on top of the work there; what the work is then, if it stays so. */
  put(commit: string): Promise<{ commit: string; tree: string } | { problem: string }>;
  /** Puts back the work as it was, exactly. */
  back(): Promise<void>;
}

export const groundOf = (ctx: Context, task: Task, work: Work, trial: Trial): Promise<Ground> =>
  work.kind === 'tree' ? ownTree(ctx, task, work, trial) : ownWorktree(work, trial);

async function ownWorktree(work: Work, trial: Trial): Promise<Ground> {
  const { repo, worktree, branch } = work;
  // What is run in it between the moves is partly an agent's.
  const to = async (commit: string) => {
    await regainWorktree(repo, worktree, branch!);
    await moveTo(worktree, commit);
  };
  // Killed with the patch in it, a worktree whose task has no commit of its own still lies at that.
  const { tree } = await changes(worktree, trial.commit!, trial.commit!);
  await clear(work, trial);
  return {
    put: async (commit) => {
      await to(commit);
      return { commit, tree: (await changes(worktree, trial.commit!)).tree };
    },
    back: async () => {
      await to(trial.commit!);
      if ((await changes(worktree, trial.commit!)).tree !== tree)
        throw new Error(`what ${trial.id} made could not be taken back`);
    },
  };
}

/** The user's files lie there too: what is tried takes the place of the work, and first it is written down. */
async function ownTree(ctx: Context, task: Task, { open, captured }: Work, trial: Trial): Promise<Ground> {
  let from = captured!;
  const note = (trying: Work['trying']) => writeWork(ctx, task.id, { ...readWork(ctx.workspace, task.id)!, trying });
  return {
    put: async (top) => {
      const to = await withTop(open!, captured!, top, `Towpath-Fix: ${trial.id}`);
      note({ from, to });
      try {
        await replaceTree(open!.root, from, to);
      } catch (thrown) {
        if (!(thrown instanceof GitProblem && thrown.kind === 'conflict')) throw thrown;
        // Nothing was written.
        note(from === captured ? undefined : { from: captured!, to: from });
        return { problem: `it does not fit into the tree: ${thrown.message}` };
      }
      from = to;
      return { commit: to, tree: await treeOf(git(open!.root), to) };
    },
    back: () => takeOff(ctx, task),
  };
}
