// Aider's adapter with a stand-in for the program (which is not on npm): what it starts, how it goes on, how it is judged.
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { aider } from '../../../daemon/agents/aider/aider.ts';
import { CHAT_FILE, END_OF_TASK } from '../../../daemon/agents/aider/stream.ts';
import type { Endpoint } from '../../../daemon/agents/port.ts';
import { blankRequest, CliBench, type Ran, type RunHow, SETTINGS, until } from '../../helpers/cli-run.ts';

const FAKE = fileURLToPath(new URL('../../fakes/aider.ts', import.meta.url));
const COMMAND = [process.execPath, '--disable-warning=ExperimentalWarning', FAKE];

describe('aider', () => {
  let bench: CliBench;
  beforeEach(async () => {
    bench = await CliBench.open(aider, COMMAND, []);
  });
  afterEach(() => bench.close());

  const run = (plan: string, how: RunHow = {}): Promise<Ran> =>
    bench.run([], { ...how, env: { FAKE_AIDER: plan, ...how.env } });
  const inRepo = (name: string) => join(bench.repo, name);
  const launch = (over: Parameters<typeof blankRequest>[0] = {}, settings = {}, lacks?: string[]) =>
    aider.launch(
      blankRequest({ worktree: bench.repo, run_dir: join(bench.root, 'run'), ...over }),
      { ...SETTINGS, ...settings },
      lacks,
    );
  const flagValue = (argv: string[], flag: string) => argv[argv.indexOf(flag) + 1]!;

  test('edits a file, tells what it used, and goes on with the conversation', async () => {
    const first = await run('ok');
    expect(first.verdict).toMatchObject({ outcome: 'ok', reason: '', session: CHAT_FILE, model: 'gpt-4o' });
    expect(first.verdict.output).toBe('I write it. I remember 0 earlier runs.');
    expect(first.verdict.usage).toEqual({ input: 1200, output: 50, cache_read: 0, cache_write: 0, cost_usd: 0.01 });
    expect(readFileSync(inRepo('hello.txt'), 'utf8')).toBe('hello 0\n');
    const types = first.events.map((event) => event.type).filter((type) => type !== 'log');
    expect(types).toEqual(['session', 'tool_call', 'tool_result']);
    const second = await run('ok', { request: { session: CHAT_FILE, prompt: 'go on' } });
    expect(second.verdict).toMatchObject({ outcome: 'ok', output: 'I write it. I remember 1 earlier runs.' });
    // A new session forgets.
    const third = await run('ok', { request: { session: null } });
    expect(third.verdict.output).toContain('I remember 0 earlier runs');
    // A conversation that is gone: the task itself is told again.
    rmSync(join(bench.root, CHAT_FILE));
    const fourth = await run('ok', { request: { session: CHAT_FILE, prompt: 'go on', body: 'The whole task.' } });
    expect(fourth.verdict.output).toContain('I remember 0 earlier runs');
    for (const text of ['You are careful.', 'The whole task.', 'go on'])
      expect(readFileSync(join(bench.root, CHAT_FILE), 'utf8')).toContain(text);
    // Nothing of its own is left in the worktree.
    expect(existsSync(inRepo('.aider.chat.history.md'))).toBe(false);
  });

  test.each([
    ['limited', 'rate_limited', /^aider: litellm\.RateLimitError: /],
    ['auth', 'auth', /AuthenticationError/],
    ['late', 'transient', /InternalServerError/],
    ['overflow', 'context_exceeded', /has hit a token limit/],
  ])('%s with exit 0 is %s', async (plan, outcome, reason) => {
    const ran = await run(plan);
    expect(ran.code).toBe(0);
    expect(ran.verdict).toMatchObject({ outcome, reason: expect.stringMatching(reason), session: CHAT_FILE });
  });

  test('a call that failed once and then went through; an answer without an edit is for git to judge', async () => {
    expect((await run('again')).verdict).toMatchObject({ outcome: 'ok', output: 'Now it went.' });
    expect((await run('silent')).verdict).toMatchObject({ outcome: 'ok', output: 'There is nothing to do.' });
  });

  test('what the prompt speaks of did not happen', async () => {
    const prompt =
      'The check said:\nlitellm.RateLimitError: x\nTokens: 9k sent, 9k received. Cost: $9.00 message, $9.00 session.';
    const good = await run('ok', { request: { prompt } });
    expect(good.verdict).toMatchObject({ outcome: 'ok', usage: { input: 1200, cost_usd: 0.01 } });
    const none = await run('nothing', { request: { prompt } });
    expect(none.verdict).toMatchObject({
      outcome: 'failed',
      reason: 'aider ended without an answer',
      usage: { input: 0 },
    });
  });

  test('killed: not ok, whatever it had printed, and the conversation is known', async () => {
    const ran = await run('hang', {
      request: { prompt: 'litellm.AuthenticationError: x' },
      after: async (child, stdout) => {
        await until(() => readFileSync(stdout, 'utf8').includes(END_OF_TASK));
        child.kill('SIGKILL');
      },
    });
    expect(ran.verdict).toMatchObject({ outcome: 'failed', session: CHAT_FILE });
    expect(ran.verdict.reason).toContain('was ended by SIGKILL');
  });

  test('a missing message, a wrong flag', async () => {
    const { argv, env } = launch({}, { command: COMMAND });
    rmSync(flagValue(argv, '--message-file'));
    const reader = aider.reader();
    const gone = spawnSync(argv[0]!, argv.slice(1), {
      cwd: bench.repo,
      encoding: 'utf8',
      env: { ...process.env, ...env },
    });
    for (const line of gone.stdout.split('\n')) reader.line(line);
    const verdict = reader.conclude({ code: gone.status, signal: null, stderr: gone.stderr, stdout: '' });
    expect([gone.status, verdict.outcome]).toEqual([1, 'failed']);
    expect(verdict.reason).toMatch(/^aider did not succeed: exited with 1: Message file not found: /);
    const wrong = await run('ok', { settings: { args: ['--no-such-flag'] } });
    expect(wrong.verdict).toMatchObject({ outcome: 'failed', session: null });
    expect(wrong.verdict.reason).toContain('unrecognized arguments: --no-such-flag');
  });

  test('a model server: its address, its model, and its key by reference alone', async () => {
    const endpoint: Endpoint = {
      name: 'gpu',
      base_url: 'http://127.0.0.1:1/v1',
      api: 'openai',
      models: ['m'],
      slots: 1,
    };
    const request = { model: 'm', endpoints: [{ ...endpoint, key_env: 'GPU_KEY' }] };
    const ran = await run('key', { request, env: { GPU_KEY: 'sesame' } });
    expect(readFileSync(inRepo('key.txt'), 'utf8')).toBe('sesame at http://127.0.0.1:1/v1 for openai/m\n');
    expect(ran.verdict).toMatchObject({ outcome: 'ok', model: 'm' });
    expect(ran.verdict.usage).toEqual({
      input: 8000,
      output: 1500,
      cache_read: 500,
      cache_write: 3500,
      cost_usd: null,
    });
    const { argv } = launch(request);
    expect(argv.join(' ') + readFileSync(flagValue(argv, '--env-file'), 'utf8')).not.toContain('sesame');
    await run('key', { request: { model: 'm', endpoints: [endpoint] } });
    expect(readFileSync(inRepo('key.txt'), 'utf8')).toMatch(/^none at /);
  });

  test('prompts stand in a file of 0600 and never in argv, and none is a command of its own', () => {
    for (const text of ['-x', '/run rm -rf .', '!rm -rf .', 'x'.repeat(300_000)]) {
      const { argv, stdin } = launch({ prompt: text, system_prompt: '' });
      expect(stdin).toBe('');
      expect(argv.some((arg) => arg.includes(text))).toBe(false);
      const file = flagValue(argv, '--message-file');
      expect(statSync(file).mode & 0o777).toBe(0o600);
      expect(readFileSync(file, 'utf8')).toMatch(/^[^/!]/);
      expect(readFileSync(file, 'utf8')).toContain(`${text}\n\n${END_OF_TASK}\n`);
    }
  });

  test('flags that are missing are left out; those of the adapter are refused; read edits nothing', async () => {
    const lacks = ['--no-notifications', '--lint-cmd', '--load'];
    for (const flag of lacks) {
      expect(launch().argv).toContain(flag);
      expect(launch({}, {}, lacks).argv).not.toContain(flag);
    }
    expect(launch({}, {}, lacks).argv.filter((arg) => arg === 'true')).toHaveLength(1);
    expect(aider.validateConfig({ ...SETTINGS, args: ['--map-tokens', '1024'] })).toEqual([]);
    expect(aider.validateConfig({ ...SETTINGS, args: ['--message=x', '--auto-commits'] })).toHaveLength(2);
    const read = await run('ok', { settings: { permissions: 'read' } });
    expect([read.verdict.outcome, existsSync(inRepo('hello.txt'))]).toEqual(['ok', false]);
  });

  test('a worktree that would configure it is refused, unless all is permitted', () => {
    const cases = {
      '.aider.conf.yml': 'lint: true\n',
      '.aider.model.settings.yml': '',
      '.env': 'A=1\nexport AIDER_LOAD=x\n',
    };
    for (const [name, text] of Object.entries(cases)) {
      writeFileSync(inRepo(name), text);
      for (const permissions of ['edits', 'read'])
        expect(() => launch({}, { permissions })).toThrow(`aider: ${name} in the worktree`);
      expect(() => launch({}, { permissions: 'full' })).not.toThrow();
      rmSync(inRepo(name));
    }
    writeFileSync(inRepo('.env'), 'DATABASE_URL=x\nTOKEN=y\n# AIDER_X\n');
    expect(() => launch({}, { permissions: 'edits' })).not.toThrow();
  });

  test('probe: installed, and a key is there', async () => {
    const env = { PATH: process.env['PATH'], HOME: bench.home };
    const settings = { ...SETTINGS, command: COMMAND };
    expect(await aider.probe(SETTINGS, { ...env, PATH: bench.home })).toMatchObject({ installed: false, ready: false });
    const out = await aider.probe(settings, env);
    expect(out).toMatchObject({ installed: true, version: '0.86.1', ready: false, lacks: [] });
    expect(await aider.probe(settings, { ...env, ANTHROPIC_API_KEY: 'k' })).toMatchObject({ ready: true, why: null });
    mkdirSync(join(bench.home, '.aider'));
    writeFileSync(join(bench.home, '.aider', 'oauth-keys.env'), '');
    expect(await aider.probe(settings, env)).toMatchObject({ ready: true });
  });

  test('a reader that takes over the state of another ends as that would have', () => {
    const lines = [
      ...[
        'Aider v0.86.1',
        'Main model: openai/m with diff edit format',
        'the prompt',
        'litellm.Timeout: x',
        END_OF_TASK,
      ],
      ...['litellm.RateLimitError: y', 'Retrying in 0.2 seconds...', 'An answer', 'Tokens: 1k sent, 5 received.'],
      ...['Applied edit to a', 'Tokens: 950 sent, 7 received. Cost: $0.0021 message, $0.5 session.', END_OF_TASK],
      ...['litellm.APIError: {"error":{"code":402}}', 'No LLM model was specified and no API keys were provided.'],
    ];
    for (let until = 0; until <= lines.length; until++)
      for (let at = 0; at <= until; at++) {
        const [alone, first, second] = [aider.reader(), aider.reader(), aider.reader()];
        for (const line of lines.slice(0, until)) alone.line(line);
        for (const line of lines.slice(0, at)) first.line(line);
        second.restore(JSON.parse(JSON.stringify(first.state)));
        for (const line of lines.slice(at, until)) second.line(line);
        for (const code of [0, 1]) {
          const end = { code, signal: null, stderr: '', stdout: '' };
          expect(second.conclude(end)).toEqual(alone.conclude(end));
        }
        expect(second.state).toEqual(alone.state);
      }
    const judge = (some: string[], code = 0) => {
      const reader = aider.reader();
      for (const line of some) reader.line(line);
      return reader.conclude({ code, signal: null, stderr: '', stdout: '' });
    };
    expect(judge(lines.slice(0, 11))).toMatchObject({
      outcome: 'ok',
      output: 'An answer',
      model: 'm',
      usage: { input: 1950, output: 12, cost_usd: 0.5 },
    });
    expect(judge(lines.slice(0, 13)).outcome).toBe('billing');
    expect(judge(lines, 1).outcome).toBe('auth');
    // A bad exit after a good answer.
    expect(judge(lines.slice(0, 11), 1).outcome).toBe('failed');
  });
});
