// The real Claude Code CLI, started just as the adapter says, against a scripted model on loopback.
import { randomUUID } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { claude } from '../../../daemon/agents/claude/claude.ts';
import { anthropic } from '../../fakes/anthropic-messages.ts';
import type { Script } from '../../fakes/model-server.ts';
import { SETTINGS as base, CliBench, handSkill, type Ran, type RunHow, until } from '../../helpers/cli-run.ts';
import { CLAUDE_VERSION, CLIS, MCP_SERVER, storedSession } from '../../helpers/clis.ts';

const write = (path: string, content = 'hello\n') => ({
  tools: [{ name: 'Write', input: { file_path: path, content } }],
});
const bash = (command: string) => ({ tools: [{ name: 'Bash', input: { command, description: 'a step' } }] });

describe('real Claude Code CLI', () => {
  let bench: CliBench;
  let root: string;
  let repo: string;
  let model: CliBench['model'];

  beforeEach(async () => {
    bench = await CliBench.open(claude, [CLIS.claude], [anthropic]);
    ({ root, repo, model } = bench);
    bench.env = { ANTHROPIC_BASE_URL: model.url, ANTHROPIC_API_KEY: 'not-a-key' };
  });
  afterEach(() => bench.close());

  const run = (script: Script, how: RunHow = {}): Promise<Ran> =>
    bench.run(script, { ...how, request: { model: 'claude-sonnet-4-5', ...how.request } });

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
    const { verdict } = await run([], { env: { ANTHROPIC_API_KEY: undefined } });
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
      request: { mcp: { echo: { command: process.execPath, args: [server], env: {} } } },
      settings: { permissions: 'edits' },
    });
    expect(ran.verdict.outcome).toBe('ok');
    expect(ran.events.find((event) => event.type === 'tool_result')).toMatchObject({ content: 'echo: hi' });
  });

  test('an answer by a schema is told as a value', async () => {
    const output_schema = { type: 'object', properties: { verdict: { type: 'string' } }, required: ['verdict'] };
    const ran = await run(
      [{ tools: [{ name: 'StructuredOutput', input: { verdict: 'accept' } }] }, { text: 'Said.' }],
      {
        request: { output_schema },
      },
    );
    expect(ran.verdict).toMatchObject({ outcome: 'ok', structured: { verdict: 'accept' } });
  });

  test.each(['full', 'edits', 'read'] as const)(
    'with %s it is offered the skills of the run, and opens them',
    async (permissions) => {
      const run_dir = join(root, 'own run');
      const skill = handSkill(run_dir);
      mkdirSync(join(repo, '.claude/skills/tidy'), { recursive: true });
      writeFileSync(join(repo, '.claude/skills/tidy/SKILL.md'), '---\nname: tidy\ndescription: x\n---\nNever sweep.\n');
      const steps = [
        { tools: [{ name: 'Skill', input: { skill: 'towpath:tidy' } }] },
        { tools: [{ name: 'Read', input: { file_path: skill.beside } }] },
        { tools: [{ name: 'Read', input: { file_path: join(run_dir, 'plugin/skills/tidy/order.md') } }] },
        { text: 'Swept.' },
      ];
      const ran = await run(steps, { request: { run_dir, skills: [skill] }, settings: { permissions } });
      expect(ran.verdict).toMatchObject({ outcome: 'ok', output: 'Swept.' });
      const sent = (call: number) => JSON.stringify(model.main.at(call)!.body);
      expect(sent(0)).toContain('towpath:tidy: how to tidy up here');
      expect(sent(0)).not.toContain('Sweep first');
      expect(sent(1)).toContain('Sweep first: see order.md.');
      expect(sent(-1).split('From the top to the bottom.')).toHaveLength(3);
      expect(sent(-1)).not.toContain('Never sweep');
    },
  );

  test('bad flags say why on one line', async () => {
    const { verdict } = await run([], { settings: { args: ['--no-such-flag'] } });
    expect(verdict).toMatchObject({ outcome: 'failed', session: null });
    expect(verdict.reason).toContain("unknown option '--no-such-flag'");
  });

  test('probe tells the version and whether it is logged in', async () => {
    const env = { PATH: process.env['PATH'], HOME: join(root, 'home') };
    const settings = { ...base, command: [CLIS.claude] };
    expect(await claude.probe(settings, env)).toMatchObject({ installed: true, version: CLAUDE_VERSION, ready: false });
    expect(await claude.probe(settings, { ...env, ANTHROPIC_API_KEY: 'k' })).toMatchObject({ ready: true, why: null });
  });
});
