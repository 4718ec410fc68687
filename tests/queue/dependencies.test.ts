import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { findCycle, readiness } from '../../daemon/queue/dependencies.ts';
import type { Queue } from '../../daemon/task/terms.ts';

const wants = (depends_on: string[], on_dependency_failure: 'hold' | 'cancel' | 'run' = 'hold') => ({
  depends_on,
  on_dependency_failure,
});
const at = (queues: Record<string, Queue>) => (id: string) => queues[id] ?? null;

describe('readiness', () => {
  it('is ready when all dependencies are done', () => {
    expect(readiness(wants(['a', 'b']), at({ a: 'done', b: 'done' }))).toEqual({ kind: 'ready' });
  });
  it('waits and says for what, also for what is missing', () => {
    expect(readiness(wants(['a', 'b', 'c']), at({ a: 'done', b: 'claimed' }))).toEqual({
      kind: 'wait',
      reason: 'waits for b (claimed), c (in no queue)',
    });
  });
  it('does as the task says when one failed', () => {
    const queues = at({ a: 'failed' });
    expect(readiness(wants(['a']), queues)).toMatchObject({
      kind: 'hold',
      reason: expect.stringContaining('a, which failed'),
    });
    expect(readiness(wants(['a'], 'cancel'), queues).kind).toBe('cancel');
    expect(readiness(wants(['a'], 'run'), queues).kind).toBe('ready');
  });
});

describe('cycles', () => {
  it('finds the task itself and names the way', () => {
    const graph: Record<string, string[]> = { a: ['b'], b: ['c'], c: ['a'], d: ['a'] };
    const of = (id: string) => graph[id] ?? [];
    expect(findCycle('a', of)).toEqual(['a', 'b', 'c', 'a']);
    expect(findCycle('d', of)).toBeNull();
    expect(findCycle('e', () => ['e'])).toEqual(['e', 'e']);
  });
  it('is fast on diamonds and deep chains', () => {
    const deep = (id: string) => (Number(id) < 50_000 ? [String(Number(id) + 1)] : []);
    expect(findCycle('0', deep)).toBeNull();
    const diamond = (id: string) => (Number(id) < 60 ? [`${Number(id) + 1}`, `${Number(id) + 2}`] : []);
    expect(findCycle('0', diamond)).toBeNull();
  });
  it('agrees with a naive search on any small graph', () => {
    fc.assert(
      fc.property(fc.array(fc.array(fc.nat(5), { maxLength: 3 }), { minLength: 6, maxLength: 6 }), (edges) => {
        const of = (id: string) => (edges[Number(id)] ?? []).map(String);
        const reaches = (from: string, goal: string, seen = new Set<string>()): boolean =>
          of(from).some((next) => next === goal || (!seen.has(next) && seen.add(next) && reaches(next, goal, seen)));
        const found = findCycle('0', of);
        expect(found !== null).toBe(reaches('0', '0'));
        if (found) for (const [n, id] of found.slice(0, -1).entries()) expect(of(id)).toContain(found[n + 1]);
      }),
    );
  });
});
