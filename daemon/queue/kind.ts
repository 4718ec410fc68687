// Which waiting tasks wait alike, and from when one may start. Pure.
import { epochMs, parseDuration } from '../clock.ts';
import type { Choice } from './port.ts';

/** Tasks of one kind run on the same agent, in the same place and in the same way: what keeps one of them keeps all. */
export const kindOf = ({ role, agent, project, repo, complexity, seniority, model }: Choice['spec']): string =>
  JSON.stringify([role ?? null, agent ?? null, project ?? null, repo ?? null, complexity, seniority, model ?? null]);

/** From when a task may start, ms; 0 when at once. */
export function startOf(task: Choice): number {
  const own = task.spec.not_before;
  const delay = own === undefined ? undefined : parseDuration(own);
  const wanted = own === undefined ? 0 : delay === undefined ? epochMs(own) : epochMs(task.created_at) + delay;
  const backoff = task.state.not_before ? epochMs(task.state.not_before) : 0;
  return Math.max(wanted || 0, backoff || 0);
}
