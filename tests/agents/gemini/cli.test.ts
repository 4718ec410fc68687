// The real Gemini CLI, started just as the adapter says, against a scripted model on loopback.
import { randomUUID } from 'node:crypto';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeEach, describe, expect, test } from 'vitest';
import { gemini } from '../../../daemon/agents/gemini/gemini.ts';
import { google } from '../../fakes/google-generate.ts';
import type { Script } from '../../fakes/model-server.ts';
import { CliBench, handSkill, type Ran, type RunHow, SETTINGS, until } from '../../helpers/cli-run.ts';
import { CLIS, MCP_SERVER } from '../../helpers/clis.ts';

const write = (file_path: string, content = 'hello\n') => ({
  tools: [{ name: 'write_file', input: { file_path, content } }],
});
const bash = (command: string) => ({
  tools: [{ name: 'run_shell_command', input: { command, description: 'a step' } }],
});
const usage = { input: 1000, output: 50, cache_read: 200 };

/** A quarter of each start is spent on compiling the same. */
const compiled = mkdtempSync(join(tmpdir(), 'towpath-gemini-compiled-'));

describe('real Gemini CLI', () => {
  let bench: CliBench;
  let root: string;
  let repo: string;
  let model: CliBench['model'];

  beforeEach(async () => {
    bench = await CliBench.open(gemini, [CLIS.gemini], [google]);
    ({ root, repo, model } = bench);
    bench.env = { GOOGLE_GEMINI_BASE_URL: model.url, GEMINI_API_KEY: 'not-a-key', NODE_COMPILE_CACHE: compiled };
  });
  afterEach(() => bench.close());
  afterAll(() => rmSync(compiled, { recursive: true, force: true }));

  const run = (script: Script, how: RunHow = {}): Promise<Ran> =>
    bench.run(script, {
      ...how,
      request: { model: 'gemini-2.5-pro', ...how.request },
      settings: { ...how.settings, env: { HOME: bench.home, ...how.settings?.env } },
    });
  /** What the user of this home has set. */
  const user = (settings: object) => {
    mkdirSync(join(bench.home, '.gemini'), { recursive: true });
    writeFileSync(join(bench.home, '.gemini', 'settings.json'), JSON.stringify(settings));
  };
  /** Faults are told at once, without the five seconds before a second try. */
  const impatient = () => user({ general: { maxAttempts: 1 } });
  const asked = (call: number) => JSON.stringify(model.main.at(call)!.body['contents']);
  /** The stored sessions of this home, as one text. */
  function stored(): string {
    const tmp = join(bench.home, '.gemini', 'tmp');
    if (!existsSync(tmp)) return '';
    const files = readdirSync(tmp, { recursive: true, encoding: 'utf8' }).filter((name) => name.endsWith('.jsonl'));
    return files.map((name) => readFileSync(join(tmp, name), 'utf8')).join('');
  }

  test('edits a file, then goes on with the session and a new prompt', async () => {
    const new_session = randomUUID();
    const first = await run(
      [
        { text: 'I write it.', ...write(join(repo, 'hello.txt')), usage },
        { text: 'Written.', usage },
      ],
      { request: { new_session } },
    );
    expect(first.verdict).toMatchObject({ outcome: 'ok', reason: '', output: 'Written.', session: new_session });
    expect(first.verdict.usage).toEqual({ input: 2000, output: 100, cache_read: 400, cache_write: 0, cost_usd: null });
    expect(first.verdict.model).toBe('gemini-2.5-pro');
    expect(readFileSync(join(repo, 'hello.txt'), 'utf8')).toBe('hello\n');
    const types = first.events.map((event) => event.type).join(' ');
    expect(types).toBe('session agent_thought tool_call tool_result agent_thought result');
    expect([first.openTools, first.finished]).toEqual([0, true]);
    expect(JSON.stringify(model.main[0]!.body['systemInstruction'])).toContain('You are careful.');
    // Nothing else was asked of the service, and nothing lies in the worktree.
    expect(model.calls.every((call) => call.main)).toBe(true);
    expect(readdirSync(repo).sort()).toEqual(['.git', 'hello.txt']);

    const second = await run([{ text: 'Still here.', usage }], {
      request: { session: new_session, prompt: '-x and go on' },
    });
    expect(second.verdict).toMatchObject({ outcome: 'ok', output: 'Still here.', session: new_session });
    expect(second.verdict.usage).toMatchObject({ input: 1000, output: 50 });
    for (const part of ['Write hello.txt', 'I write it.', '-x and go on']) expect(asked(-1)).toContain(part);
    const taken = await run([{ text: 'two' }], { request: { new_session } });
    expect(taken.verdict).toMatchObject({ outcome: 'failed', session: null });
    expect(taken.verdict.reason).toContain('already exists');
    const unknown = await run([], { request: { session: randomUUID() } });
    expect(unknown.verdict).toMatchObject({ outcome: 'failed', session: null });
    expect(unknown.verdict.reason).toContain('Invalid session identifier');
  });

  test('a rate limit: mended by itself when it is short, said with its time when it is long', async () => {
    const full = (retryDelay: string) => ({
      status: 429,
      body: {
        error: {
          ...{ code: 429, message: 'too much', status: 'RESOURCE_EXHAUSTED' },
          details: [{ '@type': 'type.googleapis.com/google.rpc.RetryInfo', retryDelay }],
        },
      },
    });
    const long = await run([{ fault: full('3600s'), times: 99 }]);
    expect(long.verdict).toMatchObject({ outcome: 'rate_limited', reason: expect.stringContaining('too much') });
    expect(Math.abs(Date.parse(long.verdict.retry_at!) - Date.now() - 3_600_000)).toBeLessThan(60_000);
    expect(model.main).toHaveLength(1);
    const minutes = await run([{ fault: full('200s'), times: 99 }], { endHopeless: true });
    expect([minutes.hopeless, minutes.verdict.outcome]).toEqual([true, 'rate_limited']);
    expect(Date.parse(minutes.verdict.retry_at!) - Date.now()).toBeGreaterThan(100_000);
    const short = await run([{ fault: full('1s') }, { text: 'Done.' }]);
    expect(short.verdict).toMatchObject({ outcome: 'ok', output: 'Done.' });
    expect(short.events.some((event) => event.type === 'log' && event.content.includes('Retrying after'))).toBe(true);
  });

  test.each([
    ['a wrong key', { status: 401 }, 'auth'],
    ['a key without rights', { status: 403 }, 'auth'],
    ['a limit that names no time', { status: 429 }, 'rate_limited'],
    ['no such model', { status: 404 }, 'failed'],
    ['an overloaded service', { status: 529 }, 'transient'],
    ['a broken service', { status: 500 }, 'transient'],
    [
      'a context that is full',
      {
        status: 400,
        message: 'The input token count (1200000) exceeds the maximum number of tokens allowed (1048576).',
      },
      'context_exceeded',
    ],
  ])('%s', async (_what, fault, outcome) => {
    impatient();
    const { verdict, finished } = await run([{ fault, times: 99 }]);
    expect(verdict.outcome).toBe(outcome);
    expect(verdict.reason).toMatch(/^gemini/);
    expect(finished).toBe(true);
    // Never a word of another model.
    expect(model.calls.every((call) => call.path.includes('gemini-2.5-pro'))).toBe(true);
  });

  test('a quota of the day that is used up is said at once', async () => {
    const violations = [{ quotaId: 'GenerateRequestsPerDayPerProjectPerModel' }];
    const details = [{ '@type': 'type.googleapis.com/google.rpc.QuotaFailure', violations }];
    const body = { error: { code: 429, message: 'quota', status: 'RESOURCE_EXHAUSTED', details } };
    const { verdict } = await run([{ fault: { status: 429, body }, times: 99 }]);
    expect(verdict).toMatchObject({ outcome: 'rate_limited', reason: expect.stringContaining('daily quota') });
    expect(model.main).toHaveLength(1);
  });

  test('no key, a refused flag, turns that run out, a prompt that fits into no context', async () => {
    const none = await run([], { env: { GEMINI_API_KEY: undefined } });
    expect(none.verdict).toMatchObject({ outcome: 'auth', reason: expect.stringContaining('GEMINI_API_KEY') });
    const flag = await run([], { settings: { args: ['--no-such-flag'] } });
    expect(flag.verdict).toMatchObject({ outcome: 'failed', session: null });
    expect(flag.verdict.reason).toContain('Unknown argument');
    expect(model.main).toHaveLength(0);
    const turns = await run([bash('true'), bash('true'), { text: 'Done.' }], { request: { max_turns: 1 } });
    expect(turns.verdict).toMatchObject({ outcome: 'max_turns', reason: expect.stringContaining('turns') });
    // The CLI sees that for itself, asks nobody, and tells success.
    const before = model.main.length;
    const long = await run([{ text: 'hm' }], { request: { prompt: 'word '.repeat(1_200_000) } });
    expect([long.code, long.verdict.outcome, model.main.length]).toEqual([0, 'context_exceeded', before]);
  });

  test('a connection that drops or is cut is transient', async () => {
    impatient();
    const dropped = await run([{ network: 'drop', times: 99 }]);
    expect(dropped.verdict.outcome).toBe('transient');
    const cut = await run([{ text: 'I begin', ...write(join(repo, 'a.txt')), network: 'cut', times: 99 }]);
    expect(cut.verdict.outcome).toBe('transient');
  });

  test('ended while the model is silent it exits 0, and still is not ok', async () => {
    const new_session = randomUUID();
    const ran = await run([{ network: 'hang', times: 99 }], {
      request: { new_session },
      after: async (child) => {
        await until(() => model.main.length > 0);
        child.kill('SIGTERM');
      },
    });
    expect([ran.code, ran.finished]).toEqual([0, false]);
    expect(ran.verdict).toMatchObject({ outcome: 'failed', session: new_session });
    expect(ran.verdict.reason).toContain('ended without a result (exit 0)');
  });

  test('killed in the middle of a tool, then gone on with', async () => {
    const new_session = randomUUID();
    const killed = await run([{ text: 'I wait.', ...bash('node -e "setTimeout(() => {}, 4000)"') }], {
      request: { new_session },
      after: async (child, stdout) => {
        await until(() => readFileSync(stdout, 'utf8').includes('"tool_use"'));
        await until(() => stored().includes('I wait.'));
        child.kill('SIGKILL');
      },
    });
    expect(killed.verdict).toMatchObject({ outcome: 'failed', session: new_session });
    expect(killed.openTools).toBe(1);
    const resumed = await run([{ text: 'Went on.' }], { request: { session: new_session, prompt: 'go on' } });
    expect(resumed.verdict).toMatchObject({ outcome: 'ok', output: 'Went on.' });
    for (const part of ['Write hello.txt', 'go on']) expect(asked(-1)).toContain(part);
  });

  test('permissions: what is refused or unknown is told as such', async () => {
    const outside = join(root, 'outside.txt');
    const steps = [write(join(repo, 'evil')), bash('touch evil'), { text: 'Looked.' }];
    const read = await run(steps, { settings: { permissions: 'read' } });
    expect(read.verdict.outcome).toBe('ok');
    const failed = (ran: Ran) => ran.events.filter((e) => e.type === 'tool_result').map((e) => e.is_error === true);
    expect(failed(read)).toEqual([true, true]);
    expect(existsSync(join(repo, 'evil'))).toBe(false);
    const edits = await run(
      [write(outside), write(join(repo, 'inside.txt')), bash('touch evil'), { text: 'Edited.' }],
      {
        settings: { permissions: 'edits' },
      },
    );
    expect(failed(edits)).toEqual([true, false, true]);
    expect([existsSync(outside), existsSync(join(repo, 'inside.txt'))]).toEqual([false, true]);
  });

  test('it reads the skills of the run, even when it may only read', async () => {
    const run_dir = join(root, 'own');
    const skill = handSkill(run_dir);
    const read = (file_path: string) => ({ tools: [{ name: 'read_file', input: { file_path } }] });
    const ran = await run([read(skill.file), read(skill.beside), { text: 'Swept.' }], {
      request: { run_dir, skills: [skill] },
      settings: { permissions: 'read' },
    });
    expect(ran.verdict).toMatchObject({ outcome: 'ok', output: 'Swept.' });
    for (const part of ['Sweep first', 'From the top to the bottom.']) expect(asked(-1)).toContain(part);
  });

  test('MCP servers are those that are asked for; what the worktree names as commands is not run', async () => {
    const server = join(root, 'server.mjs');
    writeFileSync(server, MCP_SERVER);
    const evil = (name: string) => ({ command: 'touch', args: [join(root, `evil-${name}`)] });
    const echo = { command: process.execPath, args: [server], env: {} };
    user({ mcpServers: { mine: echo, idle: evil('idle') } });
    const { command, args } = evil('hook');
    const hook = [{ matcher: '*', hooks: [{ type: 'command', command: `${command} ${args}` }] }];
    mkdirSync(join(repo, '.gemini'));
    writeFileSync(
      join(repo, '.gemini', 'settings.json'),
      JSON.stringify({
        mcpServers: { echo: evil('echo'), mine: evil('mine'), more: evil('more') },
        hooks: { SessionStart: hook, BeforeModel: hook, BeforeTool: hook },
        tools: { discoveryCommand: `touch ${join(root, 'evil-discovery')}`, exclude: ['write_file'] },
      }),
    );
    writeFileSync(join(repo, '.env'), 'EVIL=1\n');
    writeFileSync(join(repo, 'GEMINI.md'), 'The house rule is: be brief.\n');
    const say = (name: string) => ({ tools: [{ name: `mcp_${name}_say`, input: { text: name } }] });
    const ran = await run(
      [say('echo'), say('mine'), bash('echo "EVIL=$EVIL"'), write(join(repo, 'a')), { text: 'Said.' }],
      { request: { mcp: { echo, mine: null } } },
    );
    expect(ran.verdict.outcome).toBe('ok');
    const results = ran.events.filter((event) => event.type === 'tool_result');
    expect(results.map((result) => result.content).slice(0, 3)).toEqual(['echo: echo', 'echo: mine', 'EVIL=']);
    expect(existsSync(join(repo, 'a'))).toBe(true);
    expect(readdirSync(root).filter((name) => name.startsWith('evil'))).toEqual([]);
    // What it says as text is read, as in every folder.
    expect(JSON.stringify(model.main[0]!.body)).toContain('The house rule');
    // This file cannot be kept from it, but what leads elsewhere holds already.
    writeFileSync(join(repo, '.gemini', '.env'), 'NODE_OPTIONS=--evil\nHTTPS_PROXY=http://127.0.0.1:9\n');
    const told = await run([bash('echo "$NODE_OPTIONS,$HTTPS_PROXY."'), { text: 'Said.' }]);
    expect(told.events.find((event) => event.type === 'tool_result')).toMatchObject({ content: ',.' });
  });

  test('probe tells the version, what it lacks, and whether it has a key', async () => {
    const env = { PATH: process.env['PATH'], HOME: bench.home };
    const settings = { ...SETTINGS, command: [CLIS.gemini] };
    const bare = await gemini.probe(settings, env);
    expect(bare).toMatchObject({ installed: true, version: expect.stringMatching(/^0\.\d+/), ready: false, lacks: [] });
    expect(await gemini.probe(settings, { ...env, GEMINI_API_KEY: 'k' })).toMatchObject({ ready: true, why: null });
  });
});
