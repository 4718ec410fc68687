// The graph of steps: circles are found, orders and levels hold for any graph without one, and decisions by how steps ended.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { decide, type Standing } from '../../daemon/workflow/decide.ts';
import { afterStep, circleIn, levelsOf, orderOf } from '../../daemon/workflow/graph.ts';
import type { PlannedStep } from '../../daemon/workflow/plan.ts';

/** Graphs without a circle, their nodes in any order. */
const dag = fc.integer({ min: 1, max: 14 }).chain((size) =>
  fc
    .tuple(
      fc.shuffledSubarray([...Array(size).keys()], { minLength: size }),
      fc.array(fc.tuple(fc.nat(size - 1), fc.nat(size - 1)), { maxLength: 40 }),
    )
    .map(([order, edges]) => {
      const nodes = order.map(() => ({ needs: [] as number[] }));
      for (const [a, b] of edges)
        if (a < b && !nodes[order[b]!]!.needs.includes(order[a]!)) nodes[order[b]!]!.needs.push(order[a]!);
      return nodes;
    }),
);

describe('a graph', () => {
  it('without a circle has an order in which each comes after those that it needs', () => {
    fc.assert(
      fc.property(dag, (nodes) => {
        expect(circleIn(nodes)).toBe(null);
        const order = orderOf(nodes);
        const levels = levelsOf(nodes);
        expect([...order].sort((a, b) => a - b)).toEqual([...nodes.keys()]);
        for (const [at, { needs }] of nodes.entries()) {
          for (const need of needs) expect(order.indexOf(need)).toBeLessThan(order.indexOf(at));
          expect(levels[at]).toBe(needs.length === 0 ? 0 : Math.max(...needs.map((need) => levels[need]!)) + 1);
        }
      }),
    );
  });

  it('with one names it', () => {
    fc.assert(
      fc.property(dag, fc.nat(), fc.nat(), (nodes, a, b) => {
        const first = a % nodes.length;
        const after = [first, ...afterStep(nodes, first)];
        const last = after[b % after.length]!;
        const torn = nodes.map(({ needs }, at) => ({ needs: at === first ? [...needs, last] : needs }));
        const circle = circleIn(torn)!;
        expect(circle.at(0)).toBe(circle.at(-1));
        expect(circle.length).toBeGreaterThan(1);
        for (const [n, at] of circle.slice(0, -1).entries()) expect(torn[at]!.needs).toContain(circle[n + 1]);
      }),
    );
  });

  it('tells who comes after a step', () => {
    const nodes = [{ needs: [] }, { needs: [0] }, { needs: [] }, { needs: [1, 2] }];
    expect([0, 1, 2, 3].map((at) => afterStep(nodes, at))).toEqual([[1, 3], [3], [3], []]);
  });

  it('may be deep', () => {
    const deep = [...Array(20_000).keys()].map((at) => ({ needs: at === 0 ? [] : [at - 1] }));
    expect(levelsOf(deep).at(-1)).toBe(19_999);
    expect(circleIn(deep)).toBe(null);
  });
});

describe('a decision', () => {
  const step = (given: Partial<PlannedStep>): PlannedStep => ({
    ...{
      id: 'x',
      name: 'S',
      role: 'r',
      inputs: [],
      outputs: [],
      when: null,
      each: null,
      needs: [],
      matter: {},
      body: '',
    },
    ...given,
  });
  const steps = [step({ name: 'A' }), step({ name: 'B' })];
  const at =
    (...all: Standing[]) =>
    (n: number) =>
      all[n]!;
  const ifFailed = step({ when: { step: 0, outcomes: ['failed'] }, needs: [0, 1] });
  const takes = (other?: string) =>
    step({ inputs: [{ name: 'X', from: 0, ...(other === undefined ? {} : { default: other }) }], needs: [0] });

  it('waits for the step of its condition, and no longer once that has ended as asked', () => {
    expect(decide(steps, ifFailed, at('open', 'open'))).toEqual({ kind: 'depends', on: [0, 1] });
    expect(decide(steps, ifFailed, at('failed', 'ok'))).toEqual({ kind: 'depends', on: [1] });
  });
  it('skips where the condition does not hold, at once', () => {
    const reason = 'skipped: "A" ended ok, and this is for failed';
    expect(decide(steps, ifFailed, at('ok', 'open'))).toEqual({ kind: 'skip', reason });
    expect(decide(steps, ifFailed, at('skipped', 'open'))).toMatchObject({
      reason: expect.stringContaining('"A" was skipped'),
    });
  });
  it('skips who takes what a skipped step puts out, unless there is a default', () => {
    const reason = 'skipped: it takes ${X} of "A", which was skipped';
    expect(decide(steps, takes(), at('skipped'))).toEqual({ kind: 'skip', reason });
    expect(decide(steps, takes(''), at('skipped'))).toEqual({ kind: 'depends', on: [0] });
    expect(decide(steps, takes(), at('failed'))).toEqual({ kind: 'depends', on: [0] });
  });
  it('goes on after a skipped step of which it takes nothing', () => {
    expect(decide(steps, step({ needs: [0] }), at('skipped'))).toEqual({ kind: 'depends', on: [0] });
  });
});
