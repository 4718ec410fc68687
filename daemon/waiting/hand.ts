// A file that a person moved means the same as the command: what the daemon does when it finds one.
import { existsSync } from 'node:fs';
import { basename, join } from 'node:path';
import type { Context } from '../attempt/context.ts';
import { readWork, writeWork } from '../attempt/work.ts';
import { messageOf } from '../errors.ts';
import { inTree, land } from '../gate/accept.ts';
import { breakDown, isPlan } from '../gate/breakdown.ts';
import { handIn, leadsTo } from '../gate/hand-in.ts';
import { isTaskName, readTask, someTaskNames, statOf, stemOf } from '../queue/files/read.ts';
import { movedOut } from '../task/state.ts';
import { handMove } from '../task/states.ts';
import type { Queue } from '../task/terms.ts';

/** Who can end a running attempt. */
interface Runner {
  jobs: ReadonlyMap<string, unknown>;
  end(id: string, why: 'cancel'): Promise<boolean>;
}

/** Looks at one name in a queue other than incoming, where files are read anew when they are admitted. */
export async function noticeHandMoves(ctx: Context, runner: Runner, queue: Queue, name: string): Promise<void> {
  if (!isTaskName(name)) return;
  try {
    const id = stemOf(name);
    const atWork = runner.jobs.has(id);
    if (queue === 'claimed') {
      // Taken out of claimed/ while it runs: the person wants it to stop. With the folder itself gone it is no such wish.
      const dir = ctx.workspace.queue(queue);
      const there = existsSync(join(dir, name)) || !existsSync(dir);
      if (atWork && !there && (await ctx.queue.get(id))?.queue !== 'claimed') {
        const lock = ctx.queue.lockOf(id);
        if (lock !== null && lock !== 'unreadable' && lock.phase !== 'settle') await runner.end(id, 'cancel');
      }
      return;
    }
    const task = atWork ? null : readTask(ctx.workspace.queue(queue), name, queue);
    if (!task) return;
    // One that Towpath never wrote into came from incoming; dropped into done/ it only satisfies those who wait for it.
    const from = task.state.queue ?? (queue === 'done' || task.refusal ? queue : 'incoming');
    const meant = handMove(from, queue);
    if (meant === 'none') return;
    if (meant === 'accept' && from === 'provisional' && isPlan(ctx, task)) return void (await breakDown(ctx, task));
    const to = meant === 'accept' && from === 'provisional' ? leadsTo(ctx, task) : 'branch';
    // Accepted, and not yet where it belongs: it is done when it is.
    if (to !== 'branch') return void (await handIn(ctx, task, to));
    const other = meant === 'accept' ? await inTree(ctx, task) : null;
    const work = other ? readWork(ctx.workspace, id) : null;
    if (other && work) {
      // Accepted, it is put there as soon as the tree is free.
      writeWork(ctx, id, { ...work, accepted: true });
      const reason = `accepted; it waits until "${other}" is done with the repository's own tree`;
      return void (await ctx.queue.move(id, queue, { to: 'provisional', state: { reason, awaits: undefined } }));
    }
    const landed = meant === 'accept' ? await land(ctx, task) : {};
    await ctx.queue.move(id, queue, { to: queue, state: { ...landed, ...movedOut(queue, id) } });
    ctx.events.emit('transition', { task: id, from, to: queue, reason: 'moved by hand' });
  } catch (thrown) {
    ctx.events.emit('warning', { message: `${basename(name)} in ${queue}/: ${messageOf(thrown)}` });
  }
}

/** Beyond this many files in a queue, what was moved there while no daemon ran is found only when it is asked for. */
const SWEEP_MAX = 20_000;

/** Carries out what a person moved while no daemon ran; `since` is when the last one was alive, ms. */
export async function sweepHandMoves(ctx: Context, runner: Runner, since: number): Promise<void> {
  // The margin covers clocks that are read coarsely.
  const later = (ms: bigint | undefined) => ms !== undefined && Number(ms) > since - 1000;
  for (const queue of ['failed', 'blocked', 'done'] as const) {
    const dir = ctx.workspace.queue(queue);
    if (!later(statOf(dir)?.mtimeMs)) continue;
    const names = someTaskNames(dir, SWEEP_MAX + 1);
    if (names.length > SWEEP_MAX) continue;
    // A rename changes ctime.
    for (const name of names)
      if (later(statOf(join(dir, name))?.ctimeMs)) await noticeHandMoves(ctx, runner, queue, name);
  }
}
