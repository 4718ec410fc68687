// The budgets of the day: what is spent, reserved and expected, whatever comes in whatever order.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterEach, describe, expect, it } from 'vitest';
import { AgentRegistry } from '../../daemon/agents/registry.ts';
import { startOfDay } from '../../daemon/clock.ts';
import { type EventMap, Events } from '../../daemon/events.ts';
import { openLedger, type RunCost } from '../../daemon/ledger/ledger.ts';
import { Workspace } from '../../daemon/paths.ts';
import { settingsSchema } from '../../daemon/settings.ts';
import { Purse } from '../../daemon/waiting/purse.ts';

const DAY = 86_400_000;
const NOON = new Date(2026, 5, 15, 12).getTime();
const context = (budget: object, agents: object = {}) => {
  const settings = settingsSchema.parse({ budget, agents });
  return { settings, agents: new AgentRegistry(settings, new Workspace('/w')) };
};
const cost = (agent: string, usd: number | null, tokens = 0, role = 'implementer'): RunCost => ({
  agent,
  role,
  usd,
  tokens,
});
const ended = (task: string, { agent, role, usd, tokens }: RunCost): EventMap['attempt_finished'] => ({
  ...{ task, attempt: 1, agent, role, model: null, outcome: 'ok', reason: '', duration_ms: 1 },
  ...{ input: 0, output: 0, cache_read: tokens, cache_write: 0, cost_usd: usd },
});

/** A ledger of which the tests say what it holds, and when it cannot be read. */
class FakeLedger {
  runs: (RunCost & { at: string })[] = [];
  readable = true;
  readonly before: RunCost[];
  constructor(before: RunCost[] = []) {
    this.before = before;
  }
  costs = (since: string) => (this.readable ? this.runs.filter((run) => run.at >= since) : null);
  lastCosts = () => this.before;
  end(purse: Purse, task: string, run: RunCost, now = NOON) {
    this.runs.push({ ...run, at: new Date(now).toISOString() });
    purse.finished(ended(task, run), now);
  }
}

describe('what a task is expected to take', () => {
  it('is the mean of the last 20 runs of its agent in its role, else of its agent, else nothing', () => {
    const old = [cost('a', 1, 100), cost('a', 3, 300), cost('a', null, 500), cost('a', 8, 0, 'reviewer')];
    const purse = new Purse(new FakeLedger(old), context({}));
    expect(purse.expected('a', 'implementer')).toEqual({ usd: 2, tokens: 300 });
    expect(purse.expected('a', 'reviewer')).toEqual({ usd: 8, tokens: 0 });
    expect(purse.expected('a', 'writer')).toEqual({ usd: 4, tokens: 225 });
    expect(purse.expected('b', 'writer')).toEqual({ usd: 0, tokens: 0 });
    for (let n = 0; n < 20; n++) purse.finished(ended(`t${n}`, cost('a', 5, 7)));
    expect(purse.expected('a', 'implementer')).toEqual({ usd: 5, tokens: 7 });
  });
});

describe('the budgets', () => {
  it('hold with the figures, for all or for one agent, and never one that is free', () => {
    const ledger = new FakeLedger([cost('a', 0.8), cost('b', 0.1)]);
    const purse = new Purse(ledger, context({ day_usd: 50 }, { b: { command: 'b', budget: { day_usd: 0.15 } } }));
    ledger.end(purse, 'old', cost('a', 49.2), NOON);
    for (const [n, task] of ['x', 'y'].entries()) {
      purse.hold(task, 'shell', 'implementer');
      purse.hold(`${task}${n}`, 'a', 'implementer');
    }
    const held = purse.held(['x', 'y', 'x0', 'y1', 'gone'].map((id) => ({ id })));
    expect(held).toHaveLength(2);
    purse.refresh(NOON);
    expect(purse.wait('shell', 'implementer', held)).toBeNull();
    expect(purse.wait('a', 'implementer', held)).toMatchObject({ until: 'never' });
    const { reason } = purse.wait('a', 'implementer', [{ agent: 'a', usd: 0.5, tokens: 9 }])!;
    expect(reason).toMatch(
      /^budget\.day_usd: \$49\.20 spent and \$0\.50 reserved by 1 run today of \$50\.00, such a task takes about \$\d+\.\d\d: it runs after midnight/,
    );
    expect(purse.wait('b', 'implementer', [])).toBeNull();
    ledger.end(purse, 'one', cost('b', 0.1), NOON);
    expect(purse.wait('b', 'implementer', [])?.reason).toMatch(
      /^agents\.b\.budget\.day_usd: \$0\.10 spent today of \$0\.15/,
    );
  });

  it('let a first run begin whose cost nobody knows, as long as anything is left', () => {
    const ledger = new FakeLedger();
    const purse = new Purse(ledger, context({ day_usd: 1, day_tokens: 100 }));
    expect(purse.wait('a', 'r', [])).toBeNull();
    expect(purse.wait('a', 'r', [{ agent: 'a', usd: 1, tokens: 0 }])?.reason).toContain('$1.00 reserved by 1 run');
    ledger.end(purse, 't', cost('a', null, 100), NOON);
    expect(purse.wait('c', 'r', [])?.reason).toMatch(
      /^budget\.day_tokens: 100 tokens used today of 100 tokens: it runs after/,
    );
  });

  it('say so when a single run takes more than a day may', () => {
    const purse = new Purse(new FakeLedger([cost('a', 3)]), context({ day_usd: 2 }));
    expect(purse.wait('a', 'implementer', [])?.reason).toBe(
      'budget.day_usd: $0.00 spent today of $2.00, such a task takes about $3.00: it runs when the budget is raised',
    );
  });

  it('count a running run with what it has used, once that is more than it reserves', () => {
    const purse = new Purse(new FakeLedger([cost('a', 1, 50)]), context({ day_usd: 3, day_tokens: 1000 }));
    purse.hold('t', 'a', 'implementer');
    const [held] = purse.held([{ id: 't' }]);
    purse.live('t', { usd: 0.5, tokens: 10 });
    expect(held).toMatchObject({ usd: 1, tokens: 50 });
    purse.live('t', { usd: 2.5, tokens: 70 });
    expect(purse.budgets([held!])).toMatchObject([{ reserved: 2.5, runs: 1 }, { reserved: 70 }]);
    expect(purse.wait('a', 'implementer', [held!])).not.toBeNull();
    purse.live('nobody', { usd: 1, tokens: 1 });
    purse.letGo('t');
    expect(purse.held([{ id: 't' }])).toEqual([]);
  });

  it('let nobody begin before it is read what a run has used that an earlier daemon began', () => {
    const purse = new Purse(new FakeLedger(), context({}));
    purse.hold('t', 'a', 'implementer', true);
    const wait = (agent: string) => purse.wait(agent, 'r', purse.held([{ id: 't' }]))?.until;
    expect([wait('b'), wait('shell')]).toEqual(['slot', undefined]);
    expect(purse.live('t', { usd: 1, tokens: 1 })).toBe(true);
    expect([wait('b'), purse.live('t', { usd: 2, tokens: 1 })]).toEqual([undefined, false]);
  });

  it('begin anew at midnight, keep what is known of a ledger that cannot be read, and forget with one that was deleted', () => {
    const ledger = new FakeLedger();
    const purse = new Purse(ledger, context({ day_usd: 2 }));
    const spent = () => purse.budgets([])[0]!.spent;
    ledger.end(purse, 't', cost('a', 2), NOON);
    expect([spent(), purse.refresh(NOON), purse.refresh(NOON + DAY), spent()]).toEqual([2, false, true, 0]);
    purse.refresh(NOON);
    ledger.readable = false;
    expect([purse.refresh(NOON), spent()]).toEqual([false, 2]);
    purse.finished(ended('u', cost('a', 1)), NOON);
    expect(spent()).toBe(3);
    purse.finished(ended('v', cost('a', 0.5)), NOON + DAY);
    expect(spent()).toBe(0.5);
    ledger.readable = true;
    ledger.runs = [];
    expect([purse.refresh(NOON), spent()]).toEqual([true, 0]);
  });

  it('are never exceeded when runs take what such runs took, whatever the order and whoever cannot be read', () => {
    const agents = ['a', 'b'];
    const roles = ['implementer', 'writer'];
    const step = fc.record({
      kind: fc.constantFrom('claim', 'claim', 'live', 'end', 'refresh', 'ledger'),
      agent: fc.constantFrom(...agents),
      role: fc.constantFrom(...roles),
      pick: fc.nat(),
      part: fc.double({ min: 0, max: 1, noNaN: true }),
    });
    const mills = fc.integer({ min: 1, max: 400 }).map((n) => n / 1000);
    const each = fc.tuple(mills, mills, mills, mills);
    fc.assert(
      fc.property(each, mills, mills, fc.array(step, { maxLength: 80 }), (costs, day_usd, own, steps) => {
        const takes = (agent: string, role: string) => {
          const usd = costs[agents.indexOf(agent) * 2 + roles.indexOf(role)]!;
          return cost(agent, usd, Math.round(usd * 10_000), role);
        };
        const known = agents.flatMap((agent) => roles.map((role) => takes(agent, role)));
        const ledger = new FakeLedger(known);
        const budget = { day_usd, day_tokens: Math.round(day_usd * 10_000) };
        const purse = new Purse(ledger, context(budget, { b: { command: 'b', budget: { day_usd: own } } }));
        purse.refresh(NOON);
        const running = new Map<string, RunCost>();
        const done: RunCost[] = [];
        const jobs = () => [...running.keys()].map((id) => ({ id }));
        for (const [n, { kind, agent, role, pick, part }] of steps.entries()) {
          const [id, run] = [...running][pick % Math.max(1, running.size)] ?? [];
          const taken = [...done, ...running.values()];
          const total = (of: 'usd' | 'tokens', who?: string) =>
            taken.reduce((sum, one) => sum + (who && one.agent !== who ? 0 : (one[of] ?? 0)), 0);
          if (kind === 'ledger') ledger.readable = !ledger.readable;
          if (kind === 'refresh') purse.refresh(NOON);
          if (kind === 'live' && id) purse.live(id, { usd: run!.usd! * part, tokens: run!.tokens * part });
          if (kind === 'end' && id) {
            running.delete(id);
            done.push(run!);
            ledger.end(purse, id, run!);
          }
          const next = takes(agent, role);
          if (kind === 'claim') {
            const wait = purse.wait(agent, role, purse.held(jobs()));
            const fits =
              total('usd') + next.usd! <= day_usd + 1e-9 &&
              total('tokens') + next.tokens <= budget.day_tokens &&
              (agent !== 'b' || total('usd', 'b') + next.usd! <= own + 1e-9);
            expect(wait === null).toBe(fits);
            if (wait === null) {
              running.set(`t${n}`, next);
              purse.hold(`t${n}`, agent, role);
            }
          }
          const [all] = purse.budgets(purse.held(jobs()));
          const now = [...done, ...running.values()].reduce((sum, one) => sum + one.usd!, 0);
          // Each run is counted once: as reserved while it runs, as spent from its end on.
          expect(all!.spent + all!.reserved).toBeCloseTo(now, 6);
          expect(now).toBeLessThanOrEqual(day_usd + 1e-6);
        }
      }),
      { numRuns: 300 },
    );
  });
});

describe('beside a real ledger', () => {
  const roots: string[] = [];
  afterEach(() => {
    for (const root of roots.splice(0)) rmSync(root, { recursive: true, force: true });
  });

  it('counts a run that just ended once, before and after it is written, and after a restart', () => {
    const workspace = new Workspace(mkdtempSync(join(tmpdir(), 'towpath-purse-')));
    roots.push(workspace.root);
    const events = new Events();
    const ledger = openLedger(workspace);
    ledger.attach(events);
    const purse = new Purse(ledger, context({ day_usd: 10 }));
    events.on((event) => event.event === 'attempt_finished' && purse.finished(event));
    const figures = () => {
      const [all] = purse.budgets(purse.held([{ id: 't' }]));
      return [all!.spent, all!.reserved];
    };
    purse.hold('t', 'a', 'implementer');
    purse.live('t', { usd: 1.25, tokens: 5 });
    expect(figures()).toEqual([0, 1.25]);
    events.emit('attempt_finished', ended('t', cost('a', 1.5)));
    expect(figures()).toEqual([1.5, 0]);
    // Settling was entered again: told twice, spent once.
    events.emit('attempt_finished', ended('t', cost('a', 1.5)));
    ledger.flush();
    purse.refresh();
    expect(figures()).toEqual([1.5, 0]);
    const reader = openLedger(workspace, { readonly: true });
    const later = new Purse(reader, context({ day_usd: 10 }));
    expect(later.budgets([])[0]!.spent).toBe(1.5);
    expect(later.expected('a', 'implementer')).toEqual({ usd: 1.5, tokens: 0 });
    reader.close();
    ledger.close();
  });

  it('asks for the last 20 of each agent and role, and sums from midnight on', () => {
    const workspace = new Workspace(mkdtempSync(join(tmpdir(), 'towpath-purse-')));
    roots.push(workspace.root);
    const ledger = openLedger(workspace);
    const at = (ms: number) => new Date(Date.parse(startOfDay(NOON)) + ms).toISOString();
    for (let n = 0; n < 30; n++)
      for (const agent of ['a', 'b'])
        ledger.record({ at: at(n - 10), event: 'attempt_finished', ...ended(`${agent}${n}`, cost(agent, n, n)) });
    const last = ledger.lastCosts(20);
    expect(last.filter(({ agent }) => agent === 'a').map(({ usd }) => usd)).toEqual(
      Array.from({ length: 20 }, (_, n) => 29 - n),
    );
    expect(last).toHaveLength(40);
    const sum = (10 + 29) * 10;
    expect(ledger.costs(startOfDay(NOON))).toEqual(
      ['a', 'b'].map((agent) => ({ agent, role: 'implementer', usd: sum, tokens: sum })),
    );
    expect(new Purse(ledger, context({})).expected('a', 'implementer').usd).toBe(19.5);
    ledger.close();
  });
});
