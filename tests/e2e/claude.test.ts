// The real Claude Code CLI under the real daemon, against a scripted model on loopback: the whole way of a task.
import { existsSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { RunRecord, RunVerdict } from '../../daemon/attempt/record.ts';
import { isAlive } from '../../daemon/process/identity.ts';
import type { AgentProcess, Lock } from '../../daemon/queue/port.ts';
import { type ModelServer, type Step, startModelServer } from '../fakes/model-server.ts';
import { CLIS, storedSession } from '../helpers/clis.ts';
import { TestWorkspace, tempDir, until } from '../helpers/workspace.ts';

const usage = { input: 1000, output: 50 };
const bash = (command: string) => ({ tools: [{ name: 'Bash', input: { command, description: 'a step' } }] });
const write = (file_path: string, content: string) => ({ tools: [{ name: 'Write', input: { file_path, content } }] });
const task = (matter = '', body = 'Write hello.txt.') => `---\nagent: claude\n${matter}---\n# A task\n\n${body}\n`;

describe('a daemon with the real Claude Code CLI', () => {
  let ws: TestWorkspace;
  let home: string;
  let model: ModelServer;

  beforeEach(async () => {
    const command = JSON.stringify([CLIS.claude]);
    ws = new TestWorkspace(
      `agents: {claude: {command: ${command}}}\nretry: {initial: 100ms, max: 1s}\nconcurrency: 1\n`,
    );
    home = tempDir('towpath-home-');
    model = await startModelServer([]);
  });
  afterEach(async () => {
    await ws.close();
    await model.close();
    rmSync(home, { recursive: true, force: true, maxRetries: 5 });
  });

  /** Whatever would leave this machine runs into the scripted model, which tunnels nothing. */
  const start = (login: Record<string, string> = { ANTHROPIC_API_KEY: 'not-a-key' }) =>
    ws.start([], {
      ...{ ANTHROPIC_BASE_URL: model.url, HOME: home, ...login },
      ...{ HTTP_PROXY: model.url, HTTPS_PROXY: model.url, NO_PROXY: '127.0.0.1' },
    });
  const inWorktree = (id: string, file: string) => ws.path(`.worktrees/task-${id}`, file);
  const lies = (id: string, queue: string) => existsSync(ws.path('queues', queue, `${id}.md`));
  const reaches = (id: string, queue: string) =>
    until(
      () => lies(id, queue),
      `${id} reaches ${queue}`,
      20_000,
      () => ws.output,
    );
  const why = (id: string) => ws.run(['why', id]).stdout.trim();
  const sent = (call: number) => JSON.stringify(model.main[call]?.body['messages'] ?? null);
  const asked = (calls = 1) =>
    until(
      () => model.main.length >= calls,
      `the model is asked ${calls} times`,
      15_000,
      () => ws.output,
    );
  /** The session of a run, and whether it went on with an earlier one. */
  function sessionOf(id: string, attempt: number): [string | null, boolean] {
    const read = (name: string) => readFileSync(ws.path(`.towpath/runs/${id}/${attempt}/${name}`), 'utf8');
    const { session } = JSON.parse(read('run.json')) as RunRecord;
    return [session, (JSON.parse(read('verdict.json')) as RunVerdict).resumed];
  }
  function lockOf(id: string): Lock | null {
    try {
      return JSON.parse(readFileSync(ws.path(`queues/claimed/${id}.lock.json`), 'utf8')) as Lock;
    } catch {
      return null;
    }
  }

  test('edits a file in its worktree, and tells what it used', async () => {
    const word = 'pomegranate-7';
    model.play([
      { ...write(inWorktree('t', 'hello.txt'), 'hello\n'), usage, delay_ms: 1000 },
      { text: 'I wrote it.', usage },
    ]);
    ws.drop('t', task('seniority: principal\n', `Write hello.txt. The word is ${word}.`));
    await start();
    await asked();
    const running = processesOf('t');
    expect(running.some((pid) => proc(pid, 'cmdline').includes('--output-format'))).toBe(true);
    for (const pid of running) expect(proc(pid, 'cmdline')).not.toContain(word);
    await reaches('t', 'done');
    expect(sent(0)).toContain(word);
    expect(model.main[0]?.body['model']).toMatch(/opus/);
    expect(JSON.stringify(model.main[0]?.body['system'])).toContain('You implement one task');

    const shown = ws.show('t');
    expect(shown).toMatchObject({ outcome: 'ok', attempts: 1, agent: 'claude', result: 'I wrote it.', worktree: null });
    expect(shown.model).toMatch(/opus/);
    expect(shown.tokens).toMatchObject({ input: 2000, output: 100 });
    expect(shown.cost_usd).toBeGreaterThan(0);
    expect(storedSession(home, shown.session!)).toContain(word);
    expect(ws.git('show', 'towpath/t:hello.txt')).toBe('hello\n');
    expect(ws.git('log', '-1', '--format=%an', 'towpath/t').trim()).toBe('claude');
    expect(ws.git('status', '--porcelain', '-uno')).toBe('');
    expect(processesOf('t')).toEqual([]);
  });

  test('a failed check goes back into the same session, and the second attempt passes', async () => {
    model.play([
      { ...bash('echo turnip > answer.txt'), usage },
      { text: 'It is good.', usage },
      { ...bash('echo good > answer.txt'), usage },
      { text: 'Now it is.', usage },
    ]);
    ws.drop('t', task('checks: ["cat answer.txt; grep -q good answer.txt"]\n', 'Write answer.txt.'));
    await start();
    await reaches('t', 'done');
    const shown = ws.show('t');
    expect(shown).toMatchObject({ outcome: 'ok', attempts: 2, result: 'Now it is.', feedback: [{ from: 'check' }] });
    // Four calls in all: the second run's begin with all that was said in the first.
    expect(model.main).toHaveLength(4);
    for (const part of ['Write answer.txt.', 'echo turnip', 'It is good.']) expect(sent(2)).toContain(part);
    expect(sent(2)).toContain('failed with exit code 1');
    expect(sent(2)).toContain('your session goes on');
    expect(sent(1)).not.toContain('failed with exit code 1');
    expect(sessionOf('t', 1)).toEqual([shown.session, false]);
    expect(sessionOf('t', 2)).toEqual([shown.session, true]);
    // Each run counts once, though the CLI tells a resumed session's totals.
    expect(shown.tokens).toMatchObject({ input: 4000, output: 200 });
    expect(ws.git('show', 'towpath/t:answer.txt')).toBe('good\n');
  });

  test('is ended in the middle of its work when its tokens are used up, has a price all the same, and its session goes on', async () => {
    const price = '{input: 100, output: 1000}';
    ws.file(
      'towpath.yaml',
      `${readFileSync(ws.path('towpath.yaml'), 'utf8')}budget: {attempt_tokens: 1500}\nprices: {sonnet: ${price}}\n`,
    );
    model.play([
      { ...bash('echo turnip > answer.txt'), usage },
      { ...bash('sleep 300'), usage },
      { ...bash('echo good > answer.txt'), usage: { input: 100, output: 5 } },
      { text: 'Now it is.', usage: { input: 100, output: 5 } },
    ]);
    ws.drop('thrifty', task('', 'Write answer.txt.'));
    await start();
    await reaches('thrifty', 'blocked');
    const shown = ws.show('thrifty');
    // Of its output the CLI tells no more than the beginning before its result.
    const { output } = shown.tokens;
    expect(shown).toMatchObject({ outcome: 'budget', attempts: 0, tokens: { input: 2000 } });
    expect(shown.cost_usd).toBeCloseTo(0.2 + output / 1000, 5);
    expect(why('thrifty')).toMatch(/2,\d\d\d tokens of 1,500 tokens used \(budget\.attempt_tokens\)/);
    expect(processesOf('thrifty')).toEqual([]);
    ws.run(['retry', 'thrifty']);
    await reaches('thrifty', 'done');
    for (const part of ['Write answer.txt.', 'echo turnip']) expect(sent(2)).toContain(part);
    expect(sessionOf('thrifty', 2)[1]).toBe(true);
    expect(ws.git('show', 'towpath/thrifty:answer.txt')).toBe('good\n');
  });

  test.each([
    ['a rate limit', { ANTHROPIC_API_KEY: 'not-a-key' }, {}],
    ['a plan that is used up', { CLAUDE_CODE_OAUTH_TOKEN: 'not-a-token' }, plan()],
  ])('%s closes the agent, spends nothing, and after resume the task goes on', async (_what, login, headers) => {
    const limited: Step = { fault: { status: 429, headers: { 'retry-after': '3600', ...headers } }, times: 99 };
    model.play([limited]);
    ws.drop('t', task());
    ws.drop('u', task());
    await start(login);
    await until(
      () => Object.keys(limits()).includes('claude'),
      'the agent is closed',
      15_000,
      () => ws.output,
    );
    await until(
      () => /closed by its limit until 2/.test(why('t')),
      'why says so',
      5000,
      () => why('t'),
    );
    expect(why('u')).toMatch(/agent claude is closed by its limit until 2/);
    expect(ws.json<{ limits: unknown[] }>(['status']).limits).toHaveLength(1);
    expect(ws.show('t')).toMatchObject({ queue: 'incoming', outcome: 'rate_limited', attempts: 0 });
    expect(ws.show('t').cost_usd ?? 0).toBe(0);
    if ('anthropic-ratelimit-unified-reset' in headers)
      expect(Date.parse(limits()['claude']!.until!)).toBe(Number(headers['anthropic-ratelimit-unified-reset']) * 1000);
    const before = model.main.length;
    await sleep(500);
    expect(model.main.length).toBe(before);

    model.play((call) => {
      const id = JSON.stringify(call.body['messages']).includes('task-t') ? 't' : 'u';
      const answered = JSON.stringify(call.body['messages']).includes('tool_result');
      return answered ? { text: 'Done.' } : write(inWorktree(id, 'hello.txt'), 'hello\n');
    });
    expect(ws.run(['resume', 'claude']).code).toBe(0);
    for (const id of ['t', 'u']) await reaches(id, 'done');
    expect([ws.show('t').attempts, ws.show('u').attempts]).toEqual([1, 1]);
    // It went on with the session that met the limit.
    expect(sessionOf('t', 2)).toEqual([sessionOf('t', 1)[0], true]);
  });

  test('one whose model never answers is stuck though its runtime ticks on, is told first, and goes on by its session', async () => {
    ws.file('towpath.yaml', `${readFileSync(ws.path('towpath.yaml'), 'utf8')}timeouts: {stuck: 12s}\n`);
    model.play([bash('echo one > hello.txt'), { network: 'hang' }, bash('echo two >> hello.txt'), { text: 'Done.' }]);
    ws.drop('t', task());
    await start();
    await until(
      () => lies('t', 'done'),
      't is done',
      100_000,
      () => ws.output,
    );
    expect(ws.output).toMatch(/no sign of life for \d.*ended as stuck \(timeouts.stuck\)/);
    expect(ws.show('t')).toMatchObject({ attempts: 2, outcome: 'ok', result: 'Done.' });
    const [first, second] = [sessionOf('t', 1), sessionOf('t', 2)];
    expect([first[1], second]).toEqual([false, [first[0], true]]);
    expect(JSON.parse(readFileSync(ws.path('.towpath/runs/t/1/verdict.json'), 'utf8'))).toMatchObject({
      ended: 'stuck',
    });
    expect(ws.git('show', 'towpath/t:hello.txt')).toBe('one\ntwo\n');
  }, 120_000);

  test('one that hangs is ended by its timeout, with everything that it started', async () => {
    model.play([bash(`setsid sh -c 'trap "" TERM; sleep 278' & node -e "setTimeout(() => {}, 278000)"`)]);
    ws.drop('t', task('timeout: 3s\nmax_attempts: 1\n'));
    await start();
    await until(
      () => processesOf('t').some((pid) => proc(pid, 'cmdline').includes('278000')),
      'the tool runs',
      10_000,
      () => ws.output,
    );
    const running = processesOf('t');
    expect(running.length).toBeGreaterThanOrEqual(4);
    await reaches('t', 'failed');
    expect(ws.show('t')).toMatchObject({ outcome: 'timeout', reason: expect.stringContaining('within 3 s') });
    expect(processesOf('t')).toEqual([]);
    expect(running.filter((pid) => proc(pid, 'cmdline').includes('278'))).toEqual([]);
  });

  test('an answer that is always cut off is no false done, and is mended once the line holds', async () => {
    model.play([{ text: 'All done, everything works.', network: 'cut', times: 999 }]);
    ws.drop('t', task('expect: any\n'));
    await start();
    await until(
      () => (lies('t', 'incoming') || lies('t', 'failed')) && ws.show('t').outcome !== null,
      'the run ends',
      30_000,
      () => ws.output,
    );
    expect(['transient', 'failed']).toContain(ws.show('t').outcome);
    model.play([write(inWorktree('t', 'hello.txt'), 'hello\n'), { text: 'Really done.' }]);
    await reaches('t', 'done');
    expect(ws.show('t').result).toBe('Really done.');
    expect(ws.git('show', 'towpath/t:hello.txt')).toBe('hello\n');
  });

  test('goes on by itself when the daemon is killed while the model thinks', async () => {
    model.play([
      { ...write(inWorktree('t', 'hello.txt'), 'hello\n'), usage, delay_ms: 4000 },
      { text: 'Done.', usage },
    ]);
    ws.drop('t', task());
    const first = await start();
    await asked();
    const before = lockOf('t')!;
    first.kill('SIGKILL');
    await new Promise((resolve) => first.once('exit', resolve));
    expect(isAlive(before.agent as AgentProcess)).toBe(true);
    expect(ws.where('t')).toBe('claimed');
    await start();
    await until(
      () => lockOf('t')?.epoch === before.epoch + 1,
      'the claim is adopted',
      3000,
      () => ws.output,
    );
    expect(lockOf('t')?.agent).toEqual(before.agent);
    await reaches('t', 'done');
    expect(ws.show('t')).toMatchObject({ attempts: 1, outcome: 'ok', result: 'Done.', tokens: { input: 2000 } });
    // Asked once and then told of the tool: nothing was begun a second time.
    expect(model.main).toHaveLength(2);
    expect(readdirSync(ws.path('.towpath/runs/t')).filter((name) => /^\d+$/.test(name))).toEqual(['1']);
    expect(ws.git('rev-list', '--count', 'main..towpath/t').trim()).toBe('1');
  });

  test('a refused key takes the agent out of service with one message, until resume', async () => {
    model.play([{ fault: { status: 401, message: 'invalid x-api-key' }, times: 99 }]);
    ws.drop('t', task('priority: P0\n'));
    ws.drop('u', task());
    await start();
    await reaches('t', 'blocked');
    const { reason } = ws.show('t');
    expect(ws.show('t')).toMatchObject({ outcome: 'auth', attempts: 0 });
    expect(reason).toMatch(/^claude cannot log in: .*ANTHROPIC_API_KEY$/);
    await until(
      () => why('u').includes('out of service'),
      'u waits',
      5000,
      () => why('u'),
    );
    expect(why('u')).toContain('"towpath resume claude" opens it');
    expect(ws.where('u')).toBe('incoming');
    const told = () => ws.output.split('\n').filter((line) => /→ blocked .*cannot log in/.test(line));
    await until(() => told().length > 0, 'it is told', 5000);
    expect(told()).toHaveLength(1);
    expect(model.main.every((call) => !JSON.stringify(call.body).includes('task-u'))).toBe(true);

    model.play((call) =>
      JSON.stringify(call.body['messages']).includes('tool_result') ? { text: 'Done.' } : bash('echo > hello.txt'),
    );
    expect(ws.run(['resume', 'claude']).code).toBe(0);
    await reaches('u', 'done');
    expect(ws.run(['retry', 't']).code).toBe(0);
    await reaches('t', 'done');
  });

  function limits(): Record<string, { until: string | null }> {
    try {
      return JSON.parse(readFileSync(ws.path('.towpath/limits.json'), 'utf8')) as Record<string, { until: string }>;
    } catch {
      return {};
    }
  }
});

/** What the service says of a subscription whose window is used up. */
function plan(): Record<string, string> {
  const reset = String(Math.floor(Date.now() / 1000) + 7200);
  return {
    'anthropic-ratelimit-unified-status': 'rejected',
    'anthropic-ratelimit-unified-representative-claim': 'five_hour',
    'anthropic-ratelimit-unified-reset': reset,
    'anthropic-ratelimit-unified-5h-status': 'rejected',
    'anthropic-ratelimit-unified-5h-reset': reset,
  };
}

/** The living processes of a task's runs. */
const processesOf = (id: string): string[] =>
  readdirSync('/proc').filter((pid) => /^\d+$/.test(pid) && proc(pid, 'environ').includes(`TOWPATH_RUN=${id}/`));

function proc(pid: string, file: 'environ' | 'cmdline'): string {
  try {
    return readFileSync(`/proc/${pid}/${file}`, 'utf8');
  } catch {
    return '';
  }
}
