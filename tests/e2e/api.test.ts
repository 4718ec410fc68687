// The api agent under the real daemon, against a scripted model server on loopback: the whole way of a task.
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { RunRecord, RunVerdict } from '../../daemon/attempt/record.ts';
import type { Lock } from '../../daemon/queue/port.ts';
import { anthropic } from '../fakes/anthropic-messages.ts';
import { type ModelServer, type Step, startModelServer } from '../fakes/model-server.ts';
import { openaiChat } from '../fakes/openai-chat.ts';
import { TestWorkspace, until } from '../helpers/workspace.ts';

const KEY = 'sk-marker-77c1d0aa93';
const usage = { input: 1000, output: 50, cache_read: 10 };
const bash = (command: string): Step => ({ tools: [{ name: 'run_command', input: { command } }], usage });
const task = (matter = '', body = 'Write hello.txt.') => `---\nagent: api\n${matter}---\n# A task\n\n${body}\n`;

describe('a daemon with the api agent', () => {
  let ws: TestWorkspace;
  let model: ModelServer;

  beforeEach(async () => {
    model = await startModelServer([], [openaiChat, anthropic]);
    const servers = [
      `{name: one, base_url: "${model.url}/v1", models: [tiny], key_env: ONE_KEY}`,
      `{name: two, base_url: "${model.url}", api: anthropic, models: [tiny, large], key_env: ONE_KEY}`,
    ];
    ws = new TestWorkspace(
      `agents: {api: {models: {senior: tiny, principal: large}}}\nendpoints: [${servers}]\nretry: {initial: 100ms, max: 1s}\n`,
    );
  });
  afterEach(async () => {
    await ws.close();
    await model.close();
  });

  const start = () => ws.start([], { ONE_KEY: KEY });
  const sent = (call: number) => JSON.stringify(model.main[call]?.body['messages'] ?? null);
  const shown = (what: string, ready: () => boolean) => until(ready, what, 30_000, () => ws.output);
  function sessionOf(id: string, attempt: number): [string | null, boolean] {
    const read = (name: string) => readFileSync(ws.path(`.towpath/runs/${id}/${attempt}/${name}`), 'utf8');
    return [
      (JSON.parse(read('run.json')) as RunRecord).session,
      (JSON.parse(read('verdict.json')) as RunVerdict).resumed,
    ];
  }

  test.each([
    ['senior', 'tiny', '/v1/chat/completions'],
    ['principal', 'large', '/v1/messages'],
  ])('a %s task is done on %s, and tells what it used', async (seniority, name, path) => {
    model.play([bash('echo hello > hello.txt'), { text: 'I wrote it.', usage }]);
    ws.drop('t', task(`seniority: ${seniority}\n`));
    await start();
    await ws.reaches('t', 'done', 30_000);
    expect(ws.show('t')).toMatchObject({
      outcome: 'ok',
      attempts: 1,
      agent: 'api',
      model: name,
      result: 'I wrote it.',
    });
    expect(ws.show('t').tokens).toMatchObject({ input: 2000, output: 100, cache_read: 20 });
    expect(ws.git('show', 'towpath/t:hello.txt')).toBe('hello\n');
    expect(ws.git('log', '-1', '--format=%an', 'towpath/t').trim()).toBe('api');
    expect(model.main.map((call) => call.path)).toEqual([path, path]);
    expect(JSON.stringify(model.main[0]!.body)).toContain('You implement one task');
    expect(execFileSync('sh', ['-c', 'grep -rl "$0" . || true', KEY], { cwd: ws.root, encoding: 'utf8' })).toBe('');
  });

  test('a failed check goes back into the same conversation, and the second attempt passes', async () => {
    model.play([bash('echo turnip > answer.txt'), { text: 'Good.' }, bash('echo good > answer.txt'), { text: 'Now.' }]);
    ws.drop('t', task('checks: ["cat answer.txt; grep -q good answer.txt"]\n', 'Write answer.txt.'));
    await start();
    await ws.reaches('t', 'done', 30_000);
    expect(ws.show('t')).toMatchObject({ outcome: 'ok', attempts: 2, result: 'Now.', feedback: [{ from: 'check' }] });
    expect(model.main).toHaveLength(4);
    for (const part of ['Write answer.txt.', 'echo turnip', 'Good.', 'failed with exit code 1'])
      expect(sent(2)).toContain(part);
    expect(sent(1)).not.toContain('failed with exit code 1');
    const { session } = ws.show('t');
    expect([sessionOf('t', 1), sessionOf('t', 2)]).toEqual([
      [session, false],
      [session, true],
    ]);
  });

  test('killed together with its daemon and its keeper, it goes on with its conversation', async () => {
    model.play([bash('echo one > hello.txt'), bash('echo two >> hello.txt; sleep 271')]);
    ws.drop('t', task());
    const daemon = await start();
    const file = () => {
      try {
        return readFileSync(ws.path('.worktrees/task-t/hello.txt'), 'utf8');
      } catch {
        return '';
      }
    };
    await shown('the second command runs', () => file() === 'one\ntwo\n');
    const { agent } = JSON.parse(readFileSync(ws.path('queues/claimed/t.lock.json'), 'utf8')) as Lock;
    daemon.kill('SIGKILL');
    for (const pid of [agent!.shim!.pid, agent!.pid]) process.kill(pid, 'SIGKILL');
    model.play([bash('echo three >> hello.txt'), { text: 'Done.' }]);
    await start();
    await ws.reaches('t', 'done', 30_000);
    expect(ws.show('t')).toMatchObject({ outcome: 'ok', attempts: 1, result: 'Done.' });
    expect(sessionOf('t', 2)).toEqual([sessionOf('t', 1)[0], true]);
    expect(sent(2)).toContain('its outcome is unknown');
    expect(ws.git('show', 'towpath/t:hello.txt')).toBe('one\ntwo\nthree\n');
    const left = execFileSync('sh', ['-c', "ps -eo args | grep -c '[s]leep 271' || true"], { encoding: 'utf8' });
    expect(left.trim()).toBe('0');
  });

  test('goes on by itself when only the daemon is killed while the model thinks', async () => {
    model.play([{ ...bash('echo hello > hello.txt'), delay_ms: 3000 }, { text: 'Done.' }]);
    ws.drop('t', task());
    const daemon = await start();
    await shown('the model is asked', () => model.main.length > 0);
    daemon.kill('SIGKILL');
    await new Promise((resolve) => daemon.once('exit', resolve));
    await start();
    await ws.reaches('t', 'done', 30_000);
    expect(ws.show('t')).toMatchObject({ attempts: 1, result: 'Done.' });
    expect(model.main).toHaveLength(2);
  });

  test('one whose model server never answers is stuck, though its runtime ticks on, and goes on later', async () => {
    ws.file('towpath.yaml', `${readFileSync(ws.path('towpath.yaml'), 'utf8')}timeouts: {stuck: 6s}\n`);
    model.play([bash('echo one > hello.txt'), { network: 'hang' }, { text: 'Done.' }]);
    ws.drop('t', task());
    await start();
    await ws.reaches('t', 'done', 90_000);
    expect(ws.show('t')).toMatchObject({ attempts: 2, outcome: 'ok', result: 'Done.' });
    expect(JSON.parse(readFileSync(ws.path('.towpath/runs/t/1/verdict.json'), 'utf8'))).toMatchObject({
      ended: 'stuck',
    });
  }, 120_000);

  test('asks a person by the tool of Towpath, and goes on in its conversation with the answer', async () => {
    const ask = { tools: [{ name: 'mcp__towpath__ask', input: { question: 'Which colour?' } }] };
    model.play([ask, { text: 'I wait.' }, bash('echo blue > colour.txt'), { text: 'Painted.' }]);
    ws.drop('t', task('mcp: [towpath]\n'));
    await start();
    await ws.reaches('t', 'blocked', 30_000);
    expect(ws.show('t')).toMatchObject({ outcome: 'needs_input', question: 'Which colour?' });
    expect(ws.run(['answer', 't', '-m', 'Blue, please.']).code).toBe(0);
    await ws.reaches('t', 'done', 30_000);
    for (const part of ['Which colour?', 'Blue, please.']) expect(sent(2)).toContain(part);
    expect(ws.show('t')).toMatchObject({ result: 'Painted.', attempts: 1 });
  });

  test('a model that no server serves holds the task with what to do', async () => {
    ws.drop('t', task('model: nowhere\n'));
    await start();
    await ws.reaches('t', 'blocked', 30_000);
    expect(ws.show('t').reason).toContain('no endpoint serves model nowhere for api');
  });
});
