// The real Claude Code CLI, started just as the adapter says, against a scripted model on loopback.
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { closeSync, existsSync, mkdirSync, openSync, readFileSync, writeFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { claude } from '../../daemon/agents/claude.ts';
import type { AgentEvent, AgentRequest, AgentSettings, Verdict } from '../../daemon/agents/port.ts';
import { type ModelServer, type Script, startModelServer } from '../fakes/model-server.ts';
import { CLAUDE_VERSION, claudeCli, MCP_SERVER, storedSession } from '../helpers/claude-cli.ts';

const cli = await claudeCli();
const title = cli.path ? 'real Claude Code CLI' : `not run: real Claude Code CLI (${cli.why})`;

const base: AgentSettings = {
  args: [],
  env: {},
  models: {},
  permissions: 'full',
  wrap: [],
  input: 'json',
  limits: 'on',
};

const write = (path: string, content = 'hello\n') => ({
  tools: [{ name: 'Write', input: { file_path: path, content } }],
});
const bash = (command: string) => ({ tools: [{ name: 'Bash', input: { command, description: 'a step' } }] });

interface Ran {
  verdict: Verdict;
  code: number | null;
  events: AgentEvent[];
  openTools: number;
  finished: boolean;
  ms: number;
}

describe.skipIf(!cli.path)(title, () => {
  let root: string;
  let repo: string;
  let model: ModelServer;
  let runs = 0;

  beforeEach(async () => {
    root = await mkdtemp(join(tmpdir(), 'towpath-claude-'));
    repo = join(root, 'repo');
    for (const dir of ['home', 'tmp', 'repo']) mkdirSync(join(root, dir));
    execFileSync('git', ['init', '-q', '-b', 'main', repo]);
    model = await startModelServer([]);
  });
  afterEach(async () => {
    await model.close();
    await rm(root, { recursive: true, force: true });
  });

  /** Starts it with the argv, the stdin and the variables of `launch`, and an environment of no more than the allowed names. */
  async function run(
    script: Script,
    options: {
      request?: Partial<AgentRequest>;
      settings?: Partial<AgentSettings>;
      key?: string | null;
      after?: After;
    } = {},
  ): Promise<Ran> {
    model.play(script);
    const run_dir = join(root, `run-${runs++}`);
    mkdirSync(run_dir);
    const request: AgentRequest = {
      ...{ task_id: 't', attempt: 1, prompt: 'Write hello.txt', system_prompt: 'You are careful.', body: '' },
      ...{ model: 'claude-sonnet-4-5', worktree: repo, session: null, new_session: randomUUID(), timeout_s: 60 },
      ...{ mcp: null, skills: [], max_turns: null, budget_usd: null, run_dir },
      ...options.request,
    };
    const settings = { ...base, command: [cli.path ?? ''], ...options.settings };
    const launch = claude.launch(request, settings);
    const key = options.key === undefined ? 'not-a-key' : options.key;
    const env = {
      ...{
        PATH: process.env['PATH'],
        HOME: join(root, 'home'),
        LANG: 'C.UTF-8',
        TERM: 'dumb',
        TMPDIR: join(root, 'tmp'),
      },
      ...{ ANTHROPIC_BASE_URL: model.url, ...(key ? { ANTHROPIC_API_KEY: key } : {}) },
      ...launch.env,
    };
    const files = ['stdout', 'stderr'].map((name) => join(run_dir, name)) as [string, string];
    const [out, err] = files.map((path) => openSync(path, 'a')) as [number, number];
    const started = Date.now();
    const child = spawn(launch.argv[0]!, launch.argv.slice(1), { cwd: repo, env, stdio: ['pipe', out, err] });
    closeSync(out);
    closeSync(err);
    child.stdin!.end(launch.stdin);
    const ended = new Promise<[number | null, string | null]>((done) => child.once('exit', (...how) => done(how)));
    await options.after?.(child, files[0]);
    const [code, signal] = await ended;
    const reader = claude.reader();
    const events = readFileSync(files[0], 'utf8')
      .split('\n')
      .flatMap((line) => reader.line(line));
    const verdict = reader.conclude({ code, signal, stderr: readFileSync(files[1], 'utf8'), stdout: '' });
    return { verdict, code, events, openTools: reader.openTools, finished: reader.finished, ms: Date.now() - started };
  }
  type After = (child: ChildProcess, stdout: string) => Promise<void>;

  const until = async (ready: () => boolean) => {
    while (!ready()) await new Promise((done) => setTimeout(done, 25));
  };

  test('edits a file, then goes on with the session and a new prompt', async () => {
    const new_session = randomUUID();
    const usage = { input: 1000, output: 50 };
    const first = await run(
      [
        { text: 'I write it.', ...write(join(repo, 'hello.txt')), usage },
        { text: 'Written.', usage },
      ],
      {
        request: { new_session },
      },
    );
    expect(first.verdict).toMatchObject({ outcome: 'ok', reason: '', output: 'Written.', session: new_session });
    expect(first.verdict.model).toBe('claude-sonnet-4-5');
    expect(first.verdict.usage).toMatchObject({ input: 2000, output: 100 });
    expect(first.verdict.usage.cost_usd).toBeGreaterThan(0);
    expect(readFileSync(join(repo, 'hello.txt'), 'utf8')).toBe('hello\n');
    const types = first.events.map((event) => event.type).join(' ');
    expect(types).toBe('session agent_thought tool_call tool_result agent_thought result');
    expect([first.openTools, first.finished]).toEqual([0, true]);
    expect(JSON.stringify(model.main[0]!.body['system'])).toContain('You are careful.');

    const second = await run([{ text: 'Still here.', usage }], {
      request: { session: new_session, prompt: '-x and go on' },
    });
    expect(second.verdict).toMatchObject({ outcome: 'ok', output: 'Still here.', session: new_session });
    // Only this run's share, though the CLI's own total is the whole session's.
    expect(second.verdict.usage).toMatchObject({ input: 1000, output: 50 });
    expect(second.verdict.usage.cost_usd).toBeCloseTo(first.verdict.usage.cost_usd! / 2, 6);
    const sent = JSON.stringify(model.main.at(-1)!.body['messages']);
    expect(sent).toContain('Write hello.txt');
    expect(sent).toContain('-x and go on');
  });

  test('a session that does not exist, or that is taken, leaves none to go on with', async () => {
    const unknown = await run([], { request: { session: randomUUID() } });
    expect(unknown.verdict).toMatchObject({ outcome: 'failed', session: null });
    expect(unknown.verdict.reason).toContain('No conversation found');
    const new_session = randomUUID();
    await run([{ text: 'one' }], { request: { new_session } });
    const taken = await run([{ text: 'two' }], { request: { new_session } });
    expect(taken.verdict).toMatchObject({ outcome: 'failed', session: null });
    expect(taken.verdict.reason).toContain('already in use');
  });

  test('a rate limit is said at once when the wait is long, and after few tries when it is short', async () => {
    const long = await run([{ fault: { status: 429, headers: { 'retry-after': '3600' } }, times: 99 }]);
    expect(long.verdict).toMatchObject({ outcome: 'rate_limited', output: expect.stringContaining('429') });
    expect(model.main).toHaveLength(1);
    const short = await run([{ fault: { status: 429, headers: { 'retry-after': '1' } }, times: 99 }]);
    expect(short.verdict.outcome).toBe('rate_limited');
    expect(short.ms).toBeLessThan(15_000);
    const once = await run([{ fault: { status: 429, headers: { 'retry-after': '1' } } }, { text: 'Done.' }]);
    expect(once.verdict).toMatchObject({ outcome: 'ok', output: 'Done.' });
  });

  test.each([
    ['a wrong key', { status: 401 }, 'auth'],
    ['a key without rights', { status: 403 }, 'auth'],
    ['no credit', { status: 400, message: 'Your credit balance is too low to access the Anthropic API.' }, 'billing'],
    ['no such model', { status: 404 }, 'failed'],
    ['an overloaded service', { status: 529 }, 'transient'],
    ['a broken service', { status: 500 }, 'transient'],
  ])('%s', async (_what, fault, outcome) => {
    const { verdict, finished } = await run([{ fault, times: 99 }]);
    expect(verdict.outcome).toBe(outcome);
    expect(verdict.reason).toMatch(/^claude/);
    expect(finished).toBe(true);
  });

  test('no key at all', async () => {
    const { verdict } = await run([], { key: null });
    expect(verdict.outcome).toBe('auth');
    expect(verdict.reason).toContain('ANTHROPIC_API_KEY');
    expect(model.main).toHaveLength(0);
  });

  test('a connection that always drops is transient; one cut in the middle of an answer is mended by the CLI', async () => {
    const dropped = await run([{ network: 'drop', times: 99 }]);
    expect(dropped.verdict.outcome).toBe('transient');
    const cut = await run([{ text: 'I begin', ...write(join(repo, 'a.txt')), network: 'cut' }, { text: 'Done.' }]);
    expect(cut.verdict).toMatchObject({ outcome: 'ok', output: 'Done.' });
  });

  test('ended while the model is silent: no result, so not ok, and the session is known', async () => {
    const new_session = randomUUID();
    const ran = await run([{ network: 'hang', times: 99 }], {
      request: { new_session },
      after: async (child) => {
        await until(() => model.main.length > 0);
        child.kill('SIGTERM');
      },
    });
    expect(ran.verdict).toMatchObject({ outcome: 'failed', session: new_session });
    expect(ran.verdict.reason).toContain('ended without a result (exit 143)');
    expect(ran.finished).toBe(false);
  });

  test('SIGINT while the model is silent exits 0 and still is not ok', async () => {
    const ran = await run([{ network: 'hang', times: 99 }], {
      after: async (child) => {
        await until(() => model.main.length > 0);
        child.kill('SIGINT');
      },
    });
    expect([ran.code, ran.verdict.outcome]).toEqual([0, 'failed']);
  });

  test('killed in the middle of a tool, then gone on with', async () => {
    const new_session = randomUUID();
    const killed = await run([bash('node -e "setTimeout(() => {}, 4000)"')], {
      request: { new_session },
      after: async (child, stdout) => {
        await until(() => readFileSync(stdout, 'utf8').includes('"tool_use"'));
        // The session reaches the disk a moment after the event: killed before that there is none to go on with.
        await until(() => storedSession(join(root, 'home'), new_session).includes('"tool_use"'));
        child.kill('SIGKILL');
      },
    });
    expect(killed.verdict).toMatchObject({ outcome: 'failed', session: new_session });
    expect(killed.openTools).toBe(1);
    const resumed = await run([{ text: 'Went on.' }], { request: { session: new_session, prompt: 'go on' } });
    expect(resumed.verdict).toMatchObject({ outcome: 'ok', output: 'Went on.' });
  });

  test('an unknown tool and a failing command are told as such', async () => {
    const ran = await run([{ tools: [{ name: 'no_such_tool', input: { x: 1 } }] }, bash('exit 3'), { text: 'Done.' }]);
    expect(ran.verdict.outcome).toBe('ok');
    const results = ran.events.filter((event) => event.type === 'tool_result');
    expect(results.map((result) => result.is_error)).toEqual([true, true]);
  });

  test('permissions: read writes nothing, whatever the worktree allows; edits stays inside', async () => {
    mkdirSync(join(repo, '.claude'));
    writeFileSync(
      join(repo, '.claude', 'settings.json'),
      JSON.stringify({ permissions: { allow: ['Bash(touch *)'] } }),
    );
    const steps = [bash('git status --short'), bash('touch evil'), write(join(repo, 'evil2')), { text: 'Looked.' }];
    const read = await run(steps, { settings: { permissions: 'read' } });
    expect(read.verdict.outcome).toBe('ok');
    expect(read.events.filter((e) => e.type === 'tool_result').map((e) => e.is_error === true)).toEqual([
      false,
      true,
      true,
    ]);
    expect(read.events.some((e) => e.type === 'log' && e.content.startsWith('denied: Bash'))).toBe(true);
    expect(existsSync(join(repo, 'evil')) || existsSync(join(repo, 'evil2'))).toBe(false);

    const outside = join(root, 'outside.txt');
    const edits = await run([write(outside), write(join(repo, 'inside.txt')), { text: 'Edited.' }], {
      settings: { permissions: 'edits' },
    });
    expect(edits.verdict.outcome).toBe('ok');
    expect([existsSync(outside), existsSync(join(repo, 'inside.txt'))]).toEqual([false, true]);
  });

  test('turns and money run out', async () => {
    const turns = await run([bash('true'), bash('true'), { text: 'Done.' }], { request: { max_turns: 1 } });
    expect(turns.verdict).toMatchObject({ outcome: 'max_turns', reason: expect.stringContaining('turns') });
    const dear = { ...bash('true'), usage: { input: 100_000, output: 1000 } };
    const money = await run([dear, { text: 'Done.' }], { request: { budget_usd: 0.01 } });
    expect(money.verdict.outcome).toBe('budget');
    expect(money.verdict.usage.cost_usd).toBeGreaterThan(0.01);
  });

  test('MCP servers come from a file of the run', async () => {
    const server = join(root, 'server.mjs');
    writeFileSync(server, MCP_SERVER);
    const ran = await run([{ tools: [{ name: 'mcp__echo__say', input: { text: 'hi' } }] }, { text: 'Said.' }], {
      request: { mcp: { echo: { command: process.execPath, args: [server] } } },
      settings: { permissions: 'edits' },
    });
    expect(ran.verdict.outcome).toBe('ok');
    expect(ran.events.find((event) => event.type === 'tool_result')).toMatchObject({ content: 'echo: hi' });
  });

  test('bad flags say why on one line', async () => {
    const { verdict } = await run([], { settings: { args: ['--no-such-flag'] } });
    expect(verdict).toMatchObject({ outcome: 'failed', session: null });
    expect(verdict.reason).toContain("unknown option '--no-such-flag'");
  });

  test('probe tells the version and whether it is logged in', async () => {
    const env = { PATH: process.env['PATH'], HOME: join(root, 'home') };
    const settings = { ...base, command: [cli.path ?? ''] };
    expect(await claude.probe(settings, env)).toMatchObject({ installed: true, version: CLAUDE_VERSION, ready: false });
    expect(await claude.probe(settings, { ...env, ANTHROPIC_API_KEY: 'k' })).toMatchObject({ ready: true, why: null });
  });
});
