// How the output of Claude Code is read and judged, on short made-up streams.
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { claude } from '../../../daemon/agents/claude/claude.ts';
import { outcomeOf, resetTime, resetTimeInText } from '../../../daemon/agents/claude/verdict.ts';
import type { RunEnd, Verdict } from '../../../daemon/agents/port.ts';

const init = { type: 'system', subtype: 'init', session_id: 's1', model: 'm1', mcp_servers: [] };
const says = (...content: object[]) => ({
  type: 'assistant',
  parent_tool_use_id: null,
  message: { id: 'msg1', model: 'm1', content, usage: { input_tokens: 10, output_tokens: 1 } },
});
const calls = (id: string, name: string, input: object) => ({ type: 'tool_use', id, name, input });
const answers = (id: string, content: unknown, is_error?: boolean) => ({
  type: 'user',
  message: { content: [{ type: 'tool_result', tool_use_id: id, content, is_error }] },
});
const spent = (input: number, output: number, cost: number) => ({
  m1: { inputTokens: input, outputTokens: output, cacheReadInputTokens: 5, cacheCreationInputTokens: 0, costUSD: cost },
});
const good = {
  ...{ type: 'result', subtype: 'success', is_error: false, result: 'Done.', session_id: 's1', total_cost_usd: 9 },
  model_usage_since_last_result: spent(100, 20, 0.5),
};
/** An API failure as the CLI tells it: `success` in name only. */
const bad = (status: number | null, kind: string, more: object = {}) => [
  init,
  { type: 'assistant', error: kind, message: { model: '<synthetic>', content: [{ type: 'text', text: 'API Error' }] } },
  { ...good, is_error: true, result: 'API Error', api_error_status: status, terminal_reason: 'api_error', ...more },
];
const exit = (code: number | null, stderr = ''): RunEnd => ({
  ...{ code, signal: code === null ? 'SIGKILL' : null },
  ...{ stderr, stdout: '' },
});

function judge(events: unknown[], end: RunEnd): Verdict {
  const reader = claude.reader();
  for (const event of events) reader.line(JSON.stringify(event));
  return reader.conclude(end);
}

describe('reader', () => {
  test('turns lines into events and knows what is open', () => {
    const reader = claude.reader();
    const line = (event: object) => reader.line(JSON.stringify(event));
    expect(line(init)).toEqual([{ type: 'session', session: 's1', model: 'm1' }]);
    expect(line(init)).toEqual([]);
    expect(line(says({ type: 'text', text: 'hm' }, { type: 'thinking', thinking: '…' }))).toEqual([
      { type: 'agent_thought', content: 'hm' },
    ]);
    expect(line(says(calls('t1', 'Bash', { command: 'ls\n-l' }), calls('t2', 'Read', { file_path: '/a' })))).toEqual([
      { type: 'tool_call', id: 't1', name: 'Bash', content: 'ls -l' },
      { type: 'tool_call', id: 't2', name: 'Read', content: '/a' },
    ]);
    expect(reader.openTools).toBe(2);
    expect(line(answers('t1', 'no', true))).toEqual([{ type: 'tool_result', id: 't1', content: 'no', is_error: true }]);
    expect(line(answers('t2', [{ type: 'text', text: 'a' }, { type: 'image' }]))).toMatchObject([
      { content: 'a\n[image]' },
    ]);
    expect([reader.openTools, reader.finished]).toEqual([0, false]);
    const retry = { type: 'system', subtype: 'api_retry', attempt: 1, max_retries: 2, retry_delay_ms: 2110 };
    expect(line({ ...retry, error_status: 529, error: 'overloaded' })).toEqual([
      { type: 'log', content: 'model call failed (529 overloaded), try 1 of 2 in 2.1s' },
    ]);
    const denied = { tool_name: 'Bash', tool_input: { command: 'touch x' } };
    expect(line({ ...good, permission_denials: [denied] })).toEqual([
      { type: 'log', content: 'denied: Bash: touch x' },
      { type: 'result', content: 'Done.', success: true },
    ]);
    expect(reader.finished).toBe(true);
    // A second turn in the same process: not finished after all.
    line(init);
    expect(reader.finished).toBe(false);
  });

  test('never throws and stays bounded, whatever the line holds', () => {
    const reader = claude.reader();
    expect(reader.line('  ')).toEqual([]);
    expect(reader.line('not json')).toEqual([{ type: 'log', content: 'not json' }]);
    const long = reader.line(JSON.stringify(answers('t', 'x'.repeat(1_000_000))))[0];
    expect(long && 'content' in long && long.content.length).toBeLessThan(20_000);
    const word = fc.constantFrom(
      'type',
      'system',
      'init',
      'assistant',
      'user',
      'result',
      'message',
      'content',
      'usage',
    );
    const tree = fc.object({ key: word, values: [word, fc.integer(), fc.constant(null), fc.boolean()], maxDepth: 4 });
    const type = fc.constantFrom('system', 'assistant', 'user', 'result', 'rate_limit_event', 'other');
    fc.assert(
      fc.property(type, tree, fc.string(), (name, event, junk) => {
        reader.line(junk);
        reader.line(JSON.stringify({ ...(event as object), type: name }));
        reader.conclude(exit(1, junk));
      }),
    );
    for (let n = 0; n < 5000; n++) reader.line(JSON.stringify(says(calls(`t${n}`, 'Bash', {}))));
    expect(reader.openTools).toBeLessThanOrEqual(1000);
  });
});

describe('conclude', () => {
  test('ok takes exit 0, a result, and no error in it', () => {
    expect(judge([init, says({ type: 'text', text: 'x' }), good], exit(0))).toEqual({
      ...{ outcome: 'ok', reason: '', output: 'Done.', session: 's1', model: 'm1', artifacts: [], outputs: {} },
      usage: { input: 100, output: 20, cache_read: 5, cache_write: 0, cost_usd: 0.5 },
      ...{ question: null, retry_at: null },
    });
    expect(judge([init, good], exit(1))).toMatchObject({
      outcome: 'failed',
      reason: expect.stringContaining('exit 1'),
    });
    expect(judge([init, { ...good, is_error: true }], exit(0)).outcome).toBe('failed');
    expect(judge([init, { ...good, is_error: undefined }], exit(0)).outcome).toBe('failed');
  });

  test('no result is a failure, also with exit 0, and keeps the session and the tokens seen', () => {
    const cut = judge([init, says({ type: 'text', text: 'so far' })], exit(0));
    expect(cut).toMatchObject({ outcome: 'failed', session: 's1', output: 'so far' });
    expect(cut.reason).toBe('claude ended without a result (exit 0)');
    expect(cut.usage).toMatchObject({ input: 10, cost_usd: null });
    expect(judge([], exit(null)).reason).toBe('claude ended without a result (signal SIGKILL)');
    const refused = judge([], exit(1, 'first\nunknown option --x\n'));
    expect(refused).toMatchObject({ session: null, reason: expect.stringContaining('unknown option --x') });
  });

  test.each([
    ['a wrong key', bad(401, 'authentication_failed'), 'auth'],
    ['no key', bad(null, 'authentication_failed'), 'auth'],
    ['forbidden, an older build', bad(403, ''), 'auth'],
    ['no credit', bad(400, 'billing_error'), 'billing'],
    ['payment required', bad(402, 'unknown', { api_error_type: 'billing_error' }), 'billing'],
    ['a rate limit', bad(429, 'rate_limit'), 'rate_limited'],
    ['an overloaded service', bad(529, 'server_error'), 'transient'],
    ['a broken service, an older build', bad(500, ''), 'transient'],
    ['no connection', bad(null, 'server_error', { api_error: 'connection_failed' }), 'transient'],
    ['no such model', bad(404, 'model_not_found'), 'failed'],
    ['a bad request', bad(400, 'unknown'), 'failed'],
    ['a prompt too long', bad(400, 'invalid_request', { terminal_reason: 'prompt_too_long' }), 'context_exceeded'],
    ['a request too large', bad(413, 'invalid_request', { terminal_reason: 'image_error' }), 'context_exceeded'],
    ['turns', [init, { ...good, is_error: true, subtype: 'error_max_turns' }], 'max_turns'],
    ['money', [init, { ...good, is_error: true, subtype: 'error_max_budget_usd' }], 'budget'],
    ['an interrupt', [init, { ...good, is_error: true, terminal_reason: 'aborted_tools' }], 'failed'],
  ])('%s', (_what, events, outcome) => {
    const verdict = judge(events, exit(1));
    expect(verdict.outcome).toBe(outcome);
    expect(verdict.reason).not.toBe('');
    expect(verdict.session).toBe('s1');
  });

  test('prose decides nothing', () => {
    const text = "You've hit your limit · resets 10:09pm (UTC). Credit balance is too low. 401 Invalid API key";
    expect(judge([init, { ...good, is_error: true, result: text }], exit(1))).toMatchObject({
      ...{ outcome: 'failed', retry_at: null },
    });
    expect(judge([init, { ...good, result: text }], exit(0)).outcome).toBe('ok');
  });

  test('a limit tells when it ends: from its event, else from the text', () => {
    const limit = { type: 'rate_limit_event', rate_limit_info: { status: 'rejected', resetsAt: 1_800_000_000 } };
    const text = "You've hit your limit · resets 10:09pm (UTC)";
    const [start, error, end] = bad(429, 'rate_limit', { result: text });
    expect(judge([start, limit, error, end], exit(1))).toMatchObject({
      ...{ outcome: 'rate_limited', retry_at: '2027-01-15T08:00:00.000Z' },
    });
    expect(judge([start, error, end], exit(1)).retry_at).toMatch(/T22:09:00\.000Z$/);
    expect(judge(bad(429, 'rate_limit'), exit(1)).retry_at).toBeNull();
    expect(judge([init, limit], exit(null)).outcome).toBe('rate_limited');
    // Paid on beyond the window: the run went well.
    expect(judge([init, limit, good], exit(0)).outcome).toBe('ok');
  });

  test('an unknown session leaves none, so that the caller starts anew', () => {
    const verdict = judge(
      [
        {
          ...{ type: 'result', subtype: 'error_during_execution', is_error: true, session_id: 's9' },
          ...{ errors: ['No conversation found with session ID: s9'], model_usage_since_last_result: {} },
        },
      ],
      exit(1),
    );
    expect(verdict).toMatchObject({ outcome: 'failed', session: null });
    expect(verdict.reason).toContain('No conversation found');
  });

  test('usage adds up over several results and never counts an earlier run', () => {
    const more = { ...good, model_usage_since_last_result: spent(1, 2, 0.25) };
    expect(judge([init, good, init, more], exit(0)).usage).toEqual({
      ...{ input: 101, output: 22, cache_read: 10, cache_write: 0, cost_usd: 0.75 },
    });
    const older = { ...good, model_usage_since_last_result: undefined, usage: { input_tokens: 3, output_tokens: 4 } };
    expect(judge([init, older], exit(0)).usage).toMatchObject({ input: 3, output: 4, cost_usd: 9 });
  });

  test('the reason is one bounded line', () => {
    const { reason } = judge(bad(401, 'authentication_failed', { result: 'a\nb '.repeat(1000) }), exit(1));
    expect(reason).not.toContain('\n');
    expect(reason.length).toBeLessThanOrEqual(500);
    expect(reason).toContain('ANTHROPIC_API_KEY');
    expect(judge([], exit(1, 'y'.repeat(60_000))).reason.length).toBeLessThanOrEqual(500);
  });

  test('structured output is passed on', () => {
    expect(judge([init, { ...good, structured_output: { a: 1 } }], exit(0)).structured).toEqual({ a: 1 });
  });
});

test('an unknown failure with a used-up window is a limit', () => {
  const none = { subtype: null, terminal_reason: null, status: null, type: null, kind: null, rejected: false };
  expect(outcomeOf(none)).toBe('failed');
  expect(outcomeOf({ ...none, rejected: true })).toBe('rate_limited');
});

test('reset times', () => {
  expect(resetTime(1_800_000_000)).toBe('2027-01-15T08:00:00.000Z');
  for (const junk of [undefined, null, '1', Number.NaN, -1, 1e300]) expect(resetTime(junk)).toBeNull();
  const at = Date.parse('2026-11-21T20:00:00Z');
  const of = (text: string) => resetTimeInText(`You've hit your limit · resets ${text}`, at);
  expect(of('10:09pm (UTC)')).toBe('2026-11-21T22:09:00.000Z');
  expect(of('7am (UTC)')).toBe('2026-11-22T07:00:00.000Z');
  expect(of('12am (Europe/Berlin)')).toBe('2026-11-21T23:00:00.000Z');
  expect(of('Nov 24, 3pm (America/New_York)')).toBe('2026-11-24T20:00:00.000Z');
  expect(of('Jan 2 at 3pm (UTC)')).toBe('2027-01-02T15:00:00.000Z');
  for (const junk of ['soon', '3pm', '3pm (Nowhere/Land)', 'Foo 3, 3pm (UTC)']) expect(of(junk)).toBeNull();
});
