// A task that begins anew: it goes to incoming without what came of it, and before its next run its branch is set aside.
import { now } from '../clock.ts';
import type { Task } from '../queue/port.ts';
import { ANEW } from '../task/state.ts';
import { setAside } from '../worktree/aside.ts';
import type { Owner } from './context.ts';
import { forgetDivided } from './divided.ts';
import { readWork, type Work, writeWork } from './work.ts';

/** failed, blocked, done → incoming; or put by in done/, with the reason. */
export async function beginAnew(ctx: Owner, task: Task, putBy?: string): Promise<void> {
  const work = readWork(ctx.workspace, task.id);
  // Known before it can be claimed.
  if (work)
    writeWork(ctx, task.id, {
      ...{ ...work, anew: work.anew ?? task.state.runs ?? 1 },
      ...{ accepted: false, handed: undefined, refit: undefined },
    });
  // One that was divided is planned anew: what an earlier plan came to is none of it.
  forgetDivided(ctx.workspace, task.id);
  const { id, queue: from } = task;
  const to = putBy === undefined ? 'incoming' : 'done';
  const skipped = putBy === undefined ? {} : { skipped: true, reason: putBy, finished_at: now() };
  await ctx.queue.move(id, from, { to, state: { ...ANEW, ...skipped } });
  if (from !== to) ctx.events.emit('transition', { task: id, from, to, reason: putBy });
}

/** What is known of a task's work; of one that begins anew, once all of it is set aside. */
export async function lastWork(ctx: Owner, id: string): Promise<Work | null> {
  const work = readWork(ctx.workspace, id);
  if (work?.anew === undefined) return work;
  const { anew, captured, again: _, open, ...rest } = work;
  // Work in the repository's own tree is on a salvage ref already, and is not put back.
  if (work.kind !== 'worktree') return writeWork(ctx, id, { ...rest, ...(captured ? {} : { open }) });
  const { kind, repo, worktree, branch } = work;
  await setAside({ repo, worktree, branch: branch!, id, attempt: anew });
  return writeWork(ctx, id, { kind, repo, worktree, branch, base: null, start: null, setup_done: false });
}
