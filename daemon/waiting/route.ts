// Which model server a run is sent to: of those that serve its model the one with the most room; or why it must wait. Pure.
import type { Endpoints } from '../agents/endpoints.ts';
import { epochMs } from '../clock.ts';
import { type Limit, onTrial } from '../limits.ts';
import type { Endpoint } from '../settings.ts';
import type { Wait } from './terms.ts';

export interface Traffic {
  /** Runs at work: whose agent, and on which model server. */
  jobs: readonly { id: string; agent: string; endpoint: string | null }[];
  limits: Record<string, Limit>;
  endpoints: Pick<Endpoints, 'isDown' | 'isShunned' | 'of'>;
}

/** What keeps a closed agent or model server from being used now, or null. */
export function limitWait(what: 'agent' | 'endpoint', name: string, { limits, jobs }: Traffic): Wait | null {
  const limit = limits[name];
  if (!limit) return null;
  if (limit.until === null)
    return {
      reason: `${what} ${name} is out of service: ${limit.reason}; "towpath resume ${name}" opens it`,
      until: 'never',
    };
  if (!onTrial(limit))
    return { reason: `${what} ${name} is closed by its limit until ${limit.until}`, until: epochMs(limit.until) };
  const trier = jobs.find((job) =>
    what === 'agent' ? job.endpoint === null && job.agent === name : job.endpoint === name,
  );
  return trier
    ? { reason: `the limit of ${what} ${name} is over, and ${trier.id} tries it first`, until: 'slot' }
    : null;
}

/** Servers to use, the best first and none that is full; or the wait that ends first. Of an empty list nothing is asked. */
export function routeOf(candidates: readonly Endpoint[], traffic: Traffic): { endpoints: Endpoint[] } | { wait: Wait } {
  const { jobs, endpoints } = traffic;
  const used = ({ name }: Endpoint) => jobs.filter((job) => job.endpoint === name).length;
  const waits: Wait[] = [];
  const free = candidates.filter((one) => {
    const wait = limitWait('endpoint', one.name, traffic) ?? downWait(one, traffic) ?? fullWait(one, used(one));
    if (wait) waits.push(wait);
    return wait === null;
  });
  if (free.length === 0 && waits.length > 0) return { wait: waits.sort((a, b) => rank(a) - rank(b))[0]! };
  const load = (one: Endpoint) => used(one) / one.slots;
  const shunned = ({ name }: Endpoint) => Number(endpoints.isShunned(name));
  return { endpoints: free.toSorted((a, b) => shunned(a) - shunned(b) || load(a) - load(b)) };
}

const downWait = ({ name, base_url }: Endpoint, { endpoints }: Traffic): Wait | null =>
  endpoints.isDown(name)
    ? { reason: `endpoint ${name} cannot be reached at ${base_url}: ${endpoints.of(name).told}`, until: 'never' }
    : null;

const fullWait = ({ name, slots }: Endpoint, used: number): Wait | null =>
  used >= slots ? { reason: `all ${slots} slots of endpoint ${name} are taken`, until: 'slot' } : null;

/** What ends by itself, and soon, is told first. */
const rank = ({ until }: Wait): number => (until === 'slot' ? 0 : until === 'never' ? Number.POSITIVE_INFINITY : until);
