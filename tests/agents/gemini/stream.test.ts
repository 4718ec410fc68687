// How the output of Gemini CLI is read and judged, on short made-up streams.
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { gemini } from '../../../daemon/agents/gemini/gemini.ts';
import { statusOf } from '../../../daemon/agents/gemini/verdict.ts';
import type { RunEnd, Verdict } from '../../../daemon/agents/port.ts';

const init = { type: 'init', session_id: 's1', model: 'm1' };
const asked = { type: 'message', role: 'user', content: 'the prompt' };
const says = (content: string) => ({ type: 'message', role: 'assistant', content, delta: true });
const calls = (tool_id: string, parameters: object = {}) => ({
  type: 'tool_use',
  tool_name: 'run',
  tool_id,
  parameters,
});
const answers = (tool_id: string, more: object = {}) => ({ type: 'tool_result', tool_id, status: 'success', ...more });
const stats = { total_tokens: 1100, input_tokens: 1000, output_tokens: 50, cached: 200, input: 800 };
const good = { type: 'result', status: 'success', stats };
const bad = (message: string, type = 'unknown') => ({
  ...{ type: 'result', timestamp: '2026-11-21T10:00:00.000Z', status: 'error', error: { type, message }, stats },
});
const api = (error: object) => bad(`[API Error: ${JSON.stringify({ error })}]`);
const exit = (code: number | null, stderr = ''): RunEnd => ({
  ...{ code, signal: code === null ? 'SIGKILL' : null },
  ...{ stderr, stdout: '' },
});
function judge(events: unknown[], end: RunEnd): Verdict {
  const reader = gemini.reader();
  for (const event of events) reader.line(JSON.stringify(event));
  return reader.conclude(end);
}

describe('reader', () => {
  test('turns lines into events, joins what comes in pieces, and knows what is open', () => {
    const reader = gemini.reader();
    const line = (event: object) => reader.line(JSON.stringify(event));
    expect(line(init)).toEqual([{ type: 'session', session: 's1', model: 'm1' }]);
    expect([line(asked), line(says('I lo')), line(says('ok.'))]).toEqual([[], [], []]);
    expect(line(calls('t1', { command: 'ls\n-l' }))).toEqual([
      { type: 'agent_thought', content: 'I look.' },
      { type: 'tool_call', id: 't1', name: 'run', content: 'ls -l' },
    ]);
    expect(reader.openTools).toBe(1);
    expect(line(answers('t1', { output: 'a' }))).toEqual([{ type: 'tool_result', id: 't1', content: 'a' }]);
    const failed = { status: 'error', error: { type: 'x', message: 'no such tool' } };
    expect(line(answers('t2', failed))).toMatchObject([{ content: 'no such tool', is_error: true }]);
    line(says('Done.'));
    expect([reader.openTools, reader.finished]).toEqual([0, false]);
    expect(line(good)).toEqual([
      { type: 'agent_thought', content: 'Done.' },
      { type: 'result', content: 'Done.', success: true },
    ]);
    expect(reader.finished).toBe(true);
  });

  test('a long wait on stderr is hopeless, a short one is told', () => {
    const reader = gemini.reader();
    expect(reader.errorLine!('Warning: something')).toEqual([]);
    expect(reader.errorLine!('Attempt 1 failed: full. Retrying after 5292ms...')).toHaveLength(1);
    expect(reader.hopeless).toBe(false);
    reader.errorLine!('Suggested retry after 290s.. Retrying after 290000ms...');
    expect(reader.hopeless).toBe(true);
    const verdict = reader.conclude(exit(0));
    expect(verdict.outcome).toBe('rate_limited');
    expect(Date.parse(verdict.retry_at!) - Date.now()).toBeGreaterThan(200_000);
    reader.line(JSON.stringify(says('It went on.')));
    expect(reader.hopeless).toBe(false);
  });

  test('never throws and stays bounded, whatever the line holds', () => {
    const reader = gemini.reader();
    expect(reader.line('  ')).toEqual([]);
    expect(reader.line('not json')).toEqual([{ type: 'log', content: 'not json' }]);
    const [long] = reader.line(JSON.stringify(answers('t', { output: 'x'.repeat(1_000_000) })));
    expect(long && 'content' in long && long.content.length).toBeLessThan(20_000);
    const word = fc.constantFrom('type', 'message', 'content', 'stats', 'error', 'tool_id', 'role', 'assistant');
    const tree = fc.object({ key: word, values: [word, fc.integer(), fc.constant(null)], maxDepth: 3 });
    const type = fc.constantFrom('init', 'message', 'tool_use', 'tool_result', 'error', 'result', 'other');
    fc.assert(
      fc.property(type, tree, fc.string(), (name, event, junk) => {
        reader.line(junk);
        reader.errorLine!(junk);
        reader.line(JSON.stringify({ ...(event as object), type: name }));
        reader.conclude(exit(1, junk));
      }),
    );
    for (let n = 0; n < 5000; n++) reader.line(JSON.stringify(calls(`t${n}`)));
    expect(reader.openTools).toBeLessThanOrEqual(1000);
  });
});

describe('conclude', () => {
  test('ok takes exit 0, a result that says success, and an answer after the last tool', () => {
    expect(judge([init, asked, says('Done.'), good], exit(0))).toEqual({
      ...{ outcome: 'ok', reason: '', output: 'Done.', session: 's1', model: 'm1', artifacts: [], outputs: {} },
      usage: { input: 800, output: 100, cache_read: 200, cache_write: 0, cost_usd: null },
      ...{ question: null, retry_at: null },
    });
    expect(judge([init, says('Done.'), good], exit(1)).outcome).toBe('failed');
    expect(judge([init, says('Done.'), { ...good, status: 'error' }], exit(0)).outcome).toBe('failed');
    expect(judge([init, says('Done.')], exit(0))).toMatchObject({
      ...{ outcome: 'failed', output: 'Done.', reason: 'gemini ended without a result (exit 0)' },
    });
  });

  test('a success that says nothing is a context that is full; one after a loop or an empty answer is none', () => {
    expect(judge([init, asked, good], exit(0)).outcome).toBe('context_exceeded');
    expect(judge([init, says('x'), calls('t'), answers('t'), good], exit(0)).outcome).toBe('context_exceeded');
    const loop = { type: 'error', severity: 'warning', message: 'Loop detected, stopping execution' };
    const looped = judge([init, says('x'), loop, good], exit(0));
    expect(looped).toMatchObject({ outcome: 'failed', reason: 'gemini: Loop detected, stopping execution' });
    const empty = { type: 'error', severity: 'error', message: 'The model returned nothing' };
    const nothing = { type: 'result', status: 'error', stats };
    expect(judge([init, empty, nothing], exit(0))).toMatchObject({
      ...{ outcome: 'failed', reason: 'gemini: The model returned nothing' },
    });
    expect(judge([init, loop, says('It was none.'), good], exit(0)).outcome).toBe('ok');
  });

  test.each([
    ['a wrong key', api({ code: 401, message: 'no' }), 145, 'auth'],
    [
      'a wrong key, as Google says it',
      api({ code: 400, message: 'no', details: [{ reason: 'API_KEY_INVALID' }] }),
      144,
      'auth',
    ],
    ['forbidden', api({ code: 403, message: 'no' }), 147, 'auth'],
    ['no account to bill', api({ code: 400, message: 'no', status: 'FAILED_PRECONDITION' }), 144, 'billing'],
    [
      'billing turned off',
      api({ code: 403, message: 'no', details: [{ reason: 'BILLING_DISABLED' }] }),
      147,
      'billing',
    ],
    ['a limit', bad('[API Error: full]\nPlease wait'), 173, 'rate_limited'],
    ['an overloaded service', bad('[API Error: x]'), 247, 'transient'],
    ['an overloaded service, 529', bad('[API Error: x]'), 17, 'transient'],
    ['a broken service', bad('[API Error: x]'), 244, 'transient'],
    ['no connection', bad('[API Error: exception TypeError: fetch failed sending request]'), 1, 'transient'],
    ['a connection that is cut', bad('[API Error: terminated]'), 1, 'transient'],
    ['no such model', bad('[API Error: model: x]'), 1, 'failed'],
    ['a bad request', api({ code: 400, message: 'bad', status: 'INVALID_ARGUMENT' }), 144, 'failed'],
    [
      'a context that is full',
      api({ code: 400, message: 'The input token count (9) exceeds the maximum number of tokens allowed (8).' }),
      ...([144, 'context_exceeded'] as const),
    ],
    ['turns', bad('Reached max session turns', 'FatalTurnLimitedError'), 53, 'max_turns'],
    ['an interrupt', bad('Operation cancelled.', 'FatalCancellationError'), 130, 'failed'],
  ])('%s', (_what, result, code, outcome) => {
    const verdict = judge([init, asked, result], exit(code));
    expect(verdict.outcome).toBe(outcome);
    expect(verdict.reason).toMatch(/^gemini/);
    expect(verdict.reason).not.toContain('[API Error');
    expect(verdict.session).toBe('s1');
  });

  test('prose decides nothing', () => {
    const text = '429 quota exceeded, API key not valid, The input token count (9) exceeds the maximum';
    expect(judge([init, bad(`[API Error: ${text}]`)], exit(1)).outcome).toBe('failed');
    expect(judge([init, says(text), good], exit(0)).outcome).toBe('ok');
  });

  test('a limit tells when it ends: from the error that is dumped on stderr, else from its message', () => {
    const limit = bad('[API Error: full\nSuggested retry after 90s.]\nPlease wait');
    expect(judge([init, limit], exit(173)).retry_at).toBe('2026-11-21T10:01:30.000Z');
    const dump = exit(173, '  cause: { code: 429 },\n  retryDelayMs: 3600000,\n  status: 429\n}\n');
    expect(judge([init, limit], dump).retry_at).toBe('2026-11-21T11:00:00.000Z');
    expect(judge([init, bad('[API Error: full]')], exit(173)).retry_at).toBeNull();
    expect(judge([init, bad('[API Error: x\nSuggested retry after 90s.]')], exit(244)).retry_at).toBeNull();
  });

  test('without a first event there is no session, and stderr says why', () => {
    const unknown = judge([], exit(42, 'Warning: x\nError resuming session: none\n'));
    expect(unknown).toMatchObject({ outcome: 'failed', session: null });
    expect(unknown.reason).toBe('gemini ended without a result (exit 42): Error resuming session: none');
    expect(judge([], exit(1, 'Unknown arguments: x\nUsage: gemini [options]\n\n -h help\n')).reason).toMatch(/: x$/);
    expect(judge([], exit(41, 'You must set it')).outcome).toBe('auth');
    expect(judge([], exit(41, 'y'.repeat(60_000))).reason.length).toBeLessThanOrEqual(500);
    expect(judge([], exit(null)).reason).toBe('gemini ended without a result (signal SIGKILL)');
  });
});

test('the status in an exit code', () => {
  for (const status of [400, 401, 403, 404, 429, 500, 503, 529]) expect(statusOf(status & 255)).toBe(status);
  for (const code of [null, 0, 1, 2, 41, 42, 53, 130, 143]) expect(statusOf(code)).toBeNull();
});
