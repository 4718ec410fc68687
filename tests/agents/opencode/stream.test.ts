// How the events of opencode are read and judged, on short made-up streams.
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { opencode } from '../../../daemon/agents/opencode/opencode.ts';
import type { RunEnd, Verdict } from '../../../daemon/agents/port.ts';

const sessionID = 'ses_1';
const step = { type: 'step_start', sessionID, part: {} };
const says = (text: string, more: object = {}) => ({ type: 'text', sessionID, part: { text, ...more } });
const uses = (callID: string, state: object = {}, tool = 'bash') => ({
  ...{ type: 'tool_use', sessionID },
  part: { tool, callID, state: { status: 'completed', input: { command: 'ls' }, output: 'a', ...state } },
});
const ends = (reason: string, more: object = {}) => ({ type: 'step_finish', sessionID, part: { reason, ...more } });
const fails = (name: string, data: object) => ({
  type: 'error',
  timestamp: 1_800_000_000_000,
  sessionID,
  error: { name, data },
});
const api = (statusCode: number | undefined, data: object = {}) =>
  fails('APIError', { message: 'no', statusCode, ...data });
const overflow = fails('ContextOverflowError', { message: 'too long' });
const summary = [step, says('It was about …'), ends('stop'), says('Continue', { synthetic: true })];
const told = (what: object) => ({ type: 'towpath', ...what });
const exit = (code: number | null, stderr = ''): RunEnd => ({
  ...{ code, signal: code === null ? 'SIGTERM' : null },
  ...{ stderr, stdout: '' },
});
function read(events: unknown[]) {
  const reader = opencode.reader();
  for (const event of events) reader.line(JSON.stringify(event));
  return reader;
}
const judge = (events: unknown[], end: RunEnd): Verdict => read(events).conclude(end);

describe('reader', () => {
  test('turns lines into events, and knows a call from its beginning', () => {
    const reader = opencode.reader();
    const line = (event: object) => reader.line(JSON.stringify(event));
    expect(line(told({ session: 'ses_1' }))).toEqual([{ type: 'session', session: 'ses_1' }]);
    expect(line(told({ model: 'p/m' }))).toEqual([]);
    expect(line(told({ call: { id: 'c1', tool: 'bash', input: { command: 'ls\n-l' } } }))).toEqual([
      { type: 'tool_call', id: 'c1', name: 'bash', content: 'ls -l' },
    ]);
    expect(reader.openTools).toBe(1);
    expect(line(uses('c1'))).toEqual([{ type: 'tool_result', id: 'c1', content: 'a' }]);
    expect(line(uses('c2', { metadata: { exit: 3 } })).map((event) => event.type)).toEqual([
      'tool_call',
      'tool_result',
    ]);
    expect(line(uses('c3', { status: 'error', output: undefined, error: 'no' }))[1]).toMatchObject({
      content: 'no',
      is_error: true,
    });
    expect(line(uses('c4', {}, 'invalid'))[1]).toMatchObject({ is_error: true });
    expect(reader.openTools).toBe(0);
    line(says('Done.'));
    expect(line(ends('stop'))).toEqual([{ type: 'result', content: 'Done.', success: true }]);
    expect(reader.finished).toBe(false);
    line(told({ status: { type: 'idle' } }));
    expect(reader.finished).toBe(true);
    expect(reader.errorLine!('! permission requested: bash (ls); auto-rejecting')).toHaveLength(1);
    expect(reader.errorLine!('timestamp=x level=INFO')).toEqual([]);
  });

  test('never throws and stays bounded, whatever the line holds', () => {
    const reader = opencode.reader();
    expect(reader.line('  ')).toEqual([]);
    expect(reader.line('not json')).toEqual([{ type: 'log', content: 'not json' }]);
    const long = reader.line(JSON.stringify(uses('t', { output: 'x'.repeat(1_000_000) })))[1];
    expect(long && 'content' in long && long.content.length).toBeLessThan(20_000);
    const word = fc.constantFrom('type', 'part', 'state', 'error', 'data', 'status', 'call', 'tokens', 'text');
    const tree = fc.object({ key: word, values: [word, fc.integer(), fc.constant(null)], maxDepth: 3 });
    const type = fc.constantFrom('step_start', 'text', 'tool_use', 'step_finish', 'error', 'towpath', 'other');
    fc.assert(
      fc.property(type, tree, fc.string(), (name, event, junk) => {
        reader.line(junk);
        reader.errorLine!(junk);
        reader.line(JSON.stringify({ ...(event as object), type: name }));
        reader.conclude(exit(1, junk));
      }),
    );
    for (let n = 0; n < 5000; n++) reader.line(JSON.stringify(told({ call: { id: `t${n}` } })));
    expect(reader.openTools).toBeLessThanOrEqual(1000);
  });
});

describe('conclude', () => {
  test('ok takes a last step that stops; usage and cost are the sum, of helpers too', () => {
    const tokens = { input: 10, output: 2, reasoning: 1, cache: { read: 5, write: 4 } };
    const part = { tokens, cost: 0.25 };
    const events = [
      told({ model: 'p/m' }),
      step,
      uses('c1'),
      ends('tool-calls', part),
      told({ part }),
      step,
      says('Done.'),
    ];
    expect(judge([...events, ends('stop', part)], exit(0))).toEqual({
      ...{ outcome: 'ok', reason: '', output: 'Done.', session: 'ses_1', model: 'p/m', artifacts: [], outputs: {} },
      usage: { input: 30, output: 9, cache_read: 15, cache_write: 12, cost_usd: 0.75 },
      ...{ question: null, retry_at: null },
    });
    expect(judge([step, ends('stop', { tokens })], exit(0)).usage.cost_usd).toBeNull();
    expect(judge([...events, ends('stop')], exit(null)).outcome).toBe('failed');
    expect(judge([...events], exit(0)).reason).toBe('opencode ended without an answer (exit 0)');
  });

  test('one that stopped after a refused call, or in the middle of its answer, exits 0 and is not ok', () => {
    const refused = exit(0, '! permission requested: bash (ls); auto-rejecting\n');
    const stopped = judge([step, uses('c1', { status: 'error', error: 'rejected' }), ends('tool-calls')], refused);
    expect(stopped).toMatchObject({ outcome: 'failed', reason: expect.stringContaining('permission requested: bash') });
    const cut = judge([step, says('I be'), ends('length')], exit(0));
    expect(cut).toMatchObject({ outcome: 'failed', reason: expect.stringContaining('output limit') });
  });

  test.each([
    ['a wrong key', api(401), 'auth'],
    ['no login', fails('ProviderAuthError', { message: 'no' }), 'auth'],
    ['forbidden', api(403), 'auth'],
    ['payment required', api(402), 'billing'],
    ['no credit', api(429, { responseBody: '{"error":{"code":"insufficient_quota"}}' }), 'billing'],
    ['a limit', api(429), 'rate_limited'],
    ['an overloaded service', api(529), 'transient'],
    ['a broken service', api(500), 'transient'],
    ['no connection', api(undefined, { isRetryable: true }), 'transient'],
    ['no such model', api(404), 'failed'],
    ['a bad request', api(400), 'failed'],
    ['a request too large', api(413), 'context_exceeded'],
    ['a context that is full', overflow, 'context_exceeded'],
    ['an interrupt', fails('MessageAbortedError', { message: 'aborted' }), 'failed'],
  ])('%s', (_what, error, outcome) => {
    const verdict = judge([error], exit(1));
    expect(verdict).toMatchObject({ outcome, session: 'ses_1', reason: expect.stringMatching(/^opencode/) });
    // What it said before does not make it good.
    expect(judge([step, says('Done.'), ends('stop'), error], exit(1)).outcome).toBe(outcome);
  });

  test('prose decides nothing', () => {
    const text = '429 rate limit, 401 Unauthorized, context_length_exceeded';
    expect(judge([api(400, { message: text })], exit(1)).outcome).toBe('failed');
    expect(judge([step, says(text), ends('stop')], exit(0)).outcome).toBe('ok');
  });

  test('a limit tells when it ends', () => {
    const at = (data: object) => judge([api(429, data)], exit(1)).retry_at;
    expect(at({ responseHeaders: { 'retry-after': '60' } })).toBe('2027-01-15T08:01:00.000Z');
    expect(at({ responseHeaders: { 'retry-after-ms': '1500' } })).toBe('2027-01-15T08:00:01.500Z');
    expect(at({ responseHeaders: { 'retry-after': 'Fri, 15 Jan 2027 09:00:00 GMT' } })).toBe(
      '2027-01-15T09:00:00.000Z',
    );
    expect(at({ responseBody: '{"error":{"resets_at":1800003600}}' })).toBe('2027-01-15T09:00:00.000Z');
    for (const none of [{}, { responseHeaders: { 'retry-after': 'soon' } }, { responseBody: '{' }])
      expect(at(none)).toBeNull();
  });

  test('a long wait is hopeless until it goes on', () => {
    const waits = (ms: number) =>
      told({ status: { type: 'retry', attempt: 1, message: 'full', next: Date.now() + ms } });
    expect(read([waits(20_000)]).hopeless).toBe(false);
    const reader = read([waits(3_600_000)]);
    expect(reader.hopeless).toBe(true);
    const verdict = reader.conclude(exit(null));
    expect(verdict.outcome).toBe('rate_limited');
    expect(Date.parse(verdict.retry_at!) - Date.now()).toBeGreaterThan(3_000_000);
    reader.line(JSON.stringify(step));
    expect(reader.hopeless).toBe(false);
  });

  test('an overflow that is got over is ok though it exits 1; three in a row are hopeless', () => {
    const done = [step, says('Done.'), ends('stop')];
    expect(judge([step, uses('c1'), ends('tool-calls'), overflow, ...summary, ...done], exit(1))).toMatchObject({
      ...{ outcome: 'ok', output: 'Done.' },
    });
    const twice = [overflow, ...summary, overflow, ...summary];
    expect(read(twice).hopeless).toBe(false);
    expect(judge(twice, exit(1)).outcome).toBe('context_exceeded');
    expect(read([...twice, overflow]).hopeless).toBe(true);
    const between = [overflow, ...summary, step, uses('c1'), ends('tool-calls')];
    expect(read([...between, ...between, ...between]).hopeless).toBe(false);
    // The summary is no answer, whatever it says of itself.
    expect(judge([overflow, ...summary.slice(0, 3)], exit(0)).outcome).toBe('context_exceeded');
    expect(read([overflow, ...summary.slice(0, 3), told({ status: { type: 'idle' } })]).finished).toBe(false);
  });

  test('without an event there is no session, and stderr says why', () => {
    const unknown = judge(
      [],
      exit(1, 'timestamp=x level=INFO\n\u001b[91m\u001b[1mError: \u001b[0mSession not found\n'),
    );
    expect(unknown).toMatchObject({ outcome: 'failed', session: null });
    expect(unknown.reason).toBe('opencode ended without an answer (exit 1): Error: Session not found');
    expect(judge([], exit(1, 'y'.repeat(60_000))).reason.length).toBeLessThanOrEqual(500);
  });
});
