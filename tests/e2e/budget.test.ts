// Budgets end to end: runs that are ended in time, tasks and days that wait, prices, restarts, and a daemon that is killed.
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import type { Stats } from '../../daemon/ledger/terms.ts';
import { readLock } from '../../daemon/queue/files/lock.ts';
import { afterReboot } from '../helpers/boot.ts';
import { testClock } from '../helpers/clock.ts';
import { canMount } from '../helpers/disk.ts';
import { shellTask, type TestWorkspace, until, workspaces } from '../helpers/workspace.ts';

const make = workspaces();
const workspace = (script: string, settings = '', more = '') => {
  const ws = make(
    `agents:\n  bot: {command: [./bot]}\n${more}agent: bot\nretry: {initial: 100ms}\nprices: {priced: {input: 1, output: 10, cache_read: 0.5}}\n${settings}`,
  );
  ws.file('bot', `#!/bin/sh\n${script}\n`, 0o755);
  return ws;
};
const task = (matter = '') => `---\nexpect: any\n${matter}---\nDo it.\n`;
const emit = (event: object) => `echo '${JSON.stringify(event)}'`;
/** What it used since it began. */
const used = (usage: object) => emit({ type: 'usage', usage });
/** Its end. */
const done = (usage: object, success = true) => emit({ type: 'result', success, usage });
const dear = (usd: number) => done({ cost_usd: usd });

interface Status {
  waiting: { id: string; reason: string }[];
  budgets: { key: string; limit: number; spent: number; reserved: number; runs: number }[];
  spent_today_usd: number;
}
const status = (ws: TestWorkspace) => ws.json<Status>(['status']);
const budget = (ws: TestWorkspace, key = 'budget.day_usd') => status(ws).budgets.find((one) => one.key === key);
const waits = (ws: TestWorkspace, id: string) => ws.json<{ reason: string }>(['why', id]).reason;

describe('a run', () => {
  it('is ended as soon as it has spent more than an attempt may; its work is kept, and retry goes on', () => {
    const ws = workspace(
      [
        `[ -e "$TOWPATH_WORKSPACE/again" ] && { ${dear(0.01)}; exit 0; }`,
        'echo begun > work.txt; echo $$ > "$TOWPATH_WORKSPACE/pid"',
        used({ cost_usd: 0.03, input_tokens: 7 }),
        used({ cost_usd: 0.06, input_tokens: 9 }),
        'sleep 300',
      ].join('\n'),
      'budget: {attempt_usd: 0.05}\n',
    );
    ws.drop('t', task());
    expect(ws.drain().code).toBe(1);
    expect(ws.show('t')).toMatchObject({
      ...{ queue: 'blocked', outcome: 'budget', attempts: 0, cost_usd: 0.06, tokens: { input: 9 } },
      reason: expect.stringMatching(
        /\$0\.06 of \$0\.05 spent \(budget\.attempt_usd\): "towpath retry t" begins another/,
      ),
    });
    expect(existsSync(`/proc/${readFileSync(ws.path('pid'), 'utf8').trim()}`)).toBe(false);
    expect(ws.git('show', 'towpath/t:work.txt')).toBe('begun\n');
    ws.file('again', '');
    ws.run(['retry', 't']);
    expect(ws.drain().code).toBe(0);
    expect(ws.show('t')).toMatchObject({ queue: 'done', attempts: 1, cost_usd: 0.07 });
  });

  it('counts tokens of every class, and the price of them where no cost is told', () => {
    const ws = workspace(
      [
        'case $TOWPATH_TASK_ID in',
        `tokens) ${used({ input_tokens: 50, output_tokens: 51, cache_read_tokens: 600, cache_write_tokens: 300 })};;`,
        `priced) ${used({ output_tokens: 100, cache_read_tokens: 400 })};;`,
        'esac',
        'sleep 300',
      ].join('\n'),
      'budget: {attempt_tokens: 1000, attempt_usd: 0.0011}\n',
    );
    ws.drop('tokens', task());
    ws.drop('priced', task('model: acme/priced\n'));
    ws.drain();
    expect(ws.show('tokens')).toMatchObject({
      ...{ outcome: 'budget', cost_usd: null, tokens: { cache_read: 600, cache_write: 300 } },
      reason: expect.stringContaining('1,001 tokens of 1,000 tokens used (budget.attempt_tokens)'),
    });
    expect(ws.show('priced')).toMatchObject({
      ...{ outcome: 'budget', cost_usd: 0.0012, reason: expect.stringContaining('$0.0012 of $0.0011 spent') },
    });
  });

  it('has a price in the end, by the model it asked for, and is told as unknown where there is none', () => {
    const ws = workspace(done({ input_tokens: 1000, output_tokens: 100, cache_read_tokens: 2000 }));
    ws.drop('known', task('model: host/acme/priced\n'));
    ws.drop('unknown', task('model: other\n'));
    expect(ws.drain().code).toBe(0);
    expect(ws.show('known').cost_usd).toBe(0.003);
    expect(ws.show('unknown').cost_usd).toBeNull();
    expect(ws.run(['show', 'unknown']).stdout).toMatch(/unknown, 3\.1k tokens/);
    const stats = ws.json<Stats>(['stats']);
    expect(stats.total).toMatchObject({ cost_usd: 0.003, cost_unknown: 1 });
    const models = stats.by_model.map(({ key, cost_usd, cost_unknown }) => [key, cost_usd, cost_unknown]);
    expect(models).toEqual([
      ['host/acme/priced', 0.003, 0],
      ['other', 0, 1],
    ]);
    expect(stats.accepted.tasks.map(({ task: id, cost_unknown }) => [id, cost_unknown]).sort()).toEqual([
      ['known', 0],
      ['unknown', 1],
    ]);
  });
});

describe('a task', () => {
  it('that is over its budget is blocked before anything begins, again after a retry, until the budget is raised', () => {
    const ws = workspace(
      [
        'n=$(cat "$TOWPATH_WORKSPACE/n" 2>/dev/null || echo 0); echo $((n + 1)) > "$TOWPATH_WORKSPACE/n"',
        `[ $n = 0 ] && { ${done({ cost_usd: 0.6 }, false)}; exit 1; }`,
        `[ $n = 1 ] && { ${used({ cost_usd: 0.5 })}; sleep 300; }`,
        dear(0.2),
      ].join('\n'),
    );
    ws.drop('t', task('budget_usd: 1\n'));
    ws.drain();
    expect(ws.show('t')).toMatchObject({
      ...{ queue: 'blocked', outcome: 'budget', attempts: 1, cost_usd: 1.1 },
      reason: expect.stringMatching(
        /ended: \$1\.10 of \$1\.00 spent \(budget_usd\): raise budget_usd, then "towpath retry t"/,
      ),
    });
    ws.run(['retry', 't']);
    ws.drain();
    expect(ws.show('t')).toMatchObject({
      ...{ queue: 'blocked', outcome: 'budget', attempts: 0, cost_usd: 1.1 },
      reason: expect.stringMatching(/^\$1\.10 of \$1\.00 spent .*unraised it is blocked again/),
    });
    expect(readFileSync(ws.path('n'), 'utf8').trim()).toBe('2');
    const file = ws.path('queues/blocked/t.md');
    writeFileSync(file, readFileSync(file, 'utf8').replace('budget_usd: 1\n', 'budget_usd: 2\n'));
    ws.run(['retry', 't']);
    expect(ws.drain().code).toBe(0);
    expect(ws.show('t')).toMatchObject({ queue: 'done', cost_usd: 1.3 });
  });

  it('has a budget of tokens over all its attempts', () => {
    const ws = workspace(`${done({ cache_read_tokens: 600 }, false)}; exit 1`, 'budget: {task_tokens: 1000}\n');
    ws.drop('t', task('max_attempts: 9\n'));
    ws.drain();
    // The same error twice over would end it sooner, but the second run is over the budget already.
    expect(ws.show('t')).toMatchObject({ tokens: { cache_read: 1200 } });
    ws.run(['retry', 't']);
    ws.drain();
    expect(ws.show('t')).toMatchObject({
      ...{ queue: 'blocked', outcome: 'budget', tokens: { cache_read: 1200 } },
      reason: expect.stringContaining(
        '1,200 tokens of 1,000 tokens used (budget.task_tokens): raise budget.task_tokens',
      ),
    });
  });
});

describe('a day', () => {
  it('holds what it cannot pay, says why, and remembers over restarts', () => {
    const ws = workspace(dear(0.01), 'budget: {day_usd: 0.02}\n');
    for (const id of ['a', 'b', 'c']) ws.drop(id, task());
    expect(ws.drain().code).toBe(1);
    const why =
      /^budget\.day_usd: \$0\.02 spent today of \$0\.02, such a task takes about \$0\.01: it runs after midnight/;
    const queues = () => ['a', 'b', 'c'].map((id) => ws.where(id)).sort();
    expect(queues()).toEqual(['done', 'done', 'incoming']);
    expect(waits(ws, 'c')).toMatch(why);
    expect(ws.run(['status']).stdout).toContain('$0.02 of $0.02 spent');
    expect(budget(ws)).toMatchObject({ limit: 0.02, spent: 0.02, reserved: 0, runs: 0 });
    expect(ws.run(['stats']).stdout).toMatch(/\$0\.01 per accepted task\ntoday: \$0\.02 of \$0\.02 spent\n/);
    const again = ws.drain();
    expect([again.code, ...queues()]).toEqual([1, 'done', 'done', 'incoming']);
    expect(again.stderr + again.stdout).toContain('budget.day_usd: $0.02 spent today of $0.02');
    // What is free runs all the same.
    ws.drop('free', shellTask('true', 'expect: any\n'));
    ws.drain();
    expect(ws.where('free')).toBe('done');
    // A ledger that is deleted takes the sum of the day with it.
    for (const end of ['', '-wal', '-shm']) writeFileSync(ws.path(`.towpath/ledger.db${end}`), '');
    expect(ws.drain().code).toBe(0);
  });

  it('counts cache reads, and runs that tell no cost', () => {
    const ws = workspace(done({ input_tokens: 1, cache_read_tokens: 499 }), 'budget: {day_tokens: 1000}\n');
    for (const id of ['a', 'b', 'c']) ws.drop(id, task());
    expect(ws.drain().code).toBe(1);
    expect(waits(ws, ws.where('a') === 'incoming' ? 'a' : ws.where('b') === 'incoming' ? 'b' : 'c')).toMatch(
      /^budget\.day_tokens: 1,000 tokens used today of 1,000 tokens, such a task takes about 500 tokens:/,
    );
    expect(ws.run(['stats']).stdout).toContain('today: 1,000 tokens of 1,000 tokens used');
  });

  it("of one agent holds that agent's tasks alone", () => {
    const other = '  other: {command: [./bot], budget: {day_usd: 0.01}}\n';
    const ws = workspace(dear(0.01), 'concurrency: 1\n', other);
    for (const id of ['o1', 'o2']) ws.drop(id, task('agent: other\n'));
    ws.drain();
    for (const id of ['b1', 'b2']) ws.drop(id, task());
    expect(ws.drain().code).toBe(1);
    expect([ws.where('b1'), ws.where('b2'), ws.where('o1'), ws.where('o2')].sort()).toEqual([
      ...['done', 'done', 'done', 'incoming'],
    ]);
    expect(waits(ws, ws.where('o1') === 'incoming' ? 'o1' : 'o2')).toMatch(
      /^agents\.other\.budget\.day_usd: \$0\.01 spent/,
    );
    expect(ws.run(['status']).stdout).toContain('today, other: $0.01 of $0.01 spent');
  });
});

describe('while a daemon runs', () => {
  it('midnight gives a new budget', async () => {
    const clock = testClock();
    const ws = workspace(dear(0.01), 'concurrency: 1\nbudget: {day_usd: 0.01}\n');
    for (const id of ['a', 'b']) ws.drop(id, task());
    await ws.start([], clock.env);
    const ended = () => ['a', 'b'].filter((id) => ws.where(id) === 'done').length;
    await until(() => ended() === 1 && status(ws).waiting.length === 1, 'one runs, and one waits');
    expect(status(ws).waiting[0]?.reason).toMatch(/it runs after midnight/);
    clock.set(24 * 3_600_000);
    await until(
      () => ended() === 2,
      'the other runs',
      30_000,
      () => ws.output,
    );
  });

  const waiting = [
    'case $TOWPATH_TASK_ID in',
    `slow) ${used({ cost_usd: 0.02 })}; touch "$TOWPATH_WORKSPACE/began"`,
    'while [ ! -e "$TOWPATH_WORKSPACE/go" ]; do sleep 0.1; done',
    `${dear(0.03)};;`,
    `*) ${dear(0.01)};;`,
    'esac',
  ].join('\n');
  const heldBy = (ws: TestWorkspace, id: string, reason: RegExp) =>
    until(
      () => reason.test(status(ws).waiting.find((one) => one.id === id)?.reason ?? ''),
      `${id} waits for ${reason}`,
      20_000,
      () => JSON.stringify(status(ws)),
    );

  it('what a running agent has used is reserved, also after kill -9 of the daemon; a budget that is raised lets go on', async () => {
    const ws = workspace(waiting, 'budget: {day_usd: 0.02}\n');
    ws.drop('slow', task());
    const first = await ws.start();
    await until(() => existsSync(ws.path('began')), 'the agent begins');
    await until(() => budget(ws)?.reserved === 0.02, 'its use is known');
    ws.drop('next', task());
    const reserved = /^budget\.day_usd: \$0\.00 spent and \$0\.02 reserved by 1 run today of \$0\.02:/;
    await heldBy(ws, 'next', reserved);
    expect(waits(ws, 'next')).toMatch(reserved);
    expect(ws.run(['status']).stdout).toContain('$0.00 of $0.02 spent, 1 run reserves $0.02');
    first.kill('SIGKILL');
    await until(() => first.signalCode !== null, 'the daemon is dead');
    const second = await ws.start();
    await heldBy(ws, 'next', reserved);
    ws.file('go', '');
    await ws.reaches('slow', 'done');
    await heldBy(
      ws,
      'next',
      /\$0\.03 spent today of \$0\.02, such a task takes about \$0\.03: it runs when the budget is raised/,
    );
    expect(budget(ws)).toMatchObject({ spent: 0.03, reserved: 0, runs: 0 });
    writeFileSync(
      ws.path('towpath.yaml'),
      readFileSync(ws.path('towpath.yaml'), 'utf8').replace('day_usd: 0.02', 'day_usd: 0.1'),
    );
    second.kill('SIGHUP');
    await ws.reaches('next', 'done');
  });

  it.runIf(canMount)('what a run told before the machine went down is spent', async () => {
    const ws = workspace(waiting, 'budget: {day_usd: 0.02}\n');
    ws.drop('slow', task());
    const daemon = await ws.start();
    await until(() => existsSync(ws.path('began')), 'the agent begins');
    const lock = readLock(ws.path('queues/claimed/slow.lock.json'));
    if (!lock || lock === 'unreadable' || !lock.agent?.shim) throw new Error('no lock');
    daemon.kill('SIGKILL');
    for (const { pid } of [lock.agent.shim, lock.agent]) process.kill(pid, 'SIGKILL');
    await ws.start([], {}, afterReboot());
    await until(() => ws.where('slow') === 'incoming', 'it is put back');
    expect(ws.show('slow')).toMatchObject({ outcome: 'crashed', cost_usd: 0.02 });
    expect(budget(ws)).toMatchObject({ spent: 0.02, runs: 0 });
  });

  it('an agent that was killed together with its daemon has spent what it told', async () => {
    const ws = workspace(waiting, 'budget: {day_usd: 0.02, task_usd: 0.02}\n');
    ws.drop('slow', task());
    const daemon = await ws.start();
    await until(() => existsSync(ws.path('began')), 'the agent begins');
    const lock = readLock(ws.path('queues/claimed/slow.lock.json'));
    if (!lock || lock === 'unreadable' || !lock.agent?.shim) throw new Error('no lock');
    daemon.kill('SIGKILL');
    for (const { pid } of [lock.agent.shim, lock.agent]) process.kill(pid, 'SIGKILL');
    expect(ws.drain().code).toBe(1);
    expect(ws.show('slow')).toMatchObject({ cost_usd: 0.02 });
    expect(budget(ws)?.spent).toBe(0.02);
    expect(waits(ws, 'slow')).toMatch(/^budget\.day_usd: \$0\.02 spent today of \$0\.02/);
  });
});

describe('a project', () => {
  it('has a budget of its own for each task and for the day; only its tasks wait', () => {
    const settings = 'projects: {site: {repo: ., budget: {task_usd: 2, day_usd: 3}, review: human}, app: {repo: .}}\n';
    const ws = workspace(dear(1.75), settings);
    ws.drop('s1', task('project: site\n'));
    expect(ws.drain().code).toBe(0);
    expect(ws.where('s1')).toBe('provisional');
    ws.drop('s2', task('project: site\n'));
    ws.drop('a1', task('project: app\n'));
    ws.drop('n1', task());
    ws.drain();
    expect(['s2', 'a1', 'n1'].map((id) => ws.where(id))).toEqual(['incoming', 'done', 'done']);
    expect(waits(ws, 's2')).toMatch(
      /^projects\.site\.budget\.day_usd: \$1\.75 spent today of \$3\.00, such a task takes about/,
    );
    expect(budget(ws, 'projects.site.budget.day_usd')).toMatchObject({ limit: 3, spent: 1.75, reserved: 0 });
    expect(ws.run(['status']).stdout).toContain('today, project site: $1.75 of $3.00 spent');
    expect(ws.json<{ id: string }[]>(['list', '--project', 'site']).map(({ id }) => id)).toEqual(['s2', 's1']);
    // A second run of the first would take it above what a task may cost.
    ws.file(
      'towpath.yaml',
      readFileSync(ws.path('towpath.yaml'), 'utf8')
        .replace('day_usd: 3', 'day_usd: 30')
        .replace('task_usd: 2', 'task_usd: 1'),
    );
    ws.run(['reject', 's1', '-m', 'again']);
    ws.drain();
    expect(ws.show('s1')).toMatchObject({ queue: 'blocked', outcome: 'budget' });
    expect(ws.show('s1').reason).toContain('$1.75 of $1.00 spent (projects.site.budget.task_usd)');
  });
});
