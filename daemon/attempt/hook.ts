// Runs the hooks of one moment of a task and turns what they say into going on, holding the task, or ending it.
import { formatDuration } from '../clock.ts';
import { runHooks } from '../hooks/run.ts';
import { type Lock, type Task, toJson } from '../queue/port.ts';
import type { HookEvent } from '../settings.ts';
import type { Context } from './context.ts';
import { type Ending, failure } from './ending.ts';
import type { Plan } from './plan.ts';
import type { Work } from './work.ts';

export interface HookMoment {
  task: Task;
  lock: Lock | null;
  attempt: number;
  plan: Plan;
  work: Work | null;
  result: unknown;
  /** Ends the hooks; what becomes of the task then is the caller's to say. */
  signal?: AbortSignal;
}

/** Text for the prompt and variables for the agent, or the ending that the hooks decided on. */
export type HookAnswer = { context: string[]; env: Record<string, string> } | { ending: Ending };

/** Runs `event` for a task. `resolved` says what the operator decided about an earlier failure of it. */
export async function taskHooks(ctx: Context, event: HookEvent, moment: HookMoment): Promise<HookAnswer> {
  const { task, lock, plan, work } = moment;
  const nothing = { context: [], env: {} };
  if (task.state.resolved?.event === event && task.state.resolved.decision === 'skip') return nothing;
  for (;;) {
    const answer = await runHooks({
      workspace: ctx.workspace,
      event,
      payload: {
        version: 1,
        event,
        task: { ...toJson(task, lock), role: plan.role.name, agent: plan.chosen.agent.name, model: plan.model },
        attempt: moment.attempt,
        workspace: ctx.workspace.root,
        repo: work?.repo ?? plan.repo,
        worktree: work?.worktree ?? null,
        branch: work?.branch ?? null,
        agent: plan.chosen.agent.name,
        model: plan.model,
        result: moment.result,
      },
      cwd: work?.worktree ?? ctx.workspace.root,
      env: ctx.settings.env,
      timeout_ms: ctx.settings.hooks.timeout,
      events: ctx.events,
      signal: moment.signal,
    });
    const { verdict } = answer;
    if (moment.signal?.aborted)
      return { ending: { kind: 'later', reason: `hook ${event} was called off`, delay_ms: 0 } };
    if (verdict.kind === 'continue') return { context: answer.context, env: answer.env };
    if (verdict.kind === 'block')
      return { ending: { kind: 'hold', reason: `hook ${event}: ${verdict.reason}`, waits_for: 'operator' } };
    if (verdict.kind === 'skip')
      return { ending: failure('cancelled', `hook ${event} skipped the task: ${verdict.reason}`) };
    if (verdict.kind === 'retry') {
      const delay = verdict.retry_after_ms ?? null;
      const when = delay === null ? '' : ` (again in ${formatDuration(delay)})`;
      return {
        ending: { kind: 'later', reason: `hook ${event} asks to try later: ${verdict.reason}${when}`, delay_ms: delay },
      };
    }
    const reason = `hook ${event} failed: ${verdict.reason}`;
    const own = ctx.settings.hooks.on_failure[event];
    const last = answer.runs.at(-1);
    // A gate hook that says no has given its verdict; one that hangs or cannot be started has given none.
    if (event === 'gate' && own === undefined && last && !last.timedOut && !last.spawnError)
      return {
        ending: failure('rejected', `hook gate: ${verdict.reason}`, { feedback: verdict.reason, from: 'gate' }),
      };
    const policy = own ?? 'ask';
    if (policy === 'ignore') {
      ctx.events.emit('warning', { task: task.id, message: `${reason} (ignored: hooks.on_failure.${event})` });
      return nothing;
    }
    if (policy === 'fail') return { ending: failure('cancelled', reason) };
    ctx.events.emit('operator_asked', { task: task.id, moment: event, reason });
    const said = policy === 'ask' && ctx.ask ? await ctx.ask({ task: task.id, event, reason }) : null;
    if (said === 'skip') return nothing;
    if (said === 'abort') return { ending: failure('cancelled', `${reason} (aborted by the operator)`) };
    if (said === null)
      return {
        ending: {
          kind: 'hold',
          reason: `${reason}; decide with "towpath resolve ${task.id} retry|skip|abort"`,
          waits_for: 'hook',
        },
      };
  }
}
