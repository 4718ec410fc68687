// Which model server the api agent asks: the first, the next when that fails, a service by the model's name; errors inside a stream.
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { api } from '../../../daemon/agents/api/api.ts';
import { anthropic } from '../../fakes/anthropic-messages.ts';
import { type ModelServer, type Script, startModelServer } from '../../fakes/model-server.ts';
import { openaiChat } from '../../fakes/openai-chat.ts';
import { CliBench, type Ran, type RunHow } from '../../helpers/cli-run.ts';
import { endpoint, KEY, use } from './bench.ts';

let bench: CliBench;
let model: ModelServer;
beforeEach(async () => {
  bench = await CliBench.open(api, [], [openaiChat, anthropic]);
  ({ model } = bench);
  bench.env = { MY_MODEL_KEY: KEY };
});
afterEach(() => bench.close());

const run = (script: Script, how: RunHow = {}): Promise<Ran> =>
  bench.run(script, { ...how, request: { model: 'm', ...how.request } });

describe('several model servers', () => {
  let other: ModelServer;
  beforeEach(async () => {
    other = await startModelServer([], [openaiChat]);
  });
  afterEach(() => other.close());
  const both = () => [endpoint('openai', model.url, { name: 'a' }), endpoint('openai', other.url, { name: 'b' })];

  test.each([
    ['that fails', { fault: { status: 500 }, times: 99 }, 2],
    ['that is limited', { fault: { status: 429 }, times: 99 }, 1],
    ['that is gone', { network: 'drop' as const, times: 99 }, 2],
  ])('one %s hands over to the next, which is kept', async (_what, step, calls) => {
    other.play([use('list_files', {}), { text: 'From b.' }]);
    const ran = await run([step], { request: { endpoints: both() } });
    expect(ran.verdict).toMatchObject({ outcome: 'ok', output: 'From b.' });
    expect([model.main.length, other.main.length]).toEqual([calls, 2]);
    expect(ran.events).toContainEqual({ type: 'log', content: expect.stringContaining('b is asked') });
  });

  test('the refused key of a stand-in is not told as the fault of the first', async () => {
    other.play([{ fault: { status: 401 }, times: 99 }]);
    const ran = await run([{ fault: { status: 500 }, times: 99 }], { request: { endpoints: both() } });
    expect(ran.verdict).toMatchObject({ outcome: 'transient', reason: 'a: 500 scripted 500' });
    const first = await run([{ fault: { status: 401 } }], { request: { endpoints: both() } });
    expect(first.verdict).toMatchObject({ outcome: 'auth', reason: 'a: 401 scripted 401' });
  });

  test('when all fail the run may be tried again; when all are limited it waits for the first reset', async () => {
    other.play([{ fault: { status: 503 }, times: 99 }]);
    const failed = await run([{ network: 'drop', times: 99 }], { request: { endpoints: both() } });
    expect(failed.verdict.outcome).toBe('transient');
    expect([model.main.length, other.main.length]).toEqual([2, 2]);
    other.play([{ fault: { status: 429, headers: { 'retry-after': '60' } } }]);
    const limited = await run([{ fault: { status: 429, headers: { 'retry-after': '6000' } } }], {
      request: { endpoints: both() },
    });
    expect(limited.verdict.outcome).toBe('rate_limited');
    expect(Date.parse(limited.verdict.retry_at!) - Date.now()).toBeLessThan(120_000);
  });
});

const usages = { input_tokens: 1, output_tokens: 1 };
const START = {
  type: 'message_start',
  message: { id: 'm', model: 'm', role: 'assistant', content: [], usage: usages },
};

test.each([
  ['openai', { error: { message: 'no slot', type: 'server_error', code: 503 } }, 'transient', 2],
  ['openai', { error: { message: 'slow down', type: 'requests', code: 429 } }, 'rate_limited', 1],
  ['anthropic', { type: 'error', error: { type: 'overloaded_error', message: 'Overloaded' } }, 'transient', 2],
  ['anthropic', { type: 'error', error: { type: 'authentication_error', message: 'no' } }, 'auth', 1],
] as const)('an error inside the stream of an %s server: %j', async (form, error, outcome, calls) => {
  let asked = 0;
  const server = createServer((_request, response) => {
    asked += 1;
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    const begun = form === 'openai' ? [{ id: 'c', choices: [{ index: 0, delta: { content: 'I' } }] }] : [START];
    for (const event of [...begun, error]) response.write(`data: ${JSON.stringify(event)}\n\n`);
    response.end();
  });
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  try {
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    const { verdict } = await run([], { request: { endpoints: [endpoint(form, url)] } });
    expect([verdict.outcome, asked, verdict.reason]).toEqual([outcome, calls, expect.stringContaining(`${form}: `)]);
  } finally {
    server.closeAllConnections();
    server.close();
  }
});

test('without endpoints the name of the model says which service, and OPENAI_BASE_URL where', async () => {
  const at = { endpoints: [], model: 'openai/tiny' };
  const env = { OPENAI_BASE_URL: model.url, OPENAI_API_KEY: KEY };
  expect((await run([{ text: 'Hi.' }], { request: at, env })).verdict).toMatchObject({
    outcome: 'ok',
    model: 'openai/tiny',
  });
  expect(model.main[0]!.body['model']).toBe('tiny');
  expect(model.main[0]!.headers.authorization).toBe(`Bearer ${KEY}`);
  const keyless = await run([{ text: 'Hi.' }], { request: at, env: { OPENAI_BASE_URL: model.url } });
  expect(keyless.verdict.outcome).toBe('ok');
  expect(model.main[1]!.headers.authorization).toBeUndefined();
  const claude = { endpoints: [], model: 'anthropic/tiny' };
  const without = await run([], { request: claude, env: { ANTHROPIC_BASE_URL: model.url } });
  expect(without.verdict).toMatchObject({ outcome: 'auth', reason: expect.stringContaining('ANTHROPIC_API_KEY') });
  for (const name of [null, 'tiny'])
    await expect(run([], { request: { endpoints: [], model: name } })).rejects.toThrow(/model/);
});
