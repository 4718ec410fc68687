// An accepted result that cannot go on just now stays in provisional/ and is tried again by itself, each time a little later.
import type { Context } from '../attempt/context.ts';
import { TowpathError } from '../errors.ts';
import type { Task } from '../queue/port.ts';
import { backoff } from '../task/outcome.ts';
import { GitProblem } from '../worktree/git.ts';

/** What may be over in a while; with `delay_ms` somebody said when. */
export class Later extends TowpathError {
  override name = 'Later';
  readonly delay_ms: number | null;

  constructor(why: string, delay_ms: number | null = null) {
    super('failed', why);
    this.delay_ms = delay_ms;
  }
}

/** Whether what was thrown may be over in a while: a lock of somebody's, a network that is away. */
export const passes = (thrown: unknown): boolean =>
  thrown instanceof Later ||
  (thrown instanceof GitProblem && (thrown.kind === 'busy' || thrown.kind === 'unreachable'));

/** The task waits; how often in a row is counted, for the time that it waits, and for a drain, which does not wait for ever. */
export async function waitAgain(ctx: Context, task: Task, what: string, thrown: TowpathError): Promise<Task> {
  const transients = (task.state.transients ?? 0) + 1;
  const { initial, max } = ctx.settings.retry;
  const delay = (thrown instanceof Later ? thrown.delay_ms : null) ?? backoff(transients, initial, max, Math.random());
  const reason = `${what}: ${thrown.message}; it is tried again by itself`;
  const not_before = new Date(Date.now() + delay).toISOString();
  const moved = await ctx.queue.move(task.id, 'provisional', {
    to: 'provisional',
    state: { reason, transients, not_before },
  });
  if (task.state.reason !== reason)
    ctx.events.emit('transition', { task: task.id, from: 'provisional', to: 'provisional', reason });
  return moved;
}
