// What a run may use: the limits of attempt and task, before it begins and while it goes on.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { advice, amountText, capsOf, exceeded, usdLeft, usedUp } from '../../daemon/attempt/budget.ts';
import { settingsSchema } from '../../daemon/settings.ts';
import type { State, TaskSpec } from '../../daemon/task/terms.ts';

const caps = (budget: object, state: State = {}, spec: Partial<TaskSpec> = {}) =>
  capsOf({ spec: spec as TaskSpec, state }, settingsSchema.parse({ budget }));
const tokens = (input: number, cache_read = 0) => ({ input, output: 0, cache_read, cache_write: 0 });

describe('what is left', () => {
  it('is the least of the attempt and the rest of the task', () => {
    expect(usdLeft(caps({}))).toBe(5);
    expect(usdLeft(caps({}, { cost_usd: 4.5 }))).toBe(0.5);
    expect(usdLeft(caps({ attempt_usd: 0.2 }, { cost_usd: 4.5 }))).toBe(0.2);
    expect(usdLeft(caps({ attempt_usd: 2 }, { cost_usd: 0.25 }, { budget_usd: 1 }))).toBe(0.75);
    expect(usdLeft([])).toBeNull();
  });

  it('is nothing for a task that is over, with what to raise', () => {
    expect(usedUp(caps({}, { cost_usd: 4.99 }), 't')).toBeNull();
    expect(usedUp(caps({}, { cost_usd: 5 }), 't')).toBe(
      '$5.00 of $5.00 spent (budget.task_usd): raise budget.task_usd, or set budget_usd in the task, then "towpath retry t"; unraised it is blocked again',
    );
    expect(usedUp(caps({}, { cost_usd: 2 }, { budget_usd: 1.5 }), 't')).toMatch(
      /^\$2\.00 of \$1\.50 .*raise budget_usd,/,
    );
    const used = { tokens: tokens(100, 900) };
    expect(usedUp(caps({ task_tokens: 1001 }, used), 't')).toBeNull();
    expect(usedUp(caps({ task_tokens: 1000 }, used), 't')).toMatch(
      /^1,000 tokens of 1,000 tokens used .*raise budget.task_tokens/,
    );
    expect(usedUp(caps({ attempt_usd: 1, attempt_tokens: 1 }, { cost_usd: 3, ...used }), 't')).toBeNull();
  });
});

describe('a run that goes on', () => {
  it('is ended for the first limit that it exceeds', () => {
    const limits = caps({ attempt_usd: 1, task_tokens: 1000 }, { cost_usd: 4.5, tokens: tokens(400) });
    expect(exceeded(limits, { usd: 0.5, tokens: 600 }, 't')).toBeNull();
    expect(exceeded(limits, { usd: 0.51, tokens: 0 }, 't')).toMatch(/\$5\.01 of \$5\.00 spent \(budget\.task_usd\)/);
    expect(exceeded(limits, { usd: 0, tokens: 601 }, 't')).toMatch(
      /1,001 tokens of 1,000 tokens used \(budget\.task_tokens\)/,
    );
    expect(exceeded(caps({ attempt_usd: 1 }), { usd: 1.2, tokens: 0 }, 't')).toMatch(
      /\$1\.20 of \$1\.00 spent \(budget\.attempt_usd\): "towpath retry t" begins another attempt/,
    );
  });

  it('never when it stays within what was left at its start, and always when it does not', () => {
    const usd = fc.integer({ min: 1, max: 10_000 }).map((mills) => mills / 1000);
    fc.assert(
      fc.property(usd, usd, usd, usd, (attempt_usd, task_usd, cost_usd, more) => {
        const limits = caps({ attempt_usd, task_usd }, { cost_usd });
        const left = usdLeft(limits)!;
        const spent = (amount: number) => exceeded(limits, { usd: amount, tokens: 0 }, 't');
        expect(usedUp(limits, 't') !== null).toBe(left === 0);
        if (left > 0) expect(spent(Math.max(0, left - 1e-6))).toBeNull();
        expect(spent(left + more)).not.toBeNull();
      }),
    );
  });
});

it('says what to raise for an agent that keeps its budget itself: the tightest', () => {
  expect(advice(caps({ attempt_usd: 1 }), 't')).toContain('raise budget.attempt_usd');
  expect(advice(caps({ attempt_usd: 1 }, { cost_usd: 4.5 }), 't')).toContain('raise budget.task_usd');
});

it.each([
  ['usd', 0, '$0.00'],
  ['usd', 0.01, '$0.01'],
  ['usd', 0.0034, '$0.0034'],
  ['usd', 0.005, '$0.005'],
  ['usd', 49.2, '$49.20'],
  ['tokens', 1234567.4, '1,234,567 tokens'],
] as const)('%s %s reads %s', (unit, amount, text) => {
  expect(amountText(unit, amount)).toBe(text);
});
