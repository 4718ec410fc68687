// A few kills of some scenarios as part of the whole suite, of more in `npm run test:long`. `npm run test:crash` kills at every call.
import { expect, it } from 'vitest';
import { SCENARIOS } from './scenarios.ts';
import { killsOf, newTally, playAll } from './sweep.ts';

const SHORT: Record<string, number> = {
  major: 40,
  minor: 50,
  fails: 50,
  refused: 30,
  asked: 40,
  reviewed: 110,
  mended: 140,
  'mended-minor': 140,
  tested: 150,
  breakdown: 120,
  'by-hand': 60,
  'accept-minor': 14,
  merge: 25,
  'merge-bisect': 30,
  'merge-conflict': 25,
  pr: 12,
  enqueue: 3,
  workflow: 300,
  'workflow-run': 45,
  'workflow-retry': 300,
  'workflow-again': 12,
  'workflow-cut': 12,
};

/** Those that the whole suite has time for. */
const QUICK = ['major', 'accept-minor', 'merge', 'enqueue'];
const isPlayed = (name: string) => (process.env['TOWPATH_LONG'] ? name in SHORT : QUICK.includes(name));

for (const scenario of SCENARIOS.filter(({ name }) => isPlayed(name)))
  it(`${scenario.name}: a kill at any call comes to the same`, async () => {
    const tally = newTally();
    await playAll(scenario, killsOf(scenario.name, SHORT[scenario.name], 7), tally);
    expect(tally.failures.join('\n')).toBe('');
    expect(tally.cases).toBeGreaterThan(0);
  }, 120_000);

it('minor-retry: a kill while earlier work is put back into the tree loses none of it', async () => {
  const tally = newTally();
  const scenario = SCENARIOS.find(({ name }) => name === 'minor-retry')!;
  const puts = (calls: string[]) =>
    calls.filter((line) => line.includes('checkout-index')).map((line) => `after ${line.split(' ')[0]}`);
  await playAll(scenario, (calls) => puts(calls).map((kill) => ({ scenario: scenario.name, kills: [kill] })), tally);
  expect(tally.failures.join('\n')).toBe('');
  expect(tally.cases).toBeGreaterThan(2);
}, 120_000);
