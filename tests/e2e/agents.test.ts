import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { TestWorkspace, until } from '../helpers/workspace.ts';

const open: TestWorkspace[] = [];
const workspace = (script: string, settings = '', mode = 0o755) => {
  const ws = new TestWorkspace(
    `agents:\n  bot: {command: [./bot], input: json}\nagent: bot\nretry: {initial: 100ms}\n${settings}`,
  );
  ws.file('bot', script, mode);
  open.push(ws);
  return ws;
};
afterEach(async () => {
  for (const one of open.splice(0)) await one.close();
});
const say = (...events: object[]) => events.map((event) => `echo '${JSON.stringify(event)}'`).join('\n');
const bot = (...lines: string[]) => `#!/bin/sh\n${lines.join('\n')}\n`;
const task = (matter = '') => `---\nexpect: any\n${matter}---\nDo it.\n`;

describe('command agents', () => {
  it('get the request as JSON on stdin and tell what they used', () => {
    const ws = workspace(
      bot(
        'cat > request.json',
        'env > env.txt',
        say(
          { type: 'agent_thought', content: 'hm' },
          {
            type: 'result',
            success: true,
            output: 'all good',
            session: 's-1',
            usage: { input_tokens: 10, output_tokens: 5, cost_usd: 0.25 },
          },
        ),
      ),
    );
    ws.drop('t', task('model: big\nseniority: principal\n'));
    expect(ws.run(['start', '--drain'], { env: { SECRET_TOKEN: 'do-not-tell' } }).code).toBe(0);
    expect(ws.show('t')).toMatchObject({
      queue: 'done',
      result: 'all good',
      session: 's-1',
      cost_usd: 0.25,
      tokens: { input: 10, output: 5 },
      model: 'big',
    });
    const request = JSON.parse(ws.git('show', 'towpath/t:request.json')) as Record<string, unknown>;
    expect(request).toMatchObject({
      version: 1,
      task_id: 't',
      attempt: 1,
      model: 'big',
      worktree: ws.path('.worktrees/task-t'),
      session: null,
      timeout_s: 600,
    });
    expect(request['prompt']).toContain('Do it.');
    expect(request['system_prompt']).toContain('You implement one task');
    const env = ws.git('show', 'towpath/t:env.txt');
    for (const name of [
      'version',
      'task_id',
      'attempt',
      'system_prompt',
      'model',
      'worktree',
      'timeout_s',
      'mcp',
      'skills',
    ]) {
      const value = request[name];
      expect(env).toContain(
        `TOWPATH_${name.toUpperCase()}=${typeof value === 'string' ? value : JSON.stringify(value)}`,
      );
    }
    expect(env).not.toContain('do-not-tell');
    expect(readFileSync(ws.path('.towpath/runs/t/1/prompt.md'), 'utf8')).toBe(request['prompt']);
  });

  it('are found below the workspace, by all that names a path', () => {
    const ws = workspace('');
    ws.file('bots/run.sh', 'cat > /dev/null; echo "$WRAPPED $*" > told.txt\n');
    ws.file('bots/wrap', bot('export WRAPPED=yes; exec "$@"'), 0o755);
    ws.file(
      'towpath.yaml',
      'agents:\n  bot: {command: [sh, ./bots/run.sh, ./], args: [../beside], wrap: [bots/wrap]}\nagent: bot\n',
    );
    ws.drop('t', task());
    expect(ws.run(['start', '--drain']).code).toBe(0);
    expect(ws.git('show', 'towpath/t:told.txt').trim()).toBe(
      `yes ${ws.path('')}/ ${resolve(ws.path(''), '../beside')}`,
    );
  });

  it('go on with a session and with feedback that hold a NUL', () => {
    const ws = workspace(bot('cat > /dev/null', say({ type: 'result', output: 'x', session: 'a\\u0000b' })));
    ws.drop(
      't',
      task(`max_attempts: 2\nchecks: ['printf "%s\\000" "$TOWPATH_ATTEMPT"; [ "$TOWPATH_ATTEMPT" = 2 ]']\n`),
    );
    expect(ws.run(['start', '--drain']).code, ws.show('t').reason ?? '').toBe(0);
  });

  it('exit codes that lie do not make it done', () => {
    const ws = workspace(
      bot(
        'case $TOWPATH_TASK_ID in',
        `limited) ${say({ type: 'error', outcome: 'failed', content: 'limit' }, { type: 'result', success: true, output: 'done!' })};;`,
        `says-no) ${say({ type: 'result', success: false, output: 'could not' })};;`,
        'esac',
      ),
    );
    for (const id of ['limited', 'says-no']) ws.drop(id, task('max_attempts: 1\n'));
    ws.drain();
    expect(ws.show('limited')).toMatchObject({ queue: 'failed', outcome: 'failed' });
    expect(ws.show('says-no')).toMatchObject({ queue: 'failed', reason: expect.stringContaining('could not') });
  });

  it('a rate limit closes the agent until its reset, spends nothing, and the session goes on', async () => {
    const ws = workspace(
      bot(
        'cat >> "$TOWPATH_WORKSPACE/requests"',
        `if [ ! -e "$TOWPATH_WORKSPACE/once" ]; then touch "$TOWPATH_WORKSPACE/once"; ${say({ type: 'result', success: false, session: 'keep-me' }, { type: 'error', outcome: 'rate_limited', content: 'five hours', retry_after: '10s' })}; exit 1; fi`,
        say({ type: 'result', success: true, output: 'ok' }),
      ),
      'concurrency: 1\n',
    );
    ws.drop('t', task());
    ws.drop('u', task());
    await ws.start();
    await until(() => ws.run(['why', 'u']).stdout.includes('closed by its limit'), 'u waits for the limit');
    expect(ws.json<{ limits: unknown[] }>(['status']).limits).toHaveLength(1);
    await ws.reaches('t', 'done');
    await ws.reaches('u', 'done');
    expect(ws.show('t').attempts).toBe(1);
    const requests = readFileSync(ws.path('requests'), 'utf8')
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as { task_id: string; session: string | null; prompt: string });
    expect(requests.filter(({ task_id }) => task_id === 't').map(({ session }) => session)).toEqual([null, 'keep-me']);
  });

  it('auth takes the agent out of service with one message, and resume opens it', () => {
    const ws = workspace(
      bot(
        `[ -e "$TOWPATH_WORKSPACE/key" ] || { ${say({ type: 'error', outcome: 'auth', content: 'no key' })}; exit 1; }`,
        say({ type: 'result', success: true }),
      ),
    );
    ws.drop('t', task());
    ws.drop('u', task());
    ws.drain();
    const queues = [ws.show('t').queue, ws.show('u').queue].sort();
    expect(queues[0]).toBe('blocked');
    ws.file('key', '');
    expect(ws.run(['resume', 'bot']).stdout).toContain('agent bot is open again');
    for (const id of ['t', 'u']) if (ws.show(id).queue === 'blocked') ws.run(['retry', id]);
    expect(ws.drain().code).toBe(0);
    expect(ws.show('t').attempts).toBe(1);
  });

  it('a question frees the slot, and the answer goes on with the session', () => {
    const ws = workspace(
      bot(
        'cat > request.json',
        `grep -q blue request.json && { ${say({ type: 'result', success: true, output: 'painted' })}; exit 0; }`,
        'echo half > half.txt',
        say(
          { type: 'question', content: 'Which colour?' },
          { type: 'question', content: 'And which brush?' },
          { type: 'result', success: true, output: 'painted it somehow' },
        ),
      ),
    );
    ws.drop('t', task());
    ws.drain();
    expect(ws.show('t')).toMatchObject({
      queue: 'blocked',
      outcome: 'needs_input',
      question: 'Which colour?\n\nAnd which brush?',
      attempts: 0,
    });
    expect(ws.run(['status']).stdout).toContain('towpath answer t');
    expect(ws.run(['answer', 't', '-m', 'blue']).code).toBe(0);
    expect(ws.drain().code).toBe(0);
    expect(ws.show('t')).toMatchObject({ queue: 'done', result: 'painted', attempts: 1 });
  });

  it('exit 75 tries later without spending; a budget that is spent holds the task', () => {
    const ws = workspace(
      bot(
        'case $TOWPATH_TASK_ID in',
        'soon) [ -e "$TOWPATH_WORKSPACE/s" ] || { touch "$TOWPATH_WORKSPACE/s"; exit 75; };;',
        `dear) ${say({ type: 'result', success: false, output: 'not yet', usage: { cost_usd: 2 } })}; exit 1;;`,
        'esac',
      ),
    );
    ws.drop('soon', task());
    ws.drop('dear', task('budget_usd: 1.5\n'));
    ws.drain();
    expect(ws.show('soon')).toMatchObject({ queue: 'done', attempts: 1 });
    expect(ws.show('dear')).toMatchObject({
      queue: 'blocked',
      outcome: 'budget',
      cost_usd: 2,
      reason: expect.stringContaining('$2.00 of $1.50'),
    });
  });

  it('a program that is not there holds the task, and spends nothing', () => {
    const ws = workspace('#!/bin/sh\n', '', 0o644);
    ws.drop('t', task());
    ws.drain();
    expect(ws.show('t')).toMatchObject({
      queue: 'blocked',
      attempts: 0,
      reason: expect.stringMatching(/cannot start .*bot: not found, or not executable/),
    });
    ws.file('bot', '#!/bin/sh\n', 0o755);
    ws.run(['retry', 't']);
    expect(ws.drain().code).toBe(0);
  });

  it('a wild stream is read in bounded memory', () => {
    const ws = workspace(
      bot(
        'head -c 30000000 /dev/zero | tr "\\0" x; echo',
        'printf \'\\377\\376 {"type":\\n{"type":"nonsense"}\\n{"type":"log"}\\n\'',
        say({ type: 'result', success: true, output: 'fine' }),
      ),
    );
    ws.drop('t', task());
    expect(ws.drain().code).toBe(0);
    expect(ws.show('t').result).toBe('fine');
  });
});

describe('no agent at all', () => {
  it('a task that names none waits with that reason', async () => {
    const ws = new TestWorkspace('');
    open.push(ws);
    ws.drop('t', '---\n---\nDo it.\n');
    await ws.start([], { PATH: `${process.execPath.replace(/\/node$/, '')}:/usr/bin:/bin`, HOME: ws.path('home') });
    await until(() => ws.run(['why', 't']).stdout.includes('no agent is able to work'), 'why says so');
    expect(ws.where('t')).toBe('incoming');
  });
});
