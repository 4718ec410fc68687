// Lanes against a sorted list: who is next, who wakes when, also after removals and with a clock that goes back.
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { Lanes } from '../../daemon/queue/files/lanes.ts';
import { before, type Waiting, waitingOf } from '../../daemon/queue/files/waiting.ts';
import type { Priority } from '../../daemon/task/terms.ts';

const sign = { ino: 1, size: 1, mtime: 1, ctime: 1 };
let serial = 0;
function make(priority: Priority, agent: string, from: number, age: number): Waiting {
  const name = `t${String(++serial).padStart(6, '0')}.md`;
  const spec = {
    priority,
    agent,
    complexity: 'minor',
    seniority: 'senior',
    depends_on: [],
    on_dependency_failure: 'hold',
  } as const;
  const created_at = new Date(1e12 + age).toISOString();
  const state = from ? { not_before: new Date(from).toISOString() } : {};
  return waitingOf({ id: name.slice(0, -3), created_at, spec: { ...spec, depends_on: [] }, state }, name, sign);
}

const operation = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({
      op: fc.constant('add' as const),
      priority: fc.constantFrom<Priority[]>('P0', 'P1', 'P2', 'P3'),
      agent: fc.constantFrom('a', 'b', 'c'),
      from: fc.constantFrom(0, 0, 2000, 5000, 9000),
      age: fc.nat(50),
    }),
  },
  { weight: 2, arbitrary: fc.record({ op: fc.constant('remove' as const), pick: fc.nat() }) },
  { weight: 1, arbitrary: fc.record({ op: fc.constant('many' as const), count: fc.integer({ min: 60, max: 150 }) }) },
  {
    weight: 2,
    arbitrary: fc.record({ op: fc.constant('clock' as const), now: fc.integer({ min: 1000, max: 10_000 }) }),
  },
);

it('heads are the first of each kind, whatever came, went, slept and woke', () => {
  fc.assert(
    fc.property(fc.array(operation, { maxLength: 30 }), (operations) => {
      const lanes = new Lanes();
      const model = new Set<Waiting>();
      let now = 1000;
      const add = (one: Waiting) => {
        lanes.add(one, now);
        model.add(one);
      };
      for (const one of operations) {
        if (one.op === 'add') add(make(one.priority, one.agent, one.from, one.age));
        else if (one.op === 'many') for (let n = 0; n < one.count; n++) add(make('P2', 'a', n % 3 ? 0 : 3000, n % 7));
        else if (one.op === 'clock') now = one.now;
        else {
          // Half of them at times: so many are swept out.
          const all = [...model];
          const first = all.length ? one.pick % all.length : 0;
          for (const gone of all.slice(first, one.pick % 2 ? first + 1 : undefined)) {
            lanes.remove(gone);
            model.delete(gone);
          }
        }
        const awake = [...model].filter(({ from }) => from <= now).sort(before);
        const heads = awake.filter(({ kind }, at) => awake.findIndex((other) => other.kind === kind) === at);
        expect(lanes.heads(now).map(({ name }) => name)).toEqual(heads.map(({ name }) => name));
        const asleep = [...model].filter(({ from }) => from > now).sort((a, b) => a.from - b.from || before(a, b));
        expect(lanes.first(9, now).map(({ name }) => name)).toEqual(
          [...awake, ...asleep].slice(0, 9).map((w) => w.name),
        );
        expect(lanes.wakes).toBe(asleep[0]?.from ?? null);
        expect(new Set(lanes.sleepers())).toEqual(new Set(asleep));
      }
    }),
    { numRuns: 200 },
  );
});
