// Results by a schema: asked once more in the same session, then failed; what fits is the result.
import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { workspaces } from '../helpers/workspace.ts';

const make = workspaces();
/** Its answers in the order of its runs; each call is noted. */
const bot = (...answers: string[]) => `#!/bin/sh
cat > "$TOWPATH_WORKSPACE/prompt-$TOWPATH_ATTEMPT"
echo "$TOWPATH_ATTEMPT $TOWPATH_SESSION" >> "$TOWPATH_WORKSPACE/runs.txt"
case "$TOWPATH_ATTEMPT" in
${answers.map((answer, at) => `  ${at + 1}) printf '%s\\n' '${JSON.stringify({ type: 'result', success: true, session: 's-1', output: answer })}';;`).join('\n')}
esac
`;
const SCHEMA = 'output_schema: {type: object, properties: {n: {type: integer}}, required: [n]}';
const setUp = (answers: string[], matter = SCHEMA) => {
  const ws = make(
    'agent: bot\nagents: {bot: {command: ./bot, input: prompt}}\nretry: {initial: 100ms, max_attempts: 2}\n',
  );
  ws.file('bot', bot(...answers), 0o755);
  ws.file('schemas/n.json', '{"type": "object", "required": ["n"]}');
  ws.drop('t', `---\nexpect: any\n${matter}\n---\nCount.\n`);
  return { ws, code: ws.run(['start', '--drain']).code };
};

it('an answer that fits is the result, as a value', () => {
  const { ws, code } = setUp(['Here:\n```json\n{"n": 3}\n```']);
  expect(code).toBe(0);
  expect(ws.show('t')).toMatchObject({ queue: 'done', result: { n: 3 }, attempts: 1 });
  expect(readFileSync(ws.path('prompt-1'), 'utf8')).toContain('must be one JSON value that fits this schema');
});

it('one that does not fit is asked for once more with the error, in the same session, and no attempt is spent on that', () => {
  const { ws, code } = setUp(['three', '{"n": 3}'], 'output_schema: schemas/n.json');
  expect(code).toBe(0);
  expect(ws.show('t')).toMatchObject({ queue: 'done', result: { n: 3 }, attempts: 1 });
  expect(readFileSync(ws.path('runs.txt'), 'utf8')).toBe('1 \n2 s-1\n');
  expect(readFileSync(ws.path('prompt-2'), 'utf8')).toContain('the final answer holds no JSON');
});

it('then it has failed, and the next attempt may be asked once again', () => {
  const { ws, code } = setUp(['a', '{"n": "x"}', 'b', '{}']);
  expect(code).toBe(1);
  expect(ws.show('t')).toMatchObject({ queue: 'failed', outcome: 'failed', attempts: 2 });
  expect(ws.show('t').reason).toContain("must have required property 'n'");
  expect(readFileSync(ws.path('runs.txt'), 'utf8').trim().split('\n')).toHaveLength(4);
});

it('a schema that cannot be used is refused', () => {
  const { ws } = setUp([], 'output_schema: ../outside.json');
  expect(ws.show('t')).toMatchObject({ queue: 'failed', outcome: 'refused' });
  expect(ws.show('t').reason).toContain('output_schema: ../outside.json lies outside the workspace');
});
