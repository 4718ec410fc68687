// Puts waiting tasks and those who may do them together: who, by which model server, or why not now.
import type { Context } from '../attempt/context.ts';
import { repoOf } from '../attempt/plan.ts';
import { readRun } from '../attempt/record.ts';
import { agentNameOf, type Who, whoDoes } from '../attempt/who.ts';
import { onTrial } from '../limits.ts';
import type { Choice, Claim } from '../queue/port.ts';
import { DEFAULT_ROLE } from '../task/terms.ts';
import { routeOf, type Traffic } from './route.ts';
import type { Wait } from './terms.ts';
import { type Scene, waitReason } from './wait.ts';

/** What `assign` needs to know; a command without a daemon has less of it. */
export interface Place extends Pick<Context, 'settings' | 'workspace' | 'agents' | 'limits' | 'endpoints'> {
  jobs: Scene['jobs'];
  hold: string | null;
  /** Why the budgets of the day do not allow such a task. */
  budget: (agent: string, role: string, project?: string) => Wait | null;
  provisional: number;
}

/** Who would do it; one whose role or agent cannot be used is told so when it is admitted or prepared. */
export function whoOf(task: Choice, place: Place): Who {
  try {
    return whoDoes(task, place, beingTried(place));
  } catch {
    const role = task.spec.role ?? DEFAULT_ROLE;
    const agent = agentNameOf(task, { name: role, prompt: '' }, place.settings);
    return { role, agent, model: null, endpoints: [] };
  }
}

/** Why a task does not run now, or null. */
export function waitOf(task: Choice, place: Place): Wait | null {
  const { settings, agents, endpoints, hold, jobs, provisional } = place;
  const who = whoOf(task, place);
  return waitReason(task, {
    ...{ settings, endpoints, hold, jobs, provisional, who },
    budget: () => place.budget(who.agent, who.role, task.spec.project),
    repo: repoOf(task, settings, place.workspace),
    // Asked for only where it is meant: who asks has every agent looked for.
    ...(who.agent === 'auto' ? { auto: agents.auto } : {}),
    limits: place.limits.list(),
  });
}

/** Who does what is claimed, and where it is sent; a run that was begun already goes on as it was. */
export function takerOf({ task, lock }: Claim, place: Place): Who {
  const begun = readRun(place.workspace.run(task.id, lock.attempt));
  if (!begun) return routed(whoOf(task, place), place);
  const { role, agent, model, request } = begun;
  return { role, agent, model, endpoints: request?.endpoints ?? [] };
}

/** The same with the model servers in the order in which they are to be used. */
function routed(who: Who, place: Place): Who {
  const found = routeOf(who.endpoints, trafficOf(place));
  return 'wait' in found ? who : { ...who, endpoints: found.endpoints };
}

const trafficOf = ({ jobs, limits, endpoints }: Place): Traffic => ({ jobs, limits: limits.list(), endpoints });

/** Names on trial that a run is trying just now. */
function beingTried({ jobs, limits }: Place): Set<string> {
  const trying = Object.entries(limits.list()).filter(([, limit]) => onTrial(limit));
  const payers = new Set(jobs.map(({ agent, endpoint }) => endpoint ?? agent));
  return new Set(trying.flatMap(([name]) => (payers.has(name) ? [name] : [])));
}
