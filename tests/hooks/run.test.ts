// Running hooks: what they get, what they say in any language, and that nothing they do can hold us up.
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { startedAt } from '../../daemon/process/identity.ts';
import { text } from '../process/helpers.ts';
import { hook, SHELL, TASK, workspace, write } from './helpers.ts';

test('without hooks all is well', async () => {
  expect(await hook(workspace(), 'gate')).toMatchObject({
    verdict: { kind: 'continue' },
    context: [],
    env: {},
    runs: [],
  });
});

test('stdin is one JSON object, and the environment says the same', async () => {
  const where = workspace({ pre_task: `${SHELL}cat >stdin; env >env; pwd >pwd\n` });
  process.env['SECRET_OF_THE_DAEMON'] = 'x';
  process.env['NAMED'] = 'y';
  await hook(where, 'pre_task', { env: ['NAMED'] });
  const stdin = text(join(where.root, 'stdin'));
  expect(stdin.trimEnd().split('\n').length).toBe(1);
  expect(JSON.parse(stdin)).toEqual({
    ...{ version: 1, event: 'pre_task', task: TASK, attempt: 2, workspace: where.root, repo: where.root },
    ...{ worktree: where.root, branch: 'towpath/fix-date', agent: null, model: null, result: null },
  });
  const env = text(join(where.root, 'env')).split('\n');
  for (const line of [
    'TOWPATH_EVENT=pre_task',
    'TOWPATH_TASK_ID=fix-date',
    'TOWPATH_TITLE=Fix the date',
    'TOWPATH_ATTEMPT=2',
    `TOWPATH_WORKSPACE=${where.root}`,
    `TOWPATH_REPO=${where.root}`,
    `TOWPATH_WORKTREE=${where.root}`,
    'TOWPATH_BRANCH=towpath/fix-date',
    'TOWPATH_ROLE=implementer',
    'NAMED=y',
  ])
    expect(env).toContain(line);
  expect(env.find((line) => /SECRET|TOWPATH_MODEL/.test(line))).toBeUndefined();
  expect(env.find((line) => line.startsWith('TOWPATH_RUN='))).toMatch(/^TOWPATH_RUN=fix-date\/2\/[0-9a-f]+$/);
  expect(text(join(where.root, 'pwd')).trim()).toBe(where.root);
});

test('a hook that runs wild tells a thousand lines, and its decision all the same', async () => {
  const where = workspace({
    pre_task: `${SHELL}yes line | head -n 300000\nprintf '{"decision":"block","reason":"enough"}\\n'\n`,
  });
  const { output, verdict } = await hook(where, 'pre_task');
  expect(verdict).toMatchObject({ kind: 'block', reason: 'enough' });
  expect(output).toHaveLength(1001);
  expect(output.at(-1)).toMatch(/more than 1000 lines/);
  const calm = workspace({ pre_task: `${SHELL}yes | head -n 3000000\n` });
  expect((await hook(calm, 'pre_task')).verdict).toMatchObject({ kind: 'continue' });
});

const BLOCK: Record<string, string> = {
  sh: `${SHELL}echo hello\nprintf '{"decision":"block","reason":"%s"}\\n' "$TOWPATH_TASK_ID"\n`,
  python: `#!/usr/bin/env python3
import json, sys
event = json.load(sys.stdin)
print("hello")
print(json.dumps({"decision": "block", "reason": event["task"]["id"]}))
`,
  perl: `#!/usr/bin/env perl
use JSON::PP; my $event = decode_json(join "", <STDIN>);
print "hello\\n", encode_json({decision => "block", reason => $event->{task}{id}}), "\\n";
`,
  node: `#!/usr/bin/env node
const event = JSON.parse(require('node:fs').readFileSync(0));
console.log('hello');
console.log(JSON.stringify({ decision: 'block', reason: event.task.id }));
`,
};

test.each(Object.entries(BLOCK))('a decision in %s', async (_, script) => {
  const { verdict, output, seen } = await hook(workspace({ gate: script }), 'gate');
  expect(verdict).toEqual({ kind: 'block', reason: 'fix-date', messages: ['hello'] });
  expect(output).toEqual(['hello']);
  expect(seen.at(-1)).toMatchObject({
    ...{
      event: 'hook_finished',
      moment: 'gate',
      task: 'fix-date',
      hook: 'gate',
      ok: true,
      decision: 'block',
      reason: 'fix-date',
    },
  });
});

test('several run in order, hand on context and variables, and the first that objects ends it', async () => {
  const where = workspace({
    pre_task: `${SHELL}echo '{"context":"one","env":{"A":"1","B":"1"}}'\n`,
    'pre_task.b': `${SHELL}echo "B was $B"; echo '{"decision":"continue","context":"two","env":{"B":"2"}}'\n`,
    'pre_task.d/c': `${SHELL}echo "try later" >&2; exit 75\n`,
    'pre_task.d/d': `${SHELL}touch ran\n`,
  });
  const answer = await hook(where, 'pre_task');
  expect(answer.verdict).toMatchObject({ kind: 'retry', reason: 'pre_task.d/c: try later' });
  expect(answer.context).toEqual(['one', 'two']);
  expect(answer.env).toEqual({ A: '1', B: '2' });
  expect(answer.output).toEqual(['B was 1', 'try later']);
  expect(answer.runs.map((run) => run.code)).toEqual([0, 0, 75]);
  expect(existsSync(join(where.root, 'ran'))).toBe(false);
});

test('1000 lines are told in order, the decision is not', async () => {
  const script = `#!/usr/bin/env perl\nprint "line $_\\n" for 0..999; print "{\\n  \\"context\\": \\"c\\"\\n}\\n";\n`;
  const { output, context } = await hook(workspace({ post_task: script }), 'post_task');
  expect(output).toEqual(Array.from({ length: 1000 }, (_, i) => `line ${i}`));
  expect(context).toEqual(['c']);
});

test('lines of JSON that are no decision are told', async () => {
  const script = `${SHELL}echo '{"level":1}'\necho '{'\necho between\necho '{"level":2}'\n`;
  const { output, verdict } = await hook(workspace({ post_task: script }), 'post_task');
  expect(output).toEqual(['{"level":1}', '{', 'between', '{"level":2}']);
  expect(verdict.kind).toBe('continue');
});

test('a poll hands over its lines and tells none of them', async () => {
  const lines = Array.from({ length: 500 }, (_, i) => JSON.stringify({ id: `t-${i}`, body: 'do it', context: 'x' }));
  const where = workspace({ poll: `${SHELL}cat lines; echo '{"decision":"continue"}'\n` });
  write(join(where.root, 'lines'), `${lines.join('\n')}\n`);
  const { runs, output, verdict } = await hook(where, 'poll', { payload: {} });
  expect(runs[0]!.stdout.split('\n')).toEqual(lines);
  expect(output).toEqual([]);
  expect(verdict.kind).toBe('continue');
});

test('a hook that reads no stdin, or closes it, is no error', async () => {
  const payload = { task: TASK, result: 'x'.repeat(3_000_000) };
  const where = workspace({ gate: `${SHELL}exec <&-\necho fine\n`, 'gate.true': `${SHELL}exit 0\n` });
  const { verdict, runs } = await hook(where, 'gate', { payload });
  expect(verdict.kind).toBe('continue');
  expect(runs.map((run) => run.stdout)).toEqual(['fine', '']);
});

test('a time-out ends the hook with all that it started', async () => {
  const where = workspace({
    setup: `${SHELL}setsid sh -c 'echo $$ >pid; exec sleep 600' &\nsleep 600\n`,
  });
  const { verdict } = await hook(where, 'setup', { timeout_ms: 500 });
  expect(verdict).toMatchObject({ kind: 'failed', reason: 'took longer than 500ms and was ended' });
  expect(startedAt(Number(text(join(where.root, 'pid'))))).toBeUndefined();
});

test('what cannot start, or is not executable, is told', async () => {
  const where = workspace({ gate: '#!/no/such/interpreter\n' });
  write(join(where.hooks, 'gate.off'), SHELL, 0o644);
  const { verdict, seen } = await hook(where, 'gate');
  expect(verdict).toMatchObject({ kind: 'failed', reason: expect.stringContaining('cannot start') });
  const warnings = seen.filter((one) => one.event === 'warning');
  expect(warnings).toMatchObject([{ message: expect.stringContaining('gate.off is not executable') }]);
  expect((await hook(where, 'gate')).seen.filter((one) => one.event === 'warning')).toEqual([]);
});

test('it can be called off', async () => {
  const abort = new AbortController();
  const running = hook(workspace({ gate: `${SHELL}sleep 600\n` }), 'gate', { signal: abort.signal });
  setTimeout(() => abort.abort(), 100);
  expect((await running).verdict).toEqual({ kind: 'failed', reason: 'called off', messages: [] });
});
