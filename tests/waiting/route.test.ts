// Which model server a run gets, and what keeps it from one.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Endpoints } from '../../daemon/agents/endpoints.ts';
import type { Limit } from '../../daemon/limits.ts';
import type { Endpoint } from '../../daemon/settings.ts';
import { limitWait, routeOf, type Traffic } from '../../daemon/waiting/route.ts';

const server = (name: string, slots = 1): Endpoint => ({
  name,
  base_url: 'http://x',
  api: 'openai',
  models: ['m'],
  slots,
});
const job = (id: string, endpoint: string | null, agent = 'bot') => ({ id, agent, endpoint });
const traffic = (over: Partial<Traffic> = {}): Traffic => ({
  jobs: [],
  limits: {},
  endpoints: new Endpoints(),
  ...over,
});
const limit = (until: string | null): Limit => ({ until, reason: 'full', since: '2026-01-01T00:00:00Z' });
const names = (found: ReturnType<typeof routeOf>) =>
  'wait' in found ? found.wait.reason : found.endpoints.map((e) => e.name);
const later = new Date(Date.now() + 3_600_000).toISOString();
const past = new Date(Date.now() - 1000).toISOString();

describe('a route', () => {
  it('is the server with the most room, by share of its slots', () => {
    const all = [server('a', 2), server('b', 4)];
    const jobs = [job('1', 'a'), job('2', 'b')];
    expect(names(routeOf(all, traffic({ jobs })))).toEqual(['b', 'a']);
    expect(names(routeOf(all, traffic()))).toEqual(['a', 'b']);
  });

  it('never goes to a full one, and says when all are', () => {
    const jobs = [job('1', 'a')];
    expect(names(routeOf([server('a'), server('b')], traffic({ jobs })))).toEqual(['b']);
    expect(names(routeOf([server('a')], traffic({ jobs })))).toBe('all 1 slots of endpoint a are taken');
  });

  it('shares any load by free slots', () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 1, max: 5 }), { minLength: 1, maxLength: 5 }), (slots) => {
        const all = slots.map((n, at) => server(`s${at}`, n));
        const total = slots.reduce((a, b) => a + b);
        const jobs: ReturnType<typeof job>[] = [];
        for (let n = 0; n < total; n++) {
          const found = routeOf(all, traffic({ jobs }));
          if ('wait' in found) return false;
          jobs.push(job(String(n), found.endpoints[0]!.name));
        }
        const used = all.map(({ name }) => jobs.filter(({ endpoint }) => endpoint === name).length);
        return used.every((n, at) => n === slots[at]) && 'wait' in routeOf(all, traffic({ jobs }));
      }),
    );
  });

  it('goes round a closed server, and waits for the one that opens first', () => {
    const limits = { a: limit(later), b: limit(null) };
    expect(names(routeOf([server('a'), server('b'), server('c')], traffic({ limits })))).toEqual(['c']);
    expect(names(routeOf([server('b'), server('a')], traffic({ limits })))).toBe(
      `endpoint a is closed by its limit until ${later}`,
    );
  });

  it('tries others first after a failure, and holds one that failed and cannot be reached', async () => {
    const endpoints = new Endpoints();
    endpoints.tell('a', true);
    const all = [server('a'), server('b')];
    expect(names(routeOf(all, traffic({ endpoints })))).toEqual(['b', 'a']);
    await endpoints.refresh([{ ...server('a'), base_url: 'http://127.0.0.1:9' }], {});
    expect(names(routeOf([server('a')], traffic({ endpoints })))).toMatch(
      /^endpoint a cannot be reached at http:\/\/x: /,
    );
  });
});

describe('a limit that is over', () => {
  it('lets one run go first, for an agent and for a server', () => {
    const limits = { bot: limit(past), s: limit(past) };
    expect(limitWait('agent', 'bot', traffic({ limits }))).toBeNull();
    expect(limitWait('agent', 'bot', traffic({ limits, jobs: [job('first', null)] }))).toEqual({
      reason: 'the limit of agent bot is over, and first tries it first',
      until: 'slot',
    });
    // A run of this agent on a server of its own says nothing of the agent's account.
    expect(limitWait('agent', 'bot', traffic({ limits, jobs: [job('other', 's')] }))).toBeNull();
    expect(limitWait('endpoint', 's', traffic({ limits, jobs: [job('other', 's')] }))?.until).toBe('slot');
  });
});
