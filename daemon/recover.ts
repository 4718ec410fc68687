// Starting is recovering: every claim that nobody works on is looked at, and entered again in the phase it was in.
import { runTarget } from './agents/kept.ts';
import type { Context } from './attempt/context.ts';
import { endTree } from './process/end.ts';
import { treeOf } from './process/tree.ts';
import type { Claim } from './queue/port.ts';

/** Claims of other machines that were told of, once each. */
const told = new Set<string>();

/** Claims to go on with, those aside that are `atWork` here. What is held by somebody else stays as it is, and is told. */
export async function recover(ctx: Context, atWork: (id: string) => boolean): Promise<Claim[]> {
  const claims: Claim[] = [];
  for (const { id, task, lock } of await ctx.queue.recover()) {
    if (atWork(id)) continue;
    if (!task) {
      // The task went on before its lock was removed, or a person took the file away: its agent, if any, has no task.
      const known = lock !== null && lock !== 'unreadable' ? lock : null;
      await endTree({
        ...(known ? runTarget(ctx.workspace.run(id, known.attempt), known.agent ?? undefined) : {}),
        ...{ marker: id, workspace: ctx.workspace.root },
      });
      if (!atWork(id)) ctx.queue.dropLock(id);
      continue;
    }
    if (lock !== null && lock !== 'unreadable' && lock.owner.host !== ctx.self.host) {
      if (told.has(task.id)) continue;
      told.add(task.id);
      ctx.events.emit('warning', {
        task: task.id,
        message: `claimed by ${lock.owner.host} (pid ${lock.owner.pid}): left to it; "towpath cancel ${task.id}" takes it away`,
      });
      continue;
    }
    if (lock === 'unreadable') {
      const alive = treeOf({ marker: task.id, workspace: ctx.workspace.root }).length;
      ctx.events.emit('warning', {
        task: task.id,
        message: `its lock could not be read; ${alive ? 'its agent was found by its marker' : 'no process of it lives'}: claimed anew`,
      });
    }
    claims.push(ctx.queue.adopt(task, lock === 'unreadable' ? null : lock, ctx.self));
  }
  return claims;
}
