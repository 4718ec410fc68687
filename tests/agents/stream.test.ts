// What agents of our own form tell while they run: their session, and what they have used so far.
import { expect, test } from 'vitest';
import { StreamReader } from '../../daemon/agents/stream.ts';

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
