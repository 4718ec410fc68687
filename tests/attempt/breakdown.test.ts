// Plans of divided tasks: what they must keep to.
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { divisionProblem } from '../../daemon/attempt/breakdown.ts';
import { judgeAnswer } from '../../daemon/task/answer.ts';
import { type Division, divisionOf, divisionSchema, divisionText, type Part } from '../../daemon/task/breakdown.ts';

const part = (id: string, depends_on: string[] = [], more: Partial<Part> = {}): Part => ({
  ...{ id, title: `Make ${id}`, body: `Do ${id}.`, role: null, seniority: null, priority: null, depends_on },
  ...more,
});
const plan = (...subtasks: Part[]): Division => ({ summary: 'so', subtasks });
const RULES = { deeper: false, role: (name: string) => (name === 'tester' ? null : 'there is no such role') };
const problem = (...subtasks: Part[]) => divisionProblem(plan(...subtasks), RULES);
const fits = (value: unknown, most = 3, checks = true) =>
  'value' in judgeAnswer(JSON.stringify(value), divisionSchema({ most, checks }));

it('a plan with known roles and an order is fine', () => {
  expect(problem(part('a'), part('b', ['a'], { role: 'tester' }), part('c', ['a', 'b']))).toBe(null);
});

it('says all that is wrong with one', () => {
  const said = problem(part('a', ['nobody']), part('a'), part('b', [], { role: 'wizard' }), part('c', ['c']));
  expect(said).toContain('two subtasks have the id a');
  expect(said).toContain('a depends on nobody, which is none of the subtasks');
  expect(said).toContain('b: role wizard: there is no such role');
  expect(said).toContain('depends_on goes in a circle: c → c');
});

it('is divided further only where the depth allows it', () => {
  const deep = plan(part('a', [], { role: 'breakdown' }));
  expect(divisionProblem(deep, RULES)).toContain('subtasks.depth');
  expect(divisionProblem(deep, { ...RULES, deeper: true, role: () => null })).toBe(null);
});

it('an order that exists is never taken for a circle, and one edge back always is', () => {
  const graph = fc.integer({ min: 2, max: 20 }).chain((count) =>
    fc.record({
      count: fc.constant(count),
      edges: fc.array(fc.tuple(fc.nat(count - 1), fc.nat(count - 1)), { maxLength: 60 }),
      back: fc.tuple(fc.nat(count - 1), fc.nat(count - 1)),
      order: fc.shuffledSubarray([...Array(count).keys()], { minLength: count }),
    }),
  );
  fc.assert(
    fc.property(graph, ({ count, edges, back, order }) => {
      const on = [...Array(count).keys()].map(() => new Set<string>());
      // From the later to the earlier alone: no circle.
      for (const [a, b] of edges) if (a !== b) on[Math.max(a, b)]!.add(`n${Math.min(a, b)}`);
      const parts = () => order.map((n) => part(`n${n}`, [...on[n]!]));
      expect(problem(...parts())).toBe(null);
      const [low, high] = [Math.min(...back), Math.max(...back)];
      on[high]!.add(`n${low}`);
      on[low]!.add(`n${high}`);
      expect(problem(...parts())).toContain('depends_on goes in a circle');
    }),
  );
});

it('the schema wants one subtask at least and so many at most, short names, and checks only from those who may', () => {
  expect(fits(plan(part('a', [], { checks: null })))).toBe(true);
  expect(fits(plan(part('a', [], { checks: ['true'] })))).toBe(true);
  expect(fits(plan())).toBe(false);
  expect(fits(plan(...['a', 'b', 'c', 'd'].map((id) => part(id, [], { checks: null }))))).toBe(false);
  expect(fits(plan(part('No Slug', [], { checks: null })))).toBe(false);
  expect(fits(plan(part('a')), 3, false)).toBe(true);
  expect(fits(plan(part('a', [], { checks: ['true'] })), 3, false)).toBe(false);
});

it('what a plan leaves out is filled in: names from titles, and an order by them', () => {
  const said = {
    subtasks: [
      { title: 'Make A!', body: 'a', extra: 1 },
      { title: 'Make A!', body: 'b' },
      { title: 'Make B', body: 'b' },
      { title: 'C', body: 'c', depends_on: ['Make B', 'make-a'] },
    ],
  };
  expect(fits(said, 4)).toBe(true);
  const { summary, subtasks } = divisionOf(said);
  expect(summary).toBe('');
  expect(subtasks[0]).toEqual(part('make-a', [], { title: 'Make A!', body: 'a', checks: null }));
  expect(subtasks.map(({ id }) => id)).toEqual(['make-a', 'make-a-2', 'make-b', 'c']);
  expect(subtasks[3]?.depends_on).toEqual(['make-b', 'make-a']);
  fc.assert(
    fc.property(
      fc.array(fc.record({ title: fc.string({ minLength: 1 }), body: fc.constant('b') }), {
        minLength: 1,
        maxLength: 20,
      }),
      (parts) => {
        const named = divisionOf({ subtasks: parts });
        expect(fits(named, 20)).toBe(true);
        expect(divisionProblem(named, RULES)).toBe(null);
      },
    ),
  );
});

it('a part may have a name as tasks have them, and no title', () => {
  const said = {
    subtasks: [{ id: 'Part_1', body: 'Now:\n\n## Lay the keel\n' }, { id: 'b', body: 'x' }, { body: 'Sand it.\nAll.' }],
  };
  expect(fits(said)).toBe(true);
  const { subtasks } = divisionOf(said);
  expect(subtasks.map(({ id, title }) => [id, title])).toEqual([
    ['Part_1', 'Lay the keel'],
    ['b', 'b'],
    ['sand-it', 'Sand it.'],
  ]);
});

it('is shown with its order', () => {
  expect(divisionText(plan(part('a', [], { checks: ['npm test'] }), part('b', ['a'], { seniority: 'junior' })))).toBe(
    'so\n\n1. a: Make a\n   checks: `npm test`\n   Do a.\n\n2. b: Make b\n   after a; junior\n   Do b.',
  );
});
