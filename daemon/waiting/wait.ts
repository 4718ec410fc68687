// Why a waiting task does not run now, in the words that `why` prints. Pure.
import type { Auto } from '../agents/registry.ts';
import type { Who } from '../attempt/who.ts';
import type { Limit } from '../limits.ts';
import { startOf } from '../queue/kind.ts';
import type { Choice } from '../queue/port.ts';
import type { Settings } from '../settings.ts';
import { limitWait, routeOf, type Traffic } from './route.ts';
import type { Wait } from './terms.ts';

export interface Scene {
  settings: Settings;
  hold: string | null;
  jobs: readonly { id: string; agent: string; role: string; repo: string; minor: boolean; endpoint: string | null }[];
  /** Who would do it, and where. */
  who: Who;
  repo: string;
  /** What is known of the agents, where none is named. */
  auto?: Auto;
  limits: Record<string, Limit>;
  endpoints: Traffic['endpoints'];
  /** Why the budgets of the day do not allow it. */
  budget: () => Wait | null;
  /** Tasks in provisional/. */
  provisional: number;
}

/** The first thing in a task's way, or null when it may run. */
export function waitReason(task: Choice, scene: Scene, now = Date.now()): Wait | null {
  const { settings, jobs, repo } = scene;
  const { agent, role, endpoints } = scene.who;
  if (scene.hold) return { reason: scene.hold, until: 'never' };
  const after = startOf(task);
  if (after > now) {
    const { outcome, reason } = task.state;
    const because =
      task.state.not_before && reason ? ` after ${outcome && outcome !== 'ok' ? `${outcome}: ` : ''}${reason}` : '';
    // A backoff is waited out; a date of the user's own only when it is no further off than the longest backoff.
    const far = !task.state.not_before && after - now > settings.retry.max;
    return {
      reason: `not before ${new Date(after).toISOString()}${because}`,
      until: after,
      ...(far ? { fine: true } : {}),
    };
  }
  if (scene.auto) return { reason: scene.auto.why, until: scene.auto.looking ? 'slot' : 'never' };
  const limited = endpoints.length === 0 ? limitWait('agent', agent, scene) : null;
  if (limited) return limited;
  const route = routeOf(endpoints, scene);
  if ('wait' in route) return route.wait;
  const unpaid = scene.budget();
  if (unpaid) return unpaid;
  if (scene.provisional >= settings.limits.provisional)
    return {
      reason: `${scene.provisional} results wait in provisional/ (limits.provisional): accept or reject some`,
      until: 'never',
    };
  const { total, agents, roles, repo: perRepo } = settings.concurrency;
  const full = (kind: string, limit: number | undefined, used: number): Wait | null =>
    limit !== undefined && used >= limit ? { reason: `all ${limit} slots of ${kind} are taken`, until: 'slot' } : null;
  const busyTree = task.spec.complexity === 'minor' ? jobs.find((job) => job.minor && job.repo === repo) : undefined;
  if (busyTree) return { reason: `the tree of ${repo} is in use by ${busyTree.id}`, until: 'slot' };
  return (
    full('the daemon', total, jobs.length) ??
    full(`agent ${agent}`, agents[agent], jobs.filter((job) => job.agent === agent).length) ??
    full(`role ${role}`, roles[role], jobs.filter((job) => job.role === role).length) ??
    full(`repo ${repo}`, perRepo, jobs.filter((job) => job.repo === repo).length)
  );
}
