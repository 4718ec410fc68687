// The api agent as a real child process against scripted model servers: what it answers, and how each end is judged.
import { randomUUID } from 'node:crypto';
import { appendFileSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { api } from '../../../daemon/agents/api/api.ts';
import { anthropic } from '../../fakes/anthropic-messages.ts';
import type { Call, ModelServer, Script } from '../../fakes/model-server.ts';
import { openaiChat } from '../../fakes/openai-chat.ts';
import { CliBench, handSkill, type Ran, type RunHow, until } from '../../helpers/cli-run.ts';
import { endpoint, FORMS, KEY, offered, results, sent, use } from './bench.ts';

const usage = { input: 100, output: 50, cache_read: 30 };
const sum = { input: 200, output: 100, cache_read: 60, cache_write: 0, cost_usd: null };

let bench: CliBench;
let model: ModelServer;
beforeEach(async () => {
  bench = await CliBench.open(api, [], [openaiChat, anthropic]);
  ({ model } = bench);
  bench.env = { MY_MODEL_KEY: KEY };
});
afterEach(() => bench.close());

const inRepo = (name: string) => readFileSync(join(bench.repo, name), 'utf8');
const run = (script: Script, how: RunHow = {}, form: (typeof FORMS)[number] = 'openai'): Promise<Ran> =>
  bench.run(script, { ...how, request: { model: 'm', endpoints: [endpoint(form, model.url)], ...how.request } });

describe.each(FORMS)('a model server of the %s form', (form) => {
  test('edits a file, then goes on with the session and a new prompt', async () => {
    const new_session = randomUUID();
    const script = [
      { text: 'I write it.', ...use('write_file', { path: 'a/hello.txt', content: 'hello\n' }), usage },
      { text: 'Written.', usage },
    ];
    const first = await run(script, { request: { new_session } }, form);
    expect(first.verdict).toMatchObject({ outcome: 'ok', reason: '', output: 'Written.', session: new_session });
    expect(first.verdict).toMatchObject({ model: 'm', usage: sum });
    expect(inRepo('a/hello.txt')).toBe('hello\n');
    const types = first.events.map((event) => event.type).join(' ');
    expect(types).toBe('session agent_thought tool_call tool_result session result');
    expect([first.code, first.openTools, first.finished, first.stderr]).toEqual([0, 0, true, '']);
    expect(JSON.stringify(model.main[0]!.body)).toContain('You are careful.');
    expect(model.main[0]!.body['model']).toBe('m');
    expect(results(model.main[1])).toEqual(['wrote 6 characters to a/hello.txt']);
    const { authorization, 'x-api-key': key } = model.main[0]!.headers;
    expect(form === 'openai' ? authorization : key).toBe(form === 'openai' ? `Bearer ${KEY}` : KEY);

    const second = await run(
      [{ text: 'Still here.' }],
      { request: { session: new_session, prompt: '-x go on' } },
      form,
    );
    expect(second.verdict).toMatchObject({ outcome: 'ok', output: 'Still here.', session: new_session });
    expect(second.verdict.usage).toMatchObject({ input: 100, output: 10 });
    for (const part of ['Write hello.txt', 'I write it.', 'Written.', '-x go on'])
      expect(sent(model.main[2])).toContain(part);
  });

  test('killed in a tool, it is gone on with: the call is answered, a torn line is dropped', async () => {
    const new_session = randomUUID();
    const killed = await run(
      [{ tools: [use('run_command', { command: 'touch begun; sleep 60' }).tools![0]!] }],
      {
        request: { new_session },
        after: async (child) => {
          await until(() => readdirSync(bench.repo).includes('begun'));
          child.kill('SIGKILL');
        },
      },
      form,
    );
    expect(killed.verdict).toMatchObject({ outcome: 'failed', session: new_session });
    expect(killed.openTools).toBe(1);
    const file = join(bench.root, `session-${new_session}.jsonl`);
    expect(statSync(file).mode & 0o777).toBe(0o600);
    appendFileSync(file, '{"role":"tool","content":[{"ty');
    const resumed = await run([{ text: 'On.' }, { text: 'Again.' }], { request: { session: new_session } }, form);
    expect(resumed.verdict).toMatchObject({ outcome: 'ok', output: 'On.' });
    expect(results(model.main[1])[0]).toContain('its outcome is unknown');
    const again = await run([{ text: 'Again.' }], { request: { session: new_session } }, form);
    expect(again.verdict.output).toBe('Again.');
    const lines = readFileSync(file, 'utf8').trimEnd().split('\n');
    expect(lines.map((line) => (JSON.parse(line) as { role: string }).role).join(' ')).toBe(
      'user assistant tool user assistant user assistant',
    );
  });

  test.each([
    ['a wrong key', { status: 401 }, 'auth', 1],
    ['an overloaded service', { status: 529 }, 'transient', 2],
  ])('%s', async (_what, fault, outcome, calls) => {
    const { verdict, code } = await run([{ fault, times: 99 }], {}, form);
    expect(verdict).toMatchObject({ outcome, reason: `${form}: ${fault.status} scripted ${fault.status}` });
    expect([code, model.main.length]).toEqual([1, calls]);
  });

  test('a limit tells when it resets, and is not asked again', async () => {
    const { verdict } = await run([{ fault: { status: 429, headers: { 'retry-after': '3600' } }, times: 9 }], {}, form);
    expect(verdict.outcome).toBe('rate_limited');
    expect(Math.abs(Date.parse(verdict.retry_at!) - Date.now() - 3_600_000)).toBeLessThan(60_000);
    expect(model.main).toHaveLength(1);
  });

  test('a connection that is cut in an answer or before it is tried once more', async () => {
    const cut = await run([{ text: 'I begin', ...use('list_files', {}), network: 'cut' }, { text: 'Done.' }], {}, form);
    expect(cut.verdict).toMatchObject({ outcome: 'ok', output: 'Done.' });
    const dropped = await run([{ network: 'drop', times: 9 }], {}, form);
    expect(dropped.verdict.outcome).toBe('transient');
    expect(model.main).toHaveLength(4);
  });

  test('an answer that is cut off at its limit, and one that is empty, are asked to go on', async () => {
    const ran = await run([{ text: 'The first', truncated: true }, { text: ' ' }, { text: 'The end.' }], {}, form);
    expect(ran.verdict).toMatchObject({ outcome: 'ok', output: 'The end.' });
    expect(sent(model.main[1])).toContain('was cut off');
    expect(sent(model.main[2])).toContain('was empty');
    const never = await run([{ text: 'x', truncated: true, times: 99 }], {}, form);
    expect(never.verdict).toMatchObject({ outcome: 'failed', reason: 'the model gave no answer (length)' });
  });

  test('the number of steps is limited', async () => {
    const ran = await run([{ ...use('list_files', {}), times: 99 }], { request: { max_turns: 3 } }, form);
    expect(ran.verdict.outcome).toBe('max_turns');
    expect(model.main).toHaveLength(3);
    expect(ran.verdict.usage.input).toBe(300);
  });

  test('wrong input, a tool that is not there and one that is not allowed are told to the model', async () => {
    const script: Script = [
      use('read_file', { file: 'x' }),
      use('nonsense', {}),
      use('write_file', { path: 'x', content: '' }),
      use('run_command', { command: 'touch y' }),
      { text: 'I see.' },
    ];
    const ran = await run(script, { settings: { permissions: 'read' } }, form);
    expect(ran.verdict.outcome).toBe('ok');
    expect(offered(model.main[0])).toEqual(['read_file', 'list_files', 'search']);
    const told = results(model.main[4]);
    expect(told[0]).toContain('wrong input');
    expect(told[1]).toContain('nonsense');
    expect(told[2]).toContain('may only read');
    expect(told[3]).toContain('may not run commands');
    expect(readdirSync(bench.repo)).toEqual(['.git']);
    expect(ran.events.filter((event) => event.type === 'tool_result').every((event) => event.is_error)).toBe(true);
  });
});

test('an unknown session, or one that is taken, leaves none to go on with', async () => {
  const unknown = await run([], { request: { session: '../../etc/passwd' } });
  expect(unknown.verdict).toMatchObject({ outcome: 'failed', session: null });
  const new_session = randomUUID();
  await run([{ text: 'one' }], { request: { new_session } });
  const taken = await run([{ text: 'two' }], { request: { new_session } });
  expect(taken.verdict).toMatchObject({ outcome: 'failed', session: null });
  expect(model.main).toHaveLength(1);
});

test('SIGTERM ends it at once, in a silent call and in a command, and nothing is left', async () => {
  const started = Date.now();
  const silent = await run([{ network: 'hang' }], {
    after: async (child) => {
      await until(() => model.main.length > 0);
      child.kill('SIGTERM');
    },
  });
  expect([silent.signal, silent.verdict.outcome]).toEqual(['SIGTERM', 'failed']);
  const busy = await run([use('run_command', { command: 'setsid sleep 300 & echo $! > pid; wait' })], {
    after: async (child) => {
      await until(() => readdirSync(bench.repo).includes('pid') && inRepo('pid').endsWith('\n'));
      child.kill('SIGTERM');
    },
  });
  expect(busy.signal).toBe('SIGTERM');
  expect(isRunning(inRepo('pid').trim())).toBe(false);
  expect(Date.now() - started).toBeLessThan(20_000);
});

test('the prompt is cached by Anthropic servers, and used amounts are told while it runs', async () => {
  const ran = await run([use('list_files', {}), { text: 'Done.' }], {}, 'anthropic');
  const body = JSON.stringify(model.main[1]!.body);
  expect(body.match(/"cache_control":\{"type":"ephemeral"\}/g)).toHaveLength(3);
  const stdout = readFileSync(join(bench.root, 'run-0', 'stdout'), 'utf8')
    .trim()
    .split('\n');
  const reader = api.reader();
  const spent: number[] = [];
  for (const line of stdout.slice(0, -1)) {
    reader.line(line);
    if (line.includes('"usage"')) spent.push(reader.spent.input);
  }
  expect(spent).toEqual([100, 200]);
  expect(ran.verdict.usage.input).toBe(200);
});

/** A dead process that nobody has asked for yet has no command line. */
function isRunning(pid: string): boolean {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8') !== '';
  } catch {
    return false;
  }
}

test('it opens the skills of the run by a tool that reads nothing else', async () => {
  const run_dir = join(bench.root, 'own');
  const skill = handSkill(run_dir);
  const open = (input: Record<string, unknown>) => use('open_skill', input);
  const script = [
    open({ name: 'tidy' }),
    open({ name: 'tidy', file: 'order.md' }),
    open({ name: 'tidy', file: '../../stdin' }),
    open({ name: 'other' }),
    { text: 'Swept.' },
  ];
  const { verdict } = await run(script, { request: { run_dir, skills: [skill] }, settings: { permissions: 'read' } });
  expect(verdict).toMatchObject({ outcome: 'ok', output: 'Swept.' });
  const [whole, beside, out, other] = results(model.main.at(-1));
  expect([whole, beside]).toEqual([expect.stringContaining('Sweep first'), 'From the top to the bottom.\n']);
  expect(out).toContain('../../stdin is outside');
  expect(other).toBe('there is no skill other, but tidy');
  await run([{ text: 'None.' }]);
  expect(offered(model.main.at(-1))).not.toContain('open_skill');
});

describe('an answer by a schema', () => {
  const schema = { type: 'object', properties: { n: { type: 'integer' } }, required: ['n'] };

  test.each(FORMS)('is given by a tool, and what does not fit is told at once (%s)', async (form) => {
    const script = [use('final_answer', { n: 'many' }), use('final_answer', { n: 3 }), { text: 'never asked' }];
    const { verdict } = await run(script, { request: { output_schema: schema } }, form);
    expect(verdict).toMatchObject({ outcome: 'ok', output: '{"n":3}' });
    expect(results(model.main.at(-1))).toEqual(['the final answer does not fit the schema: /n must be integer']);
    expect(model.main).toHaveLength(2);
    // The session goes on from there.
    const again = await run(
      [{ text: '{"n":4}' }],
      { request: { output_schema: schema, session: verdict.session } },
      form,
    );
    expect(again.verdict).toMatchObject({ outcome: 'ok', output: '{"n":4}' });
  });

  test('a value that is no object is wrapped; a server that refuses the tool is asked without it', async () => {
    const list = { type: 'array', items: { type: 'integer' } };
    const { verdict } = await run([use('final_answer', { answer: [1, 2] })], { request: { output_schema: list } });
    expect(verdict).toMatchObject({ outcome: 'ok', output: '[1,2]' });
    const refusing = (call: Call) =>
      offered(call).includes('final_answer') ? { fault: { status: 400, message: 'no grammar' } } : { text: '[3]' };
    const { verdict: plain, events } = await run(refusing, { request: { output_schema: list } });
    expect(plain).toMatchObject({ outcome: 'ok', output: '[3]' });
    expect(events.some((event) => event.type === 'log' && event.content.includes('without the tool'))).toBe(true);
  });
});
