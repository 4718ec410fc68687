// Carries out what was asked over the control socket.
import type { ParsedRequest } from './api/control.ts';
import type { Context } from './attempt/context.ts';
import type { Board } from './board.ts';
import type { Halt } from './halt.ts';
import { answer as answerQuestion, type Operator, PLAIN_VERBS, reject, resolve } from './operate.ts';
import { toJson } from './queue/port.ts';
import { retryFrom } from './rerun.ts';
import type { Scheduler } from './scheduler.ts';

/** Returns what the asker gets as `value`; what is thrown becomes their error. `halt` stops the daemon. */
export async function answer(
  ctx: Context,
  scheduler: Scheduler,
  board: Board,
  halt: (mode: Halt) => void,
  request: ParsedRequest,
): Promise<unknown> {
  const op: Operator = { ...ctx, endRunning: (id, why) => scheduler.end(id, why) };
  const after = async (work: Promise<Parameters<typeof toJson>[0]>) => {
    const task = await work;
    scheduler.nudge();
    return toJson(task);
  };
  switch (request.op) {
    case 'info':
      return board.info();
    case 'stop':
      setImmediate(() => halt(request.keep ? 'keep' : request.now ? 'now' : 'wait'));
      return { running: scheduler.jobs.size };
    case 'dropped':
      ctx.queue.intake.handedOver(request.name);
      return scheduler.nudge();
    case 'waiting':
      return ctx.queue.intake.first(request.limit).map(({ id }) => id);
    case 'pause_all':
      return scheduler.holds.pause(request.reason);
    case 'resume_all':
      return scheduler.holds.pause(null);
    case 'open_agent': {
      const was = ctx.limits.open(request.agent);
      if (was) ctx.events.emit('agent_opened', { agent: request.agent });
      scheduler.nudge();
      return { opened: was };
    }
    case 'retry_from': {
      const again = await retryFrom(op, request.run, request.step);
      scheduler.nudge();
      return again;
    }
    case 'reject':
      return after(reject(op, request.id, request.message));
    case 'answer':
      return after(answerQuestion(op, request.id, request.message));
    case 'resolve':
      return after(resolve(op, request.id, request.decision));
    default:
      return after(PLAIN_VERBS[request.op](op, request.id));
  }
}
