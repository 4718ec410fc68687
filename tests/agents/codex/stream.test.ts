// How the output of Codex is read and judged, on short made-up streams.
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { codex } from '../../../daemon/agents/codex/codex.ts';
import { readLog } from '../../../daemon/agents/codex/log.ts';
import { outcomeOf, resetTimeInText } from '../../../daemon/agents/codex/verdict.ts';
import type { RunEnd } from '../../../daemon/agents/port.ts';

const thread = { type: 'thread.started', thread_id: 't1' };
const turn = { type: 'turn.started' };
const item = (type: string, id: string, item: object) => ({ type: `item.${type}`, item: { id, ...item } });
const says = (text: string) => item('completed', 'm', { type: 'agent_message', text });
const good = { type: 'turn.completed', usage: { input_tokens: 90, cached_input_tokens: 30, output_tokens: 5 } };
const failed = (message: string) => ({ type: 'turn.failed', error: { message } });
const error = (message: string) => ({ type: 'error', message });
const exit = (code: number | null, stderr = ''): RunEnd => ({
  ...{ code, signal: code === null ? 'SIGKILL' : null },
  ...{ stderr, stdout: '' },
});

/** Lines of the log, as codex 0.169.0 writes them. */
const at = (ms: number) => new Date(ms).toISOString().replace('Z', '000Z');
const call = (status: number | null, ms = Date.now()) =>
  `${at(ms)}  INFO codex_otel.trace_safe: event.name="codex.api_request" duration_ms=8${status === null ? '' : ` http.response.status_code=${status}`} attempt=0 endpoint="/responses" model=gpt-5.5 slug=gpt-5.5`;
const used = (input: number, cached: number, output: number) =>
  `${at(0)}  INFO codex_otel.trace_safe: event.name="codex.sse_event" event.kind=response.completed input_token_count=${input} output_token_count=${output} cached_token_count=${cached} cache_write_token_count=0 model=gpt-5.5`;
const wait = (how: string, why = 'exceeded retry limit, last status: 429 Too Many Requests', ms = Date.now()) =>
  `${at(ms)}  WARN codex_core::responses_retry: stream disconnected - retrying sampling request (1/5 in ${how})... turn_id=x retries=1 max_retries=5 sampling_error=${why}`;

function read(events: unknown[], log: string[] = []) {
  const reader = codex.reader();
  for (const line of log) reader.errorLine!(line);
  for (const event of events) reader.line(JSON.stringify(event));
  return reader;
}
const judge = (events: unknown[], end: RunEnd, log: string[] = []) => read(events, log).conclude(end);

describe('reader', () => {
  test('turns lines into events and knows what is open', () => {
    const reader = codex.reader();
    const line = (event: object) => reader.line(JSON.stringify(event));
    expect(line(thread)).toEqual([{ type: 'session', session: 't1' }]);
    expect(line(thread)).toEqual([]);
    expect(line(turn)).toEqual([]);
    expect(line(item('completed', 'i0', { type: 'error', message: 'Model metadata\nnot found' }))).toEqual([
      { type: 'log', content: 'Model metadata not found' },
    ]);
    const command = { type: 'command_execution', command: "bash -lc 'ls'", aggregated_output: '', exit_code: null };
    expect(line(item('started', 'i1', { ...command, status: 'in_progress' }))).toEqual([
      { type: 'tool_call', id: 'i1', name: 'command_execution', content: "bash -lc 'ls'" },
    ]);
    expect(reader.openTools).toBe(1);
    expect(line(item('completed', 'i1', { ...command, aggregated_output: 'a\n', status: 'failed' }))).toEqual([
      { type: 'tool_result', id: 'i1', content: 'a\n', is_error: true },
    ]);
    const change = { type: 'file_change', changes: [{ path: '/a', kind: 'add' }], status: 'completed' };
    expect(line(item('completed', 'i2', change))).toEqual([
      { type: 'tool_call', id: 'i2', name: 'file_change', content: 'add /a' },
      { type: 'tool_result', id: 'i2', content: 'completed' },
    ]);
    const mcp = { type: 'mcp_tool_call', server: 's', tool: 'say', arguments: { query: 'x' }, status: 'failed' };
    expect(line(item('completed', 'i3', { ...mcp, error: { message: 'no' } }))).toEqual([
      { type: 'tool_call', id: 'i3', name: 's.say', content: 'x' },
      { type: 'tool_result', id: 'i3', content: 'no', is_error: true },
    ]);
    expect(line(error('Reconnecting... 1/5 (unexpected status 503)'))[0]).toMatchObject({ type: 'log' });
    expect(line(says('Done.'))).toEqual([{ type: 'agent_thought', content: 'Done.' }]);
    expect([reader.openTools, reader.finished]).toEqual([0, false]);
    expect(line(good)).toEqual([{ type: 'result', content: 'Done.', success: true }]);
    expect(reader.finished).toBe(true);
    line(turn);
    expect(reader.finished).toBe(false);
  });

  test('never throws and stays bounded, whatever the lines hold', () => {
    const reader = codex.reader();
    expect(reader.line('  ')).toEqual([]);
    expect(reader.line('not json')).toEqual([{ type: 'log', content: 'not json' }]);
    const types = ['thread.started', 'item.started', 'item.completed', 'error', 'turn.completed', 'turn.failed'];
    fc.assert(
      fc.property(fc.constantFrom(...types), fc.jsonValue(), fc.string(), (type, value, text) => {
        for (const event of [
          value,
          { type, item: value, error: value, message: value, thread_id: value, usage: value },
        ])
          reader.line(JSON.stringify(event));
        reader.errorLine!(text);
        reader.errorLine!(`${at(0)}  INFO codex_otel.trace_safe: ${text}`);
        reader.conclude(exit(1, text));
      }),
    );
    for (let n = 0; n < 5000; n++) reader.line(JSON.stringify(item('started', `i${n}`, { type: 'web_search' })));
    expect(reader.openTools).toBe(1000);
  });

  test('a reader that takes over the state of another ends as that would have', () => {
    const steps: [boolean, string][] = [
      ...[thread, turn, item('started', 'i1', { type: 'web_search', query: 'q' })].map(
        (e) => [false, JSON.stringify(e)] as [boolean, string],
      ),
      [true, call(200)],
      [true, used(10, 4, 2)],
      [false, JSON.stringify(says('Hm.'))],
      [true, call(429)],
      [true, wait('3599.9s')],
      [false, JSON.stringify(error('unexpected status 401 Unauthorized: x'))],
      [false, JSON.stringify(good)],
    ];
    const feed = (reader: ReturnType<typeof codex.reader>, some: typeof steps) => {
      for (const [log, text] of some)
        if (log) reader.errorLine!(text);
        else reader.line(text);
      return reader;
    };
    for (let until = 0; until <= steps.length; until++)
      for (let cut = 0; cut <= until; cut++) {
        const alone = feed(codex.reader(), steps.slice(0, until));
        const second = codex.reader();
        second.restore(JSON.parse(JSON.stringify(feed(codex.reader(), steps.slice(0, cut)).state)));
        feed(second, steps.slice(cut, until));
        for (const code of [0, 1]) expect(second.conclude(exit(code))).toEqual(alone.conclude(exit(code)));
        expect([second.state, second.hopeless, second.spent]).toEqual([alone.state, alone.hopeless, alone.spent]);
      }
  });

  test('usage: by the log of this run; without one by the event', () => {
    const log = [call(200), used(100, 40, 7), call(200), used(50, 0, 3)];
    expect(read([thread, turn, good], log).spent).toMatchObject({ input: 110, cache_read: 40, output: 10 });
    expect(read([thread, turn, good]).spent).toMatchObject({ input: 60, cache_read: 30, output: 5 });
    expect(judge([thread, turn], exit(null), log).usage).toMatchObject({ input: 110, output: 10, cost_usd: null });
  });

  test('hopeless only while it sleeps for long', () => {
    const reader = read([thread, turn], [call(429), wait('3599.996928478s')]);
    expect(reader.hopeless).toBe(true);
    reader.errorLine!(call(200));
    expect(reader.hopeless).toBe(false);
    for (const short of ['998.2ms', '195ms', '59s', '12.5µs', '4ns'])
      expect(read([], [wait(short)]).hopeless).toBe(false);
    // Read again after a restart: it has slept that hour already.
    expect(read([], [wait('3599s', undefined, Date.now() - 3_600_000)]).hopeless).toBe(false);
  });
});

describe('log', () => {
  test('reads its own lines and no others', () => {
    const now = Date.now();
    expect(readLog(call(503))).toEqual({ what: 'call', status: 503, model: 'gpt-5.5' });
    expect(readLog(call(null))).toMatchObject({ what: 'call', status: 0 });
    expect(readLog(used(10, 4, 2))).toMatchObject({ what: 'usage', usage: { input: 6, cache_read: 4, output: 2 } });
    expect(readLog(wait('1.5s', 'x', now))).toEqual({ what: 'wait', until: now + 1500, error: 'x' });
    const span = call(500).replace('INFO ', 'INFO turn{a="b: c"}: ');
    expect(readLog(span)).toMatchObject({ what: 'call', status: 500 });
    const refused = `${at(now)} ERROR codex_core::tools::router: error=patch rejected: read-only`;
    expect(readLog(refused)).toEqual({ what: 'refused', error: 'patch rejected: read-only' });
    for (const other of ['', 'http.response.status_code=401', 'WARNING: x', `${at(now)}  WARN other: x`, wait('soon')])
      expect(readLog(other)).toBeNull();
  });
});

describe('verdict', () => {
  test('success is a completed turn, nothing after it, and exit 0', () => {
    expect(judge([thread, turn, says('Done.'), good], exit(0))).toMatchObject({
      outcome: 'ok',
      reason: '',
      output: 'Done.',
      session: 't1',
    });
    expect(judge([thread, turn, error('Reconnecting... 1/5 (x)'), says('Done.'), good], exit(0)).outcome).toBe('ok');
    const bad = judge([thread, turn, says('Done.'), good], exit(1));
    expect(bad).toMatchObject({ outcome: 'failed', output: 'Done.' });
    expect(bad.reason).toContain('gave an answer and then ended badly (exit 1)');
    // Exit codes that lie.
    expect(judge([thread, turn, says('Done.')], exit(0)).outcome).toBe('failed');
    expect(
      judge([thread, turn, says('Done.'), failed('unexpected status 429 Too Many Requests: x')], exit(0)).outcome,
    ).toBe('rate_limited');
    expect(judge([thread, turn, good, error('unexpected status 500 Internal Server Error: x')], exit(0)).outcome).toBe(
      'transient',
    );
    expect(judge([], exit(0)).outcome).toBe('failed');
    // A second turn that did not end takes the first one's success away.
    expect(judge([thread, turn, good, turn], exit(0)).outcome).toBe('failed');
  });

  test.each([
    ['unexpected status 401 Unauthorized: x, url: http://x', null, 'auth'],
    ['unexpected status 529 <unknown status code>: Overloaded', null, 'transient'],
    ['exceeded retry limit, last status: 429 Too Many Requests', null, 'rate_limited'],
    ['unexpected status 404 Not Found: x', null, 'failed'],
    ["Codex ran out of room in the model's context window. Start a new thread", 400, 'context_exceeded'],
    ['Quota exceeded. Check your plan and billing details.', 429, 'billing'],
    ['You’ve hit your usage limit. Try again later.', 429, 'rate_limited'],
    ['We’re currently experiencing high demand, which may cause temporary errors.', 500, 'transient'],
    ['stream disconnected before completion: x', 200, 'transient'],
    [
      '{"error":{"message":"m","type":"invalid_request_error","code":"context_length_exceeded"}}',
      400,
      'context_exceeded',
    ],
    ['{"error":{"message":"m","type":"invalid_request_error","code":null}}', 400, 'failed'],
    ['{not json', 400, 'failed'],
    ['model: nonexistent', 404, 'failed'],
    ['anything at all', 403, 'auth'],
    ['anything at all', 0, 'transient'],
    ['anything at all', 200, 'failed'],
    ['anything at all', null, 'failed'],
    // What only speaks of such things is none of them.
    ['the server said: unexpected status 401', null, 'failed'],
    ['I think you’ve hit your usage limit', null, 'failed'],
  ] as const)('%s with status %s is %s', (message, status, outcome) => {
    expect(outcomeOf(message, status)).toBe(outcome);
  });

  test('what the model says is never taken for an error', () => {
    const text = 'unexpected status 401 Unauthorized: Quota exceeded. You’ve hit your usage limit';
    expect(judge([thread, turn, says(text), good], exit(0)).outcome).toBe('ok');
    expect(judge([thread, turn, says(text)], exit(1)).outcome).toBe('failed');
  });

  test('one that was ended while it waited for a limit, or while it called', () => {
    const until = Date.now() + 3_600_000;
    const limited = judge([thread, turn], exit(null), [call(429), wait('3600s')]);
    expect(limited).toMatchObject({ outcome: 'rate_limited', session: 't1' });
    expect(Math.abs(Date.parse(limited.retry_at!) - until)).toBeLessThan(5000);
    const away = judge([thread, turn], exit(null), [
      call(503),
      wait('600s', 'unexpected status 503 Service Unavailable: x'),
    ]);
    expect(away).toMatchObject({ outcome: 'transient', retry_at: expect.any(String) });
    expect(judge([thread, turn], exit(null), [call(200)]).outcome).toBe('failed');
  });

  test('a reason says what to do, and a failed start what it said', () => {
    expect(judge([thread, turn, failed('unexpected status 401 Unauthorized: x')], exit(1)).reason).toMatch(
      /^codex cannot log in: .*CODEX_API_KEY$/,
    );
    const stderr = `${call(401)}\nWARNING: x\nError: thread/resume: no rollout found\n`;
    expect(judge([], exit(1, stderr))).toMatchObject({
      ...{ outcome: 'failed', session: null },
      reason: 'codex ended without an answer (exit 1): Error: thread/resume: no rollout found',
    });
  });

  test('the time of a reset, by the clock of this machine', () => {
    const noon = new Date(2026, 10, 21, 12, 0, 30).getTime();
    const local = (...args: [number, number, number, number, number]) => new Date(...args).toISOString();
    const told = (text: string) => resetTimeInText(`… or try again at ${text}.`, noon);
    expect(told('9:35 PM')).toBe(local(2026, 10, 21, 21, 35));
    expect(told('12:00 PM')).toBe(local(2026, 10, 21, 12, 0));
    expect(told('11:05 AM')).toBe(local(2026, 10, 22, 11, 5));
    expect(told('12:10 AM')).toBe(local(2026, 10, 22, 0, 10));
    expect(told('Nov 24th, 2026 9:35 PM')).toBe(local(2026, 10, 24, 21, 35));
    expect(told('Foo 24th, 2026 9:35 PM')).toBeNull();
    expect(told('noon')).toBeNull();
  });
});
