import { describe, expect, it } from 'vitest';
import { decide, failure } from '../../daemon/attempt/ending.ts';
import { backoff, CONSEQUENCES, fingerprint } from '../../daemon/task/outcome.ts';
import { mayMove } from '../../daemon/task/states.ts';
import { OUTCOMES, type Outcome, type State } from '../../daemon/task/terms.ts';

const NOW = Date.parse('2026-01-01T00:00:00Z');
const policy = { max_attempts: 3, initial: 10_000, max: 600_000, now: NOW, jitter: 0 };
const end = (outcome: Outcome, reason = 'because', more = {}) => failure(outcome, reason, more);
const settled = (state: State, outcome: Outcome, reason?: string, more = {}) =>
  decide(state, 1, end(outcome, reason, more), policy);

describe('the outcome table', () => {
  it('leads every outcome over a transition that exists', () => {
    for (const outcome of OUTCOMES) {
      const { to } = settled({}, outcome);
      expect(mayMove('claimed', to), `${outcome} → ${to}`).toBe(true);
      expect(to).toBe(CONSEQUENCES[outcome].to);
    }
  });

  it.each([
    'check_failed',
    'rejected',
    'no_changes',
    'failed',
    'timeout',
    'stuck',
    'max_turns',
    'context_exceeded',
    'conflict',
  ] as const)('%s spends an attempt, waits and leaves feedback', (outcome) => {
    const { to, state } = settled({ attempts: 1 }, outcome, 'why');
    expect(to).toBe('incoming');
    expect(state.attempts).toBe(2);
    expect(state.feedback?.at(-1)?.message).toBe('why');
    expect(state.not_before).toBe('2026-01-01T00:00:20.000Z');
  });

  it.each(['rate_limited', 'transient', 'auth', 'billing', 'budget', 'needs_input', 'crashed'] as const)(
    '%s spends none',
    (outcome) => {
      expect(settled({ attempts: 2 }, outcome).state.attempts).toBe(2);
    },
  );

  it('fails once the attempts are spent, and says so', () => {
    const { to, state } = settled({ attempts: 2 }, 'failed', 'boom');
    expect(to).toBe('failed');
    expect(state.reason).toBe('boom (3 of 3 attempts spent)');
    expect(state.finished_at).toBeDefined();
  });

  it('stops early at the same error or the same diff', () => {
    const first = settled({}, 'failed', 'boom at 12:30:01 in 4.2s');
    expect(first.to).toBe('incoming');
    expect(settled(first.state as State, 'failed', 'boom at 14:00:59 in 17s').state.reason).toMatch(/same error twice/);
    expect(settled(first.state as State, 'failed', 'bang').to).toBe('incoming');
    const diff = settled({}, 'check_failed', 'a', { tree: 'abc' });
    expect(settled(diff.state as State, 'check_failed', 'b', { tree: 'abc' }).state.reason).toMatch(/same diff twice/);
    expect(settled(diff.state as State, 'check_failed', 'b', { tree: 'def' }).to).toBe('incoming');
  });

  it('counts ten transients in a row as one attempt', () => {
    let state: State = {};
    for (let n = 1; n <= 9; n++) {
      const next = settled(state, 'transient', '529');
      expect(next.to).toBe('incoming');
      state = next.state as State;
      expect(state.attempts).toBe(0);
    }
    expect(settled(state, 'transient', '529').state.attempts).toBe(1);
    expect(settled(state, 'ok').state.transients).toBeUndefined();
  });

  it('counts three crashes in a row as one attempt', () => {
    const once = settled({}, 'crashed').state as State;
    const twice = settled(once, 'crashed').state as State;
    expect(twice.attempts).toBe(0);
    expect(settled(twice, 'crashed').state.attempts).toBe(1);
  });

  it('does not count an attempt twice when the gate turns it back', () => {
    expect(settled({ attempts: 1, spent_run: 1 }, 'check_failed', 'x').state.attempts).toBe(1);
  });
});

describe('fingerprints', () => {
  it('see through what differs from run to run, and nothing else', () => {
    expect(fingerprint('failed', 'took 12ms at 0xdeadbeef1 in /tmp/x1')).toBe(
      fingerprint('failed', 'took 7ms at 0xdeadbeef2 in /tmp/x2'),
    );
    expect(fingerprint('check_failed', '3 tests failed')).not.toBe(fingerprint('check_failed', '1 tests failed'));
    expect(fingerprint('failed', 'x')).not.toBe(fingerprint('timeout', 'x'));
  });
});

it('backs off by doubling, within bounds', () => {
  expect([1, 2, 3, 10, 1000].map((n) => backoff(n, 10_000, 600_000))).toEqual([
    10_000, 20_000, 40_000, 600_000, 600_000,
  ]);
  expect(backoff(1, 10_000, 600_000, 0.999)).toBeGreaterThanOrEqual(5000);
});
