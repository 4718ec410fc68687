// Model servers and GPUs: the load is shared by free slots, each run is told where it is sent, one that fails is gone round.
import { existsSync, readFileSync, rmSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, expect, it } from 'vitest';
import { type TestWorkspace, until, workspaces } from '../helpers/workspace.ts';

const make = workspaces();
const servers: Server[] = [];
afterEach(async () => {
  for (const one of servers.splice(0)) await new Promise((done) => one.close(done));
});
/** A model server that only says that it is there. */
async function modelServer(): Promise<{ url: string; asked: string[] }> {
  const asked: string[] = [];
  const server = createServer((request, response) => {
    asked.push(`${request.url} ${request.headers.authorization ?? ''}`);
    response.end('{"data":[]}');
  });
  servers.push(server);
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1`, asked };
}
const BOT = `#!/bin/sh
echo "$TOWPATH_TASK_ID $TOWPATH_ENDPOINT $CUDA_VISIBLE_DEVICES $TOWPATH_BASE_URL \${LOCAL_KEY:-none}" >> "$TOWPATH_WORKSPACE/runs.txt"
while [ -f "$TOWPATH_WORKSPACE/slow" ]; do sleep 0.05; done
if [ "$TOWPATH_ENDPOINT" = broken ]; then
  echo '{"type":"error","outcome":"transient","content":"500"}'
  exit 1
fi
echo > "$TOWPATH_TASK_ID.txt"
`;
const task = (matter = '') => `---\n${matter}title: a task\n---\nDo it.\n`;
const runs = (ws: TestWorkspace): string[] =>
  existsSync(ws.path('runs.txt')) ? readFileSync(ws.path('runs.txt'), 'utf8').trim().split('\n') : [];

it('shares the load by free slots, sets the GPU, lets the key through, and shows it', async () => {
  const one = await modelServer();
  const ws = make(`agent: bot
concurrency: 10
agents: {bot: {command: ./bot, models: {senior: qwen}}}
endpoints:
  - {name: big, base_url: '${one.url}', models: [qwen, llama], slots: 2, key_env: LOCAL_KEY}
  - {name: gpu1, models: [qwen], gpu: 1}
`);
  ws.file('bot', BOT, 0o755);
  ws.file('slow', '');
  for (const id of ['a', 'b', 'c', 'd']) ws.drop(id, task());
  ws.drop('e', task('model: unserved\n'));
  await ws.start([], { LOCAL_KEY: 'k-123' });
  await until(
    () => runs(ws).length === 4,
    'three and the one without a server run',
    20_000,
    () => ws.output,
  );
  const sent = runs(ws).map((line) => line.split(' ').slice(1).join(' '));
  // A run knows the keys of all servers that it may go on to.
  const expected = ['   none', `big  ${one.url} k-123`, `big  ${one.url} k-123`, 'gpu1 1  k-123'];
  expect(sent.toSorted()).toEqual(expected.toSorted());
  const waiting = ['a', 'b', 'c', 'd'].find((id) => existsSync(ws.path('queues/incoming', `${id}.md`)))!;
  expect(ws.run(['why', waiting]).stdout).toMatch(/all \d slots of endpoint \w+ are taken/);
  const status = ws.json<{ endpoints: { name: string; used: number; slots: number; reachable: boolean }[] }>([
    'status',
  ]);
  expect(status.endpoints).toMatchObject([
    { name: 'big', used: 2, slots: 2, reachable: true },
    { name: 'gpu1', used: 1, slots: 1 },
  ]);
  expect(one.asked[0]).toBe('/v1/models Bearer k-123');
  rmSync(ws.path('slow'));
  for (const id of ['a', 'b', 'c', 'd', 'e'])
    await until(
      () => existsSync(ws.path('queues/done', `${id}.md`)),
      `${id} is done`,
      20_000,
      () => ws.output,
    );
  const started = ws
    .run(['events', '--json', '--task', 'a'])
    .stdout.split('\n')
    .find((line) => line.includes('attempt_started'))!;
  expect(JSON.parse(started)).toMatchObject({ model: 'qwen', endpoint: expect.stringMatching(/big|gpu1/) });
});

it('goes round one that fails, and a limit closes the server and not the agent', async () => {
  const one = await modelServer();
  const ws = make(`agent: bot
concurrency: 1
retry: {initial: 100ms}
agents: {bot: {command: ./bot, models: {senior: qwen}}}
endpoints:
  - {name: broken, base_url: '${one.url}', models: [qwen], slots: 3}
  - {name: good, base_url: '${one.url}', models: [qwen]}
`);
  ws.file('bot', BOT, 0o755);
  ws.drop('a', task());
  expect(ws.run(['start', '--drain']).code).toBe(0);
  expect(runs(ws).map((line) => line.split(' ')[1])).toEqual(['broken', 'good']);
  expect(ws.show('a')).toMatchObject({ queue: 'done', attempts: 1 });
});

it('wrong endpoints are told with their key', () => {
  const ws = make('endpoints: [{name: a, models: [m]}]\n');
  expect(ws.run(['status']).stderr).toContain('endpoints.0": write base_url, or the gpu');
  ws.file('towpath.yaml', "endpoints: [{name: a, base_url: 'file:///x', models: [m]}]\n");
  expect(ws.run(['status']).stderr).toContain('an address: http://127.0.0.1:8000/v1');
});
