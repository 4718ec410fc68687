// What agents of our own form tell while they run: their session, and what they have used so far.
import { expect, test } from 'vitest';
import { PatternReader } from '../../daemon/agents/pattern.ts';
import { retryAt, StreamReader } from '../../daemon/agents/stream.ts';

const END = { code: 0, signal: null, stdout: '', stderr: '' };
const usage = { input_tokens: 10, output_tokens: 2, cache_read_tokens: 3 };

test('a session and amounts are known before the end, and after a restart of the reader', () => {
  const reader = new StreamReader();
  expect(reader.spent).toMatchObject({ input: 0, cost_usd: null });
  expect(reader.line('{"type":"session","session":"s","model":"m"}')).toEqual([
    { type: 'session', session: 's', model: 'm' },
  ]);
  expect(reader.line(JSON.stringify({ type: 'usage', usage: { input_tokens: 4 } }))).toEqual([]);
  expect(reader.line(JSON.stringify({ type: 'usage', usage }))).toEqual([]);
  const spent = { input: 10, output: 2, cache_read: 3, cache_write: 0, cost_usd: null };
  expect(reader.spent).toEqual(spent);
  const again = new StreamReader();
  again.restore(JSON.parse(JSON.stringify(reader.state)));
  expect(again.spent).toEqual(spent);
  const killed = again.conclude({ ...END, code: null, signal: 'SIGKILL' });
  expect(killed).toMatchObject({ outcome: 'failed', session: 's', model: 'm', usage: spent });
});

test('what the result tells wins', () => {
  const reader = new StreamReader(0);
  reader.line(JSON.stringify({ type: 'usage', usage: { input_tokens: 4, cost_usd: 1 } }));
  expect(reader.spent.cost_usd).toBe(1);
  reader.line('{"type":"session","session":"early"}');
  reader.line(JSON.stringify({ type: 'result', output: 'x', session: 'late', usage }));
  expect(reader.conclude(END)).toMatchObject({ session: 'late', usage: { input: 10, cost_usd: 0 } });
  expect(reader.line('{"type":"session"}')).toEqual([{ type: 'log', content: '{"type":"session"}' }]);
});

test('a part of an event that is null or wrong does not take the event with it', () => {
  const reader = new StreamReader();
  const said = (event: object) => reader.line(JSON.stringify(event));
  said({ type: 'tool_call', id: 7, name: null, content: 'ls' });
  expect(reader.openTools).toBe(1);
  said({ type: 'tool_result', id: 7, is_error: null });
  expect(reader.openTools).toBe(0);
  const bad = {
    usage: { input_tokens: 5, output_tokens: '9', cost_usd: null },
    artifacts: [{ path: 'a' }],
    outputs: null,
  };
  said({ type: 'result', content: 'not yet', output: null, success: false, session: null, ...bad });
  const usage = { input: 5, output: 0, cost_usd: null };
  expect(reader.conclude(END)).toMatchObject({
    outcome: 'failed',
    reason: 'not yet',
    session: null,
    usage,
    outputs: {},
  });
  said({ type: 'result', output: 'x', success: 'no' });
  expect(reader.conclude(END).outcome).toBe('failed');
  said({ type: 'result', output: 'x', success: null });
  expect(reader.conclude(END)).toMatchObject({ outcome: 'ok', output: 'x' });
  said({ type: 'error', content: 'overloaded', outcome: 'overloaded', retry_after: null });
  expect(reader.conclude(END)).toMatchObject({ outcome: 'failed', reason: 'overloaded', retry_at: null });
});

test('a time is ISO, or seconds or milliseconds since 1970; a delay is a duration or seconds', () => {
  const at = Date.parse('2027-01-02T03:04:05Z');
  for (const told of ['2027-01-02T03:04:05Z', at / 1000, at, String(at / 1000), String(at)])
    expect(retryAt(undefined, told), String(told)).toBe('2027-01-02T03:04:05.000Z');
  for (const told of ['2m', 120, '120', '120.0']) {
    const wait = Date.parse(retryAt(told, undefined)!) - Date.now();
    expect(wait, String(told)).toBeGreaterThan(100_000);
    expect(wait, String(told)).toBeLessThanOrEqual(120_000);
  }
  for (const told of ['soon', '', 1e300])
    expect([retryAt(told, undefined), retryAt(undefined, told)]).toEqual([null, null]);
});

test.each([
  ['{"success":false,"reason":null}', 'failed'],
  ['{"success":false,"output":{"a":1}}', 'failed'],
  ['{"success":"no"}', 'failed'],
  ['{"decision":"maybe"}', 'failed'],
  ['{"decision":"block","reason":["who?"]}', 'needs_input'],
  ['{"decision":"retry","retry_after":60}', 'transient'],
  ['{"decision":null,"success":true,"reason":1}', 'ok'],
])('a part of a pattern’s last line that is wrong does not make it a success: %s', (line, outcome) => {
  const reader = new PatternReader();
  reader.line(line);
  expect(reader.conclude({ ...END, code: 0 }).outcome).toBe(outcome);
});
