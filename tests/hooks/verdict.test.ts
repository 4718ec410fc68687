// The verdict of a hook from its exit code, its last line and its stderr.
import { expect, test } from 'vitest';
import { type HookEnd, verdictOf } from '../../daemon/hooks/verdict.ts';

const end = (stdout: string, more: Partial<HookEnd> = {}): HookEnd => ({
  code: 0,
  signal: null,
  stdout,
  stderr: '',
  timedOut: false,

  duration_ms: 100,
  ...more,
});
const json = JSON.stringify;

test.each<[string, HookEnd, object]>([
  ['nothing', end(''), { kind: 'continue', context: null, env: {}, messages: [] }],
  ['messages', end('one\ntwo\n'), { kind: 'continue', messages: ['one', 'two'] }],
  [
    'continue',
    end(`hi\n${json({ decision: 'continue', context: 'c', env: { A: '1', B: 2, C: true } })}\n\n`),
    {
      kind: 'continue',
      context: 'c',
      env: { A: '1', B: '2', C: 'true' },
      messages: ['hi'],
    },
  ],
  ['context alone', end(json({ context: 'c' })), { kind: 'continue', context: 'c' }],
  ['block', end(json({ decision: 'block', reason: 'no key' })), { kind: 'block', reason: 'no key' }],
  [
    'block, reason on stderr',
    end(json({ decision: 'block' }), { stderr: 'no key\n' }),
    { kind: 'block', reason: 'no key' },
  ],
  ['skip', end(`why\n${json({ decision: 'skip' })}`), { kind: 'skip', reason: 'why' }],
  [
    'retry',
    end(json({ decision: 'retry', reason: 'r', retry_after: '5m' })),
    { kind: 'retry', reason: 'r', retry_after_ms: 300_000 },
  ],
  ['exit 75', end('', { code: 75, stderr: 'busy' }), { kind: 'retry', reason: 'busy' }],
  [
    'exit 75 with a time',
    end(json({ reason: 'r', retry_after: '10s' }), { code: 75 }),
    { kind: 'retry', reason: 'r', retry_after_ms: 10_000 },
  ],
  ['exit 75, silent', end('', { code: 75 }), { kind: 'retry', reason: 'no reason given' }],
  ['windows line ends', end(`a\r\n${json({ decision: 'skip', reason: 'r' })}\r\n`), { kind: 'skip', messages: ['a'] }],
  [
    'pretty-printed',
    end(`a\n${JSON.stringify({ decision: 'block', reason: 'r', env: { A: '1' } }, null, 2)}\n`),
    { kind: 'block', reason: 'r', messages: ['a'] },
  ],
  ['unknown keys are left alone', end(json({ decision: 'continue', tests: 12 })), { kind: 'continue' }],
  [
    'a line of a log',
    end(json({ level: 'info', reason: 7 })),
    { kind: 'continue', messages: [json({ level: 'info', reason: 7 })] },
  ],
  ['a list', end('[1]'), { kind: 'continue', messages: ['[1]'] }],
  ['a brace', end('{oops'), { kind: 'continue', messages: ['{oops'] }],
  ['a decision that is not last', end(`${json({ decision: 'block' })}\nbye`), { kind: 'continue' }],
  ['exit 1', end('', { code: 1, stderr: 'bad\n' }), { kind: 'failed', reason: 'bad' }],
  ['exit 1, silent', end('', { code: 3 }), { kind: 'failed', reason: 'exit code 3' }],
  ['exit 1, only messages', end('so it is\n', { code: 3 }), { kind: 'failed', reason: 'exit code 3: so it is' }],
  [
    'exit 1 beats a decision',
    end(json({ decision: 'continue' }), { code: 1 }),
    { kind: 'failed', reason: 'exit code 1' },
  ],
  ['signal', end('', { code: null, signal: 'SIGSEGV' }), { kind: 'failed', reason: 'ended by SIGSEGV' }],
  [
    'time-out',
    end('', { code: null, signal: 'SIGTERM', timedOut: true, duration_ms: 30_000 }),
    { kind: 'failed', reason: 'took longer than 30s and was ended' },
  ],
  ['time-out although it left with 0', end('', { timedOut: true }), { kind: 'failed' }],
  [
    'not started',
    end('', { code: null, spawnError: 'cannot start x: not found' }),
    { kind: 'failed', reason: 'cannot start x: not found' },
  ],
])('%s', (_, given, verdict) => {
  expect(verdictOf(given)).toMatchObject(verdict);
});

test.each([
  [{ decision: 'maybe' }, 'its decision is "maybe": allowed are continue, block, retry, skip'],
  [{ decision: null }, 'its decision is null'],
  [{ decision: 'block', reason: 7 }, 'the reason 7, which is no text'],
  [{ decision: 'continue', context: ['a'] }, 'the context ["a"], which is no text'],
  [{ decision: 'retry', retry_after: 5 }, 'retry_after 5: write 30s, 5m or 2h'],
  [{ decision: 'retry', retry_after: 'soon' }, 'retry_after "soon"'],
  [{ env: [] }, 'an env that is no object'],
  [{ env: { 'A-B': '1' } }, 'sets "A-B", which is no name of a variable'],
  [{ env: { A: {} } }, 'sets "A" to what is no text'],
  [{ env: { A: '\0' } }, 'a NUL byte'],
  [{ env: { TOWPATH_RUN: 'x' } }, "TOWPATH_* is Towpath's own"],
])('%j is refused', (decision, reason) => {
  expect(verdictOf(end(json(decision)))).toMatchObject({ kind: 'failed', reason: expect.stringContaining(reason) });
});

test('a decision that is cut or misspelt is not taken for a message', () => {
  for (const text of ["{'decision': 'block'}", '{decision: "block"}', '{"decision":"block","reason":"'])
    expect(verdictOf(end(text))).toMatchObject({ kind: 'failed', reason: expect.stringContaining('no valid JSON') });
});

test('lines of JSON are no decision where they are the output itself', () => {
  const task = json({ context: 'x' });
  expect(verdictOf(end(task), true)).toMatchObject({ kind: 'continue', context: null, messages: [task] });
  expect(verdictOf(end(`${task}\n${json({ decision: 'skip' })}`), true)).toMatchObject({
    kind: 'skip',
    messages: [task],
  });
});
