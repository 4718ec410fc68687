// The full sweep: a kill before every call that changes state, in every scenario; at every system call; twice in a row; at random.
// CRASH_CASE=name:kill plays one case; CRASH_SCENARIO=a,b only those; CRASH_STRIDE=N every Nth kill; CRASH_SEED and CRASH_SEEDS the random part.
import { expect, it } from 'vitest';
import { random } from '../../bench/soak/random.ts';
import { playSeed } from './random.ts';
import { SCENARIOS } from './scenarios.ts';
import { hasStrace, systemCalls } from './strace.ts';
import { type Case, killsOf, newTally, parseCase, playAll, Stage, summary, type Tally } from './sweep.ts';

const only = process.env['CRASH_CASE'];
const named = process.env['CRASH_SCENARIO']?.split(',');
const stride = Number(process.env['CRASH_STRIDE'] ?? 1);
const seed = Number(process.env['CRASH_SEED'] ?? Date.now() % 1e6);
const wanted = SCENARIOS.filter(({ name }) => !named || named.includes(name));

function judge(what: string, tally: Tally): void {
  console.log(`${what}: ${summary(tally)} (seed ${seed})`);
  expect(tally.failures.join('\n')).toBe('');
}

/** Every `stride`th case of each kind of call. */
function thin(cases: Case[]): Case[] {
  const seen = new Map<string, number>();
  return cases.filter(({ kills: [kill = ''] }) => {
    const kind = kill.split(' ').slice(0, -1).join(' ');
    const n = seen.get(kind) ?? 0;
    seen.set(kind, n + 1);
    return (n + seed) % stride === 0;
  });
}

if (only) {
  it(`the case ${only}`, async () => {
    const one = parseCase(only);
    const stage = await new Stage(SCENARIOS.find(({ name }) => name === one.scenario)!).ready();
    const wrong = await stage.play(one, newTally()).finally(() => stage.close());
    expect(wrong).toEqual([]);
  });
} else {
  for (const scenario of wanted) {
    it(`${scenario.name}: killed before, amid and after each call of its own`, async () => {
      const tally = newTally();
      await playAll(scenario, (calls) => thin(killsOf(scenario.name)(calls)), tally);
      judge(scenario.name, tally);
    });
    it(`${scenario.name}: killed two and three times in a row`, async () => {
      const tally = newTally();
      const next = random(seed);
      const kills = (calls: string[]) => {
        const all = killsOf(scenario.name)(calls);
        const some = () => all[Math.floor(next() * all.length)]!.kills[0]!;
        const count = Math.max(2, Math.ceil(all.length / (6 * stride)));
        return Array.from({ length: count }, (_, n) => ({
          scenario: scenario.name,
          kills: n % 2 ? [some(), some()] : [some(), some(), some()],
        }));
      };
      await playAll(scenario, kills, tally);
      judge(`${scenario.name}, in a row`, tally);
    });
  }
  for (const scenario of wanted.filter(({ command, unsettled }) => !command && !unsettled))
    it.runIf(hasStrace())(`${scenario.name}: killed at each system call`, async () => {
      const tally = newTally();
      const stage = await new Stage(scenario).ready();
      const cases = await systemCalls(stage).finally(() => stage.close());
      expect(cases.length).toBeGreaterThan(50);
      await playAll(scenario, () => thin(cases), tally);
      judge(`${scenario.name}, by system call`, tally);
    });
  it('killed at random instants, with commands of a person meanwhile', async () => {
    const failed: string[] = [];
    const seeds = Number(process.env['CRASH_SEEDS'] ?? 20);
    for (let n = 0; n < seeds; n++) {
      const wrong = await playSeed(seed + n, 3 + (n % 4));
      if (wrong.length > 0) failed.push(`CRASH_SEED=${seed + n}\n  ${wrong.join('\n  ')}`);
    }
    console.log(`random: ${seeds} worlds from seed ${seed}; ${failed.length} failed`);
    expect(failed.join('\n')).toBe('');
  });
}
