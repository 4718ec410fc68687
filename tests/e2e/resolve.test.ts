import { afterEach, expect, it } from 'vitest';
import { shellTask, TestWorkspace } from '../helpers/workspace.ts';

let ws: TestWorkspace;
afterEach(() => ws.close());

it('a gate hook that cannot be started asks the operator, and skip lets the work through without doing it again', () => {
  ws = new TestWorkspace('agent: shell\nhooks: {timeout: 500ms}\n');
  ws.hook('gate', '#!/bin/sh\nsleep 60\n');
  ws.drop('t', shellTask('echo run >> "$TOWPATH_WORKSPACE/runs"; echo > f'));
  ws.drain();
  expect(ws.show('t')).toMatchObject({ queue: 'blocked', reason: expect.stringContaining('hook gate failed') });
  expect(ws.run(['resolve', 't', 'skip']).code).toBe(0);
  expect(ws.drain().code).toBe(0);
  expect(ws.show('t')).toMatchObject({ queue: 'done', attempts: 1 });
});

it('a gate hook that asks for patience is asked again, and the work is not done again', () => {
  ws = new TestWorkspace();
  ws.hook(
    'gate',
    '#!/bin/sh\n[ -e "$TOWPATH_WORKSPACE/asked" ] && exit 0\ntouch "$TOWPATH_WORKSPACE/asked"\necho \'{"decision":"retry","retry_after":"1s","reason":"the reviewer sleeps"}\'\n',
  );
  ws.drop('t', shellTask('echo run >> "$TOWPATH_WORKSPACE/runs"; echo > f'));
  expect(ws.drain().code).toBe(0);
  expect(ws.show('t')).toMatchObject({ queue: 'done', attempts: 1 });
});
