// Which of those who ride together breaks the train.
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { firstBad } from '../../daemon/gate/train/bisect.ts';

it('finds the first that breaks it, in as few tries as halves need, and has seen the one before it pass', async () => {
  const cases = fc
    .integer({ min: 1, max: 200 })
    .chain((count) => fc.tuple(fc.constant(count), fc.integer({ min: 1, max: count })));
  await fc.assert(
    fc.asyncProperty(cases, async ([count, bad]) => {
      const tried: number[] = [];
      const found = await firstBad(count, async (n) => {
        tried.push(n);
        return n >= bad;
      });
      expect(found).toBe(bad);
      expect(tried.length).toBeLessThanOrEqual(Math.ceil(Math.log2(count)));
      expect(new Set(tried).size).toBe(tried.length);
      expect(tried.every((n) => n > 0 && n < count)).toBe(true);
      if (bad > 1) expect(tried).toContain(bad - 1);
    }),
  );
});

it('brings home all who are good in their order, whoever is bad', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(fc.boolean(), { maxLength: 40 }), async (all) => {
      let waiting = all.map((good, id) => ({ good, id }));
      const home: number[] = [];
      const back: number[] = [];
      while (waiting.length > 0) {
        const riders = waiting;
        const fails = async (n: number) => riders.slice(0, n).some(({ good }) => !good);
        const bad = (await fails(riders.length)) ? await firstBad(riders.length, fails) : null;
        home.push(...riders.slice(0, bad === null ? riders.length : bad - 1).map(({ id }) => id));
        if (bad !== null) back.push(riders[bad - 1]!.id);
        waiting = bad === null ? [] : riders.slice(bad);
      }
      expect(home).toEqual(all.flatMap((good, id) => (good ? [id] : [])));
      expect(back).toEqual(all.flatMap((good, id) => (good ? [] : [id])));
    }),
  );
});

it('gives up when a try gave no answer', async () => {
  expect(await firstBad(5, async () => null)).toBe(null);
  expect(await firstBad(1, async () => null)).toBe(1);
});
