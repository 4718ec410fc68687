// The real Codex CLI, started just as the adapter says, against a scripted model on loopback.
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { codex } from '../../../daemon/agents/codex/codex.ts';
import type { Endpoint } from '../../../daemon/agents/port.ts';
import type { Script } from '../../fakes/model-server.ts';
import { responses } from '../../fakes/openai-responses.ts';
import { SETTINGS as base, CliBench, handSkill, type Ran, type RunHow, until } from '../../helpers/cli-run.ts';
import { CLIS, CODEX_VERSION, MCP_SERVER } from '../../helpers/clis.ts';

const patch = (path: string, line = 'hello') => ({
  tools: [
    { name: 'apply_patch', input: { input: `*** Begin Patch\n*** Add File: ${path}\n+${line}\n*** End Patch\n` } },
  ],
});
const sh = (cmd: string) => ({ tools: [{ name: 'exec_command', input: { cmd } }] });

describe('real Codex CLI', () => {
  let bench: CliBench;
  let root: string;
  let repo: string;
  let model: CliBench['model'];
  let endpoint: Endpoint;

  beforeEach(async () => {
    bench = await CliBench.open(codex, [CLIS.codex], [responses]);
    ({ root, repo, model } = bench);
    endpoint = {
      name: 'fake',
      base_url: `${model.url}/v1`,
      api: 'responses',
      models: ['gpt-5.5'],
      slots: 1,
      key_env: 'FAKE_KEY',
    };
    // Whatever would leave this machine runs into the scripted model, which tunnels nothing.
    bench.env = { FAKE_KEY: 'not-a-key', HTTPS_PROXY: model.url, HTTP_PROXY: model.url, NO_PROXY: '127.0.0.1' };
  });
  afterEach(() => bench.close());

  const run = (script: Script, how: RunHow = {}): Promise<Ran> =>
    bench.run(script, { ...how, request: { model: 'gpt-5.5', endpoints: [endpoint], ...how.request } });
  const sent = (n: number) => JSON.stringify(model.main.at(n)!.body['input']);

  test('edits a file, then goes on with the session and a new prompt; each run tells its own usage', async () => {
    const usage = { input: 1000, output: 50, cache_read: 200 };
    const first = await run([
      { text: 'I write it.', ...patch('hello.txt'), usage },
      { text: 'Written.', usage },
    ]);
    expect(first.verdict).toMatchObject({ outcome: 'ok', reason: '', output: 'Written.', model: 'gpt-5.5' });
    expect(first.verdict.usage).toEqual({ input: 2000, output: 100, cache_read: 400, cache_write: 0, cost_usd: null });
    expect(readFileSync(join(repo, 'hello.txt'), 'utf8')).toBe('hello\n');
    const types = first.events.map((event) => event.type).join(' ');
    expect(types).toBe('session agent_thought tool_call tool_result agent_thought result');
    expect([first.openTools, first.finished, first.hopeless]).toEqual([0, true, false]);
    expect(sent(0)).toContain('You are careful.');
    expect(model.main[0]!.headers.authorization).toBe('Bearer not-a-key');

    const { session } = first.verdict;
    const second = await run([{ text: 'Still here.', usage }], { request: { session, prompt: '-x and go on' } });
    expect(second.verdict).toMatchObject({ outcome: 'ok', output: 'Still here.', session });
    expect(second.verdict.usage).toMatchObject({ input: 1000, output: 50, cache_read: 200 });
    for (const text of ['You are careful.', 'Write hello.txt', '-x and go on']) expect(sent(-1)).toContain(text);
    expect(sent(-1).split('You are careful.')).toHaveLength(2);
    // Nothing but the model was asked for anything.
    expect(new Set(model.calls.map(({ method, path }) => `${method} ${path}`))).toEqual(
      new Set(['POST /v1/responses']),
    );
  });

  test('a session that does not exist leaves none to go on with', async () => {
    const session = '01a1fd17-188f-79d0-94c9-03c8f680a5c9';
    const { verdict } = await run([], { request: { session } });
    expect(verdict).toMatchObject({ outcome: 'failed', session: null });
    expect(verdict.reason).toMatch(/^codex ended without an answer \(exit 1\): Error: .*no rollout found/);
    expect(model.main).toHaveLength(0);
  });

  test('a rate limit: not waited out when it is long, ended by few tries when it is short, recovered from when it passes', async () => {
    const begun = Date.now();
    const long = await run([{ fault: { status: 429, headers: { 'retry-after': '3600' } }, times: 99 }], {
      endHopeless: true,
    });
    expect(long.hopeless).toBe(true);
    expect(long.verdict).toMatchObject({ outcome: 'rate_limited', reason: expect.stringContaining('429') });
    const at = Date.parse(long.verdict.retry_at!);
    expect(at).toBeGreaterThan(begun + 3_590_000);
    expect(at).toBeLessThan(Date.now() + 3_600_000);
    expect(model.main).toHaveLength(1);
    const short = await run([{ fault: { status: 429, headers: { 'retry-after': '1' } }, times: 99 }]);
    expect(short.verdict).toMatchObject({ outcome: 'rate_limited', retry_at: null });
    expect([short.code, short.hopeless]).toEqual([1, false]);
    const once = await run([{ fault: { status: 429, headers: { 'retry-after': '1' } } }, { text: 'Done.' }]);
    expect(once.verdict).toMatchObject({ outcome: 'ok', output: 'Done.' });
  });

  test('the same of its own service, which it asks over a web socket first', async () => {
    const long = await run([{ fault: { status: 429, headers: { 'retry-after': '3600' } }, times: 99 }], {
      request: { endpoints: [] },
      settings: { args: ['--config', `openai_base_url="${model.url}/v1"`] },
      env: { CODEX_API_KEY: 'not-a-key' },
      endHopeless: true,
    });
    expect(long.verdict).toMatchObject({ outcome: 'rate_limited', reason: expect.stringContaining('429') });
    expect(Date.parse(long.verdict.retry_at!)).toBeGreaterThan(Date.now() + 3_500_000);
    expect(model.main).toHaveLength(1);
    expect(model.calls.length).toBeGreaterThan(1);
  });

  test('a plan that is used up tells its reset to the minute', async () => {
    const resets_at = Math.floor(Date.now() / 1000) + 7200;
    const error = {
      type: 'usage_limit_reached',
      message: 'The usage limit has been reached',
      plan_type: 'plus',
      resets_at,
    };
    const { verdict } = await run([{ fault: { status: 429, body: { error } }, times: 99 }]);
    expect(verdict).toMatchObject({ outcome: 'rate_limited', reason: expect.stringContaining('usage limit') });
    expect(Math.abs(Date.parse(verdict.retry_at!) - resets_at * 1000)).toBeLessThanOrEqual(60_000);
    error.resets_at += 3 * 86_400;
    const later = await run([{ fault: { status: 429, body: { error } }, times: 99 }]);
    expect(Math.abs(Date.parse(later.verdict.retry_at!) - error.resets_at * 1000)).toBeLessThanOrEqual(60_000);
  });

  const refusal = (code: string, type = 'invalid_request_error') => ({ error: { message: 'no', type, code } });
  test.each([
    ['a wrong key', { status: 401 }, 'auth'],
    ['a key without rights', { status: 403 }, 'auth'],
    ['no quota', { status: 429, body: refusal('insufficient_quota', 'insufficient_quota') }, 'billing'],
    ['no such model', { status: 404 }, 'failed'],
    ['a wrong request', { status: 400 }, 'failed'],
    ['a conversation that is too long', { status: 400, body: refusal('context_length_exceeded') }, 'context_exceeded'],
    ['an overloaded service', { status: 529 }, 'transient'],
    ['a broken service', { status: 500 }, 'transient'],
    ['a service that is away', { status: 503 }, 'transient'],
  ])('%s', async (_what, fault, outcome) => {
    const { verdict, finished, code } = await run([{ fault, times: 99 }]);
    expect(verdict.outcome).toBe(outcome);
    expect(verdict.reason).toMatch(/^codex/);
    expect(verdict.retry_at).toBeNull();
    expect([finished, code]).toEqual([true, 1]);
  });

  test('no key at all', async () => {
    const { verdict } = await run([], { env: { FAKE_KEY: undefined } });
    expect(verdict).toMatchObject({ outcome: 'auth', reason: expect.stringContaining('FAKE_KEY') });
    expect(model.main).toHaveLength(0);
  });

  test('a connection that always drops is transient; one cut in the middle of an answer is mended by the CLI', async () => {
    const dropped = await run([{ network: 'drop', times: 99 }]);
    expect(dropped.verdict.outcome).toBe('transient');
    const cut = await run([{ text: 'I begin', network: 'cut' }, { text: 'Done.' }]);
    expect(cut.verdict).toMatchObject({ outcome: 'ok', output: 'Done.' });
    const always = await run([{ text: 'All done.', network: 'cut', times: 99 }]);
    expect(always.verdict.outcome).toBe('transient');
  });

  test.each(['SIGINT', 'SIGTERM'] as const)(
    '%s while the model is silent: not ok, and the session is known',
    async (signal) => {
      const ran = await run([{ network: 'hang', times: 99 }], {
        after: async (child) => {
          await until(() => model.main.length > 0);
          child.kill(signal);
        },
      });
      expect(ran.verdict).toMatchObject({ outcome: 'failed', session: expect.any(String) });
      expect(ran.verdict.reason).toContain('ended without an answer');
      expect(ran.finished).toBe(false);
    },
  );

  test('killed in the middle of a tool, then gone on with', async () => {
    const steps = [patch('a.txt'), { ...sh('sleep 4'), usage: { input: 700 } }];
    const killed = await run(steps, {
      after: async (child, stdout) => {
        await until(() => readFileSync(stdout, 'utf8').includes('sleep 4'));
        child.kill('SIGKILL');
      },
    });
    expect(killed.verdict).toMatchObject({ outcome: 'failed', session: expect.any(String) });
    expect(killed.openTools).toBe(1);
    // What it used is known though it never told.
    expect(killed.verdict.usage).toMatchObject({ input: 800, output: 20 });
    const { session } = killed.verdict;
    const resumed = await run([{ text: 'Went on.' }], { request: { session, prompt: 'go on' } });
    expect(resumed.verdict).toMatchObject({ outcome: 'ok', output: 'Went on.', session, usage: { input: 100 } });
    expect(sent(-1)).toContain('a.txt');
  });

  test('a failing command and an unknown tool are told as such, and keys are not for the shell', async () => {
    const steps = [
      sh('echo "key <$FAKE_KEY> log <$RUST_LOG> run <$TOWPATH_RUN>"; exit 3'),
      { tools: [{ name: 'no_such_tool', input: { x: 1 } }] },
    ];
    const ran = await run([...steps, { text: 'Done.' }], { env: { TOWPATH_RUN: 'mark' } });
    expect(ran.verdict.outcome).toBe('ok');
    const [result] = ran.events.filter((event) => event.type === 'tool_result');
    expect(result).toMatchObject({ is_error: true, content: 'key <> log <> run <mark>\n' });
    expect(sent(-1)).toContain('no_such_tool');
  });

  test('permissions: read writes nothing, whatever the worktree allows; edits leaves git alone', async () => {
    mkdirSync(join(repo, '.codex', 'rules'), { recursive: true });
    writeFileSync(join(repo, '.codex', 'config.toml'), 'sandbox_mode = "danger-full-access"\n');
    writeFileSync(join(repo, '.codex', 'rules', 'x.rules'), 'prefix_rule(pattern = ["touch"], decision = "allow")\n');
    const read = await run([sh('cat .codex/config.toml'), sh('touch evil'), patch('evil2'), { text: 'Looked.' }], {
      settings: { permissions: 'read' },
    });
    expect(read.verdict.outcome).toBe('ok');
    expect(sent(-1)).toContain("cannot touch 'evil': Read-only file system");
    const refused = { type: 'log', content: expect.stringMatching(/^refused: patch rejected: .*read-only sandbox/) };
    expect(read.events).toContainEqual(refused);
    expect(existsSync(join(repo, 'evil')) || existsSync(join(repo, 'evil2'))).toBe(false);

    const edits = await run([sh('touch .git/evil'), patch('inside.txt'), { text: 'Edited.' }], {
      settings: { permissions: 'edits' },
    });
    expect(edits.verdict.outcome).toBe('ok');
    expect([existsSync(join(repo, '.git', 'evil')), existsSync(join(repo, 'inside.txt'))]).toEqual([false, true]);
  });

  test.each(['edits', 'full'] as const)(
    'MCP servers work with permissions: %s, and their secrets stand in no argument',
    async (permissions) => {
      const server = join(root, 'server.mjs');
      writeFileSync(server, MCP_SERVER.replace("'echo: ' +", "'echo: ' + process.env.ECHO_TOKEN +"));
      const mcp = { echo: { command: process.execPath, args: [server], env: { ECHO_TOKEN: 'sesame' } } };
      const steps = [
        { tools: [{ name: 'mcp__echo/say', input: { text: ' hi' } }] },
        sh('echo "<$ECHO_TOKEN>"'),
        { text: 'Said.' },
      ];
      let argv = '';
      const ran = await run(steps, {
        ...{ request: { mcp }, settings: { permissions } },
        after: async (child) => {
          await until(() => model.main.length > 0);
          argv = readFileSync(`/proc/${child.pid}/cmdline`, 'utf8');
        },
      });
      expect(ran.verdict.outcome).toBe('ok');
      const results = ran.events.filter((event) => event.type === 'tool_result');
      expect(results.map((event) => event.content)).toEqual(['echo: sesame hi', '<>\n']);
      expect(argv).toContain('ECHO_TOKEN');
      expect(argv).not.toContain('sesame');
      expect(argv).not.toContain('Write hello.txt');
    },
  );

  test('it reads the skills of the run where they lie, in every sandbox', async () => {
    const run_dir = join(root, 'own');
    const skill = handSkill(run_dir);
    for (const permissions of ['full', 'edits', 'read'] as const) {
      const ran = await run([sh(`cat ${skill.file} ${skill.beside}`), { text: 'Swept.' }], {
        request: { run_dir: join(run_dir, permissions), skills: [skill] },
        settings: { permissions },
      });
      expect(ran.verdict).toMatchObject({ outcome: 'ok', output: 'Swept.' });
      for (const part of ['Sweep first', 'From the top to the bottom.']) expect(sent(-1)).toContain(part);
    }
  });

  test('a strict schema goes to the service, at once and when a session goes on; another one does not', async () => {
    const schema = {
      ...{ type: 'object', additionalProperties: false, required: ['verdict'] },
      properties: { verdict: { type: 'string', enum: ['accept', 'reject'] } },
    };
    // A provider of the user's own stands for the service: that one is asked over a web socket first, for seconds.
    const provider = `model_providers.own={name="own",base_url="${model.url}/v1",wire_api="responses",env_key="FAKE_KEY",supports_websockets=false}`;
    const ask = (output_schema: object, session: string | null = null) =>
      run([{ text: '{"verdict":"accept"}' }], {
        settings: { args: ['--config', 'model_provider="own"', '--config', provider] },
        request: { endpoints: [], output_schema: { ...output_schema }, session },
      });
    const text = () => model.main.at(-1)!.body['text'] ?? {};
    const first = await ask(schema);
    expect(first.verdict).toMatchObject({ outcome: 'ok', output: '{"verdict":"accept"}' });
    expect(text()).toMatchObject({ format: { type: 'json_schema', strict: true, schema } });
    await ask(schema, first.verdict.session);
    expect(text()).toMatchObject({ format: { type: 'json_schema', strict: true, schema } });
    await ask({ ...schema, required: [] });
    expect(text()).not.toHaveProperty('format');
  });

  test('bad flags say why on one line', async () => {
    const { verdict, code } = await run([], { settings: { args: ['--no-such-flag'] } });
    expect(verdict).toMatchObject({ outcome: 'failed', session: null });
    expect(verdict.reason).toContain("unexpected argument '--no-such-flag'");
    expect(code).toBe(2);
  });

  test('probe tells the version and whether it is logged in', async () => {
    const env = { PATH: process.env['PATH'], HOME: bench.home };
    const settings = { ...base, command: [CLIS.codex] };
    expect(await codex.probe(settings, env)).toMatchObject({
      ...{
        installed: true,
        version: CODEX_VERSION,
        ready: false,
        lacks: [],
        why: expect.stringContaining('codex login'),
      },
    });
    expect(await codex.probe(settings, { ...env, CODEX_API_KEY: 'k' })).toMatchObject({ ready: true, why: null });
    // Asking what it is starts no session.
    expect(readdirSync(bench.home).filter((name) => name !== '.codex')).toEqual([]);
  });
});
