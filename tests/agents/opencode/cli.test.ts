// The real opencode, started just as the adapter says, against a scripted model on loopback.
import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { opencode } from '../../../daemon/agents/opencode/opencode.ts';
import type { Endpoint } from '../../../daemon/agents/port.ts';
import { anthropic } from '../../fakes/anthropic-messages.ts';
import type { Script } from '../../fakes/model-server.ts';
import { openaiChat } from '../../fakes/openai-chat.ts';
import { CliBench, handSkill, type Ran, type RunHow, SETTINGS, until } from '../../helpers/cli-run.ts';
import { CLIS, MCP_SERVER, OPENCODE_OFFLINE } from '../../helpers/clis.ts';

/** It takes 3 s a run on an idle machine, and twenty times that on one where everything is tested at once. */
const PATIENCE_MS = 240_000;

const write = (filePath: string, content = 'hello\n') => ({ tools: [{ name: 'write', input: { filePath, content } }] });
const bash = (command: string) => ({ tools: [{ name: 'bash', input: { command, description: 'a step' } }] });
const usage = { input: 1000, output: 50, cache_read: 200 };
const overflow = {
  status: 400,
  body: { error: { message: 'too long', type: 'invalid_request_error', code: 'context_length_exceeded' } },
};

const open = () => CliBench.open(opencode, [CLIS.opencode], [openaiChat, anthropic]);
const endpoint = (bench: CliBench, over: Partial<Endpoint> = {}): Endpoint => ({
  ...{ name: 'lab', base_url: `${bench.model.url}/v1`, api: 'openai', models: ['m1'], slots: 1 },
  ...over,
});
const runIn = (bench: CliBench, script: Script, how: RunHow = {}): Promise<Ran> =>
  bench.run(script, {
    ...how,
    env: { ...OPENCODE_OFFLINE, ...how.env },
    request: { model: 'm1', endpoints: [endpoint(bench)], ...how.request },
  });

/** Waits for a minute between its tries, and so goes on beside the others. */
let lost: Promise<string>;
beforeAll(() => {
  lost = open().then(async (bench) => {
    try {
      return (await runIn(bench, [{ network: 'drop', times: 999 }])).verdict.outcome;
    } finally {
      await bench.close();
    }
  });
  // Seen by the test that waits for it.
  lost.catch(() => {});
});

/** One home for all: the first run in it makes a database, and takes long. */
describe('real opencode', () => {
  let bench: CliBench;
  let root: string;
  let repo: string;
  let model: CliBench['model'];

  beforeAll(async () => {
    bench = await open();
    ({ root, repo, model } = bench);
  });
  afterAll(() => bench.close());

  const run = (script: Script, how?: RunHow) => runIn(bench, script, how);
  const sent = (call = -1) => JSON.stringify(model.main.at(call)!.body['messages']);

  test(
    'edits a file, then goes on with the session and a new prompt',
    async () => {
      writeFileSync(join(repo, 'AGENTS.md'), 'The house rule is: be brief.\n');
      const first = await run([
        { text: 'I write it.', ...write(join(repo, 'hello.txt')), usage },
        { text: 'Written.', usage },
      ]);
      expect(first.verdict).toMatchObject({ outcome: 'ok', reason: '', output: 'Written.', model: 'towpath-lab/m1' });
      expect(first.verdict.usage).toEqual({
        input: 2000,
        output: 100,
        cache_read: 400,
        cache_write: 0,
        cost_usd: null,
      });
      expect(readFileSync(join(repo, 'hello.txt'), 'utf8')).toBe('hello\n');
      const types = first.events.map((event) => event.type).join(' ');
      expect(types).toBe('session tool_call agent_thought tool_result agent_thought result');
      expect([first.openTools, first.finished]).toEqual([0, true]);
      for (const part of ['You are careful.', 'The house rule', 'You are opencode']) expect(sent(0)).toContain(part);
      expect(readdirSync(repo).sort()).toEqual(['.git', 'AGENTS.md', 'hello.txt']);
      // No title was asked for, nor anything else.
      expect(model.calls.every((call) => call.main)).toBe(true);

      const { session } = first.verdict;
      const second = await run([{ text: 'Still here.', usage }], { request: { session, prompt: '-x and go on' } });
      expect(second.verdict).toMatchObject({ outcome: 'ok', output: 'Still here.', session });
      expect(second.verdict.usage).toMatchObject({ input: 1000, output: 50 });
      for (const part of ['Write hello.txt', 'I write it.', '-x and go on']) expect(sent()).toContain(part);
      const unknown = await run([], { request: { session: 'ses_0123456789abcdefghijklmnop' } });
      expect(unknown.verdict).toMatchObject({ outcome: 'failed', session: null });
      expect(unknown.verdict.reason).toContain('Session not found');
    },
    PATIENCE_MS,
  );

  test(
    'faults that are told at once',
    async () => {
      const outcome = async (script: Script, how?: RunHow) => {
        const { verdict, code } = await run(script, how);
        expect(verdict.reason).toMatch(/^opencode/);
        expect(code).toBe(1);
        return verdict.outcome;
      };
      expect(await outcome([{ fault: { status: 401 }, times: 99 }])).toBe('auth');
      // Other codes come in the same event: stream.test.ts.
      const flag = await run([], { settings: { args: ['--no-such-flag'] } });
      expect(flag.verdict).toMatchObject({ outcome: 'failed', session: null });
    },
    PATIENCE_MS,
  );

  test(
    'a limit: waited out when it is short; when it is long it would sleep, and is ended',
    async () => {
      const full = (after: string) => ({ status: 429, headers: { 'retry-after': after } });
      const long = await run([{ fault: full('3600'), times: 99 }], { endHopeless: true });
      expect([long.hopeless, long.verdict.outcome]).toEqual([true, 'rate_limited']);
      expect(Math.abs(Date.parse(long.verdict.retry_at!) - Date.now() - 3_600_000)).toBeLessThan(60_000);
      expect(long.verdict.session).toMatch(/^ses_/);
      const short = await run([{ fault: full('1') }, { text: 'Done.' }]);
      expect(short.verdict).toMatchObject({ outcome: 'ok', output: 'Done.' });
      expect(short.events.some((event) => event.type === 'log' && event.content.startsWith('model call failed'))).toBe(
        true,
      );
    },
    PATIENCE_MS,
  );

  test(
    'a context that is full: got over once, exit 1 and still ok; for ever, and it is ended',
    async () => {
      const once = await run([{ fault: overflow }, { text: 'Done.' }]);
      expect([once.code, once.verdict.outcome, once.verdict.output]).toEqual([1, 'ok', 'Done.']);
      const ever = await run([{ fault: overflow, times: 9999 }], { endHopeless: true });
      expect([ever.hopeless, ever.verdict.outcome]).toEqual([true, 'context_exceeded']);
      expect(ever.verdict.reason).toBe('opencode: too long');
    },
    PATIENCE_MS,
  );

  test(
    'a connection that is cut in the middle of an answer is mended by the CLI',
    async () => {
      const cut = await run([{ text: 'I begin', ...write(join(repo, 'a.txt')), network: 'cut' }, { text: 'Done.' }]);
      expect(cut.verdict.outcome === 'ok' ? cut.verdict.output : cut.verdict.outcome).toMatch(
        /^(Done\.|transient|failed)$/,
      );
    },
    PATIENCE_MS,
  );

  test(
    'ended while the model is silent: the session is known all the same',
    async () => {
      const before = model.main.length;
      const ran = await run([{ network: 'hang', times: 99 }], {
        after: async (child) => {
          await until(() => model.main.length > before);
          child.kill('SIGTERM');
        },
      });
      expect([ran.signal, ran.finished]).toEqual(['SIGTERM', false]);
      expect(ran.verdict).toMatchObject({ outcome: 'failed', session: expect.stringMatching(/^ses_/) });
      expect(ran.verdict.reason).toContain('ended without an answer (signal SIGTERM)');
    },
    PATIENCE_MS,
  );

  test(
    'killed in the middle of a tool, then gone on with',
    async () => {
      const killed = await run([{ text: 'I wait.', ...bash('node -e "setTimeout(() => {}, 4000)"') }], {
        after: async (child, stdout) => {
          await until(() => readFileSync(stdout, 'utf8').includes('"call"'));
          child.kill('SIGKILL');
        },
      });
      expect([killed.verdict.outcome, killed.openTools]).toEqual(['failed', 1]);
      const { session } = killed.verdict;
      const resumed = await run([{ text: 'Went on.' }], { request: { session, prompt: 'go on' } });
      expect(resumed.verdict).toMatchObject({ outcome: 'ok', output: 'Went on.', session });
      for (const part of ['Write hello.txt', 'go on']) expect(sent()).toContain(part);
    },
    PATIENCE_MS,
  );

  test(
    'permissions: what is refused or unknown is told as such',
    async () => {
      const failed = (ran: Ran) => ran.events.filter((e) => e.type === 'tool_result').map((e) => e.is_error === true);
      const steps = [write(join(repo, 'evil')), bash('touch evil'), { text: 'Looked.' }];
      // The skills of a run lie outside of the worktree, and are all that may be read there.
      const run_dir = join(root, 'own');
      const skill = handSkill(run_dir);
      const outside = join(root, 'outside.txt');
      writeFileSync(outside, 'none of yours\n');
      const reads = [skill.file, skill.beside, outside].map((filePath) => ({
        tools: [{ name: 'read', input: { filePath } }],
      }));
      const read = await run([...reads, ...steps], {
        request: { run_dir, skills: [skill] },
        settings: { permissions: 'read' },
      });
      expect([read.verdict.outcome, failed(read)]).toEqual(['ok', [false, false, true, true, true]]);
      for (const part of ['Sweep first', 'From the top to the bottom.']) expect(sent()).toContain(part);
      expect(sent()).not.toContain('none of yours');
      expect(existsSync(join(repo, 'evil'))).toBe(false);
      rmSync(outside);
      const edits = await run(
        [write(outside), write(join(repo, 'inside.txt')), bash('touch evil'), { text: 'Edited.' }],
        {
          settings: { permissions: 'edits' },
        },
      );
      expect(failed(edits)).toEqual([true, false, true]);
      expect([existsSync(outside), existsSync(join(repo, 'inside.txt'))]).toEqual([false, true]);
      const full = await run([write(outside), bash('exit 3'), { text: 'Done.' }]);
      expect([failed(full), existsSync(outside)]).toEqual([[false, true], true]);
    },
    PATIENCE_MS,
  );

  test(
    'MCP servers are those of the run, those of the worktree are not run; an endpoint may speak Anthropic’s format, with a key',
    async () => {
      const server = join(root, 'server.mjs');
      writeFileSync(server, MCP_SERVER);
      const evil = join(root, 'evil');
      writeFileSync(
        join(repo, 'opencode.json'),
        JSON.stringify({ mcp: { evil: { type: 'local', command: ['touch', evil], enabled: true } }, model: 'x/y' }),
      );
      const say = { tools: [{ name: 'echo_say', input: { text: 'hi' } }] };
      const ran = await run([say, { text: 'Said.' }], {
        request: {
          mcp: { echo: { command: process.execPath, args: [server], env: {} } },
          endpoints: [endpoint(bench, { name: 'a', api: 'anthropic', key_env: 'LAB_KEY' })],
        },
        settings: { permissions: 'edits' },
        env: { LAB_KEY: 'from-outside' },
      });
      expect(ran.verdict).toMatchObject({ outcome: 'ok', output: 'Said.', model: 'towpath-a/m1' });
      expect(model.main.at(-1)).toMatchObject({ path: '/v1/messages', headers: { 'x-api-key': 'from-outside' } });
      expect(ran.events.find((event) => event.type === 'tool_result')).toMatchObject({ content: 'echo: hi' });
      expect(existsSync(evil)).toBe(false);
    },
    PATIENCE_MS,
  );

  test(
    'probe tells the version, what it lacks, and whether it has a provider',
    async () => {
      const env = { PATH: process.env['PATH'], HOME: bench.home };
      const settings = { ...SETTINGS, command: [CLIS.opencode] };
      let bare = await opencode.probe(settings, env);
      // It has 4.5 s to answer, which a busy machine may not grant it.
      for (let tries = 0; bare.version === null && tries < 20; tries++) bare = await opencode.probe(settings, env);
      expect(bare).toMatchObject({ installed: true, version: expect.stringMatching(/^1\./), ready: false, lacks: [] });
      expect(await opencode.probe(settings, { ...env, OPENAI_API_KEY: 'k' })).toMatchObject({ ready: true, why: null });
    },
    PATIENCE_MS,
  );
});

/** It tries each of these five times more; what the server says of when spares the minute of waiting between them. */
test('faults that it tries again: no connection, a limit that is always there, a service that is broken', async () => {
  const headers = { 'retry-after-ms': '20' };
  const away = await lost;
  expect(away).toBe('transient');
  const bench = await open();
  try {
    for (const [status, outcome] of [
      [429, 'rate_limited'],
      [500, 'transient'],
    ] as const) {
      const { verdict } = await runIn(bench, [{ fault: { status, headers }, times: 999 }]);
      expect([status, verdict.outcome]).toEqual([status, outcome]);
    }
  } finally {
    await bench.close();
  }
}, 240_000);
