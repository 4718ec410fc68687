// status, list, show and the board: what they gather, and what they say of it on any screen.
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { gatherList, renderList } from '../../daemon/cli/view/list.ts';
import { gatherShow, showJson } from '../../daemon/cli/view/show.ts';
import { renderShow } from '../../daemon/cli/view/show-text.ts';
import { gatherStatus } from '../../daemon/cli/view/status.ts';
import { renderStatus } from '../../daemon/cli/view/status-text.ts';
import { widthOf } from '../../daemon/cli/view/style.ts';
import { changeKey, gatherBoard } from '../../daemon/cli/view/watch.ts';
import { renderBoard } from '../../daemon/cli/view/watch-text.ts';
import { loadSettings } from '../../daemon/config.ts';
import { readDaemonInfo } from '../../daemon/hold.ts';
import { type Ledger, openLedger } from '../../daemon/ledger/ledger.ts';
import type { Workspace } from '../../daemon/paths.ts';
import { isAlive } from '../../daemon/process/identity.ts';
import {
  ago,
  CONTROLS,
  ESCAPE,
  HOSTILE,
  jsonReader,
  lockOf,
  NOW,
  put,
  putDaemon,
  queueOf,
  task,
  tempWorkspace,
} from './view-fixtures.ts';

let workspace: Workspace;
let ledger: Ledger;
beforeEach(() => {
  workspace = tempWorkspace();
  ledger = openLedger(workspace);
});
afterEach(() => {
  ledger.close();
  rmSync(workspace.root, { recursive: true, force: true });
});

const finished = (id: string, attempt: number, at: string, cost_usd: number) =>
  ledger.record({
    ...{
      at,
      event: 'attempt_finished',
      task: id,
      attempt,
      outcome: 'check_failed',
      reason: 'npm test exited 1',
      agent: 'claude',
    },
    ...{
      model: 'sonnet',
      role: 'implementer',
      duration_ms: 60_000,
      input: 10,
      output: 20,
      cache_read: 1000,
      cache_write: 0,
      cost_usd,
    },
  });
const queue = () =>
  queueOf(
    task('next', 'incoming'),
    task('run', 'claimed', { state: { model: 'sonnet' } }),
    task('asked', 'blocked', { state: { waits_for: 'answer', question: 'Which database?' } }),
    task('hooked', 'blocked', { state: { waits_for: 'hook', reason: 'hook pre_task failed: no' } }),
    task('held', 'blocked', { state: { waits_for: 'dependencies', reason: 'waits for next' } }),
    task('sleepy', 'blocked', { state: { waits_for: 'paused' } }),
    task('look', 'provisional', { state: { waits_for: 'review' } }),
    task('gating', 'provisional'),
    task('broken', 'failed', { state: { outcome: 'failed', reason: 'exit 1', finished_at: ago(60_000) } }),
    task('refused', 'failed', { refusal: 'priority: "P9" is none of P0, P1, P2, P3 (line 2)' }),
  );

/** A daemon that cannot be asked: what its file says. */
const info = async () => {
  const told = readDaemonInfo(workspace);
  return told && isAlive(told) ? told : null;
};

describe('status', () => {
  it('says what runs, what needs a person, and why the rest waits', async () => {
    putDaemon(workspace, { waiting: { next: 'all 2 slots of the daemon are taken' } });
    put(workspace.lock('run'), lockOf('run'));
    put(
      join(workspace.run('run', 1), 'stdout'),
      '{"type":"log","content":"first"}\n{"type":"tool_call","name":"Read","content":"src/a.ts"}\n{"type":"log","con',
    );
    put(join(workspace.state, 'limits.json'), {
      claude: { until: new Date(Date.now() + 3.6e6).toISOString(), reason: 'five hour limit', since: ago(0) },
    });
    finished('broken', 1, new Date().toISOString(), 0.25);
    ledger.record({ at: new Date().toISOString(), event: 'transition', task: 'broken', from: 'claimed', to: 'failed' });
    const loaded = loadSettings(workspace, {});
    const status = await gatherStatus({ workspace, info, queue: queue(), ledger, readerFor: jsonReader, loaded });
    expect(status).toMatchObject({
      budgets: [{ key: 'budget.day_usd', limit: 50, spent: 0.25, reserved: 0, runs: 0 }],
      daemon: { running: true, pid: process.pid, paused: null },
      counts: { incoming: 1, claimed: 1, provisional: 2, done: 0, blocked: 4, failed: 2 },
      running: [{ id: 'run', agent: 'claude', model: 'sonnet', phase: 'execute', attempt: 1 }],
      waiting: [
        { id: 'next', reason: 'all 2 slots of the daemon are taken' },
        { id: 'held', reason: 'waits for next' },
      ],
      limits: [{ agent: 'claude', reason: 'five hour limit' }],
      ...{ faults: [], spent_today_usd: 0.25, done_today: 0, failed_today: 1 },
    });
    expect(status.running[0]?.last).toBe('Read src/a.ts');
    expect(Object.fromEntries(status.needs_you.map((need) => [need.id, need.next]))).toEqual({
      asked: 'towpath answer asked -m "…"',
      hooked: 'towpath resolve hooked retry  # or: skip, abort',
      sleepy: 'towpath resume sleepy',
      look: 'towpath accept look  # or: towpath reject look -m "…"',
      broken: 'towpath retry broken',
      refused: '$EDITOR /w/queues/failed/refused.md && towpath retry refused',
    });
    const text = renderStatus(status, { width: 100 });
    for (const words of [
      '● running (pid',
      'Running\n  run',
      'Needs you',
      'Which database?',
      '→ towpath answer asked -m "…"',
      'Waiting',
      'Limits',
      'five hour limit',
      '1 failed, $0.25 of $50.00 spent',
    ])
      expect(text).toContain(words);
    expect(text).not.toContain('Faults');
  });

  it('tolerates a daemon file that is missing, half written, or of a dead daemon', async () => {
    const look = () => gatherStatus({ workspace, queue: queue(), ledger });
    expect((await look()).daemon).toEqual({ running: false, pid: null, since: null, version: null, paused: null });
    put(join(workspace.state, 'daemon.json'), '{"pid": 1');
    expect((await look()).daemon.running).toBe(false);
    putDaemon(workspace, { started: '1' });
    const status = await look();
    expect(status.daemon.running).toBe(false);
    expect(status.waiting).toContainEqual({ id: 'next', reason: 'no daemon runs' });
    expect(renderStatus(status)).toContain('○ no daemon runs here: towpath start');
  });

  it('tells a pause and faults first', async () => {
    putDaemon(workspace, {
      paused: 'disk is full',
      faults: [{ what: 'disk is full', since: ago(60_000), doing: 'nothing is claimed' }],
    });
    const text = renderStatus(await gatherStatus({ workspace, info, queue: queueOf(), ledger }), {
      width: 80,
      now: NOW,
    });
    expect(text.split('\n')[0]).toBe('● paused: disk is full');
    expect(text).toContain('Faults\n  disk is full  1m ago  nothing is claimed');
  });

  it.each([20, 40, 60, 80, 200])('fits into %i columns and lets nothing hostile through', async (width) => {
    putDaemon(workspace, {
      paused: HOSTILE,
      waiting: { [HOSTILE]: HOSTILE },
      faults: [{ what: HOSTILE, since: HOSTILE, doing: HOSTILE }],
    });
    put(workspace.lock('x'), lockOf('x'));
    put(join(workspace.run('x', 1), 'stdout'), JSON.stringify({ type: 'agent_thought', content: HOSTILE.repeat(9) }));
    const hostile = (id: string, where: 'claimed' | 'blocked') =>
      task(id, where, { title: HOSTILE.repeat(5), state: { reason: HOSTILE, model: HOSTILE, agent: HOSTILE } });
    const status = await gatherStatus({
      info,
      workspace,
      queue: queueOf(hostile('x', 'claimed'), hostile('y', 'blocked')),
      ledger,
      readerFor: jsonReader,
    });
    const text = renderStatus(status, { width });
    expect(text).not.toContain(ESCAPE);
    expect(text).not.toMatch(CONTROLS);
    // Commands are for copying and stay whole; so do the counts.
    for (const line of text.split('\n'))
      if (!line.includes('→ ') && !/^(incoming|today)/.test(line)) expect(widthOf(line)).toBeLessThanOrEqual(width);
  });
});

describe('list', () => {
  it('shows tasks in the order of the queues; a claimed one with its lock', async () => {
    put(workspace.lock('run'), lockOf('run'));
    const tasks = await gatherList({ workspace, ledger, queue: queue() });
    expect(tasks.map((one) => one.id).slice(0, 3)).toEqual(['next', 'run', 'look']);
    expect(tasks[1]).toMatchObject({ branch: 'towpath/run', agent: 'claude', claimed_at: ago(190_000) });
    const wide = renderList(tasks, { now: NOW });
    expect(wide.split('\n')[0]).toMatch(/^ID +QUEUE +PRIO +ROLE +AGENT +AGE +TITLE +OUTCOME +REASON$/);
    for (const line of renderList(tasks, { width: 50, now: NOW }).split('\n'))
      expect(widthOf(line)).toBeLessThanOrEqual(50);
  });
});

describe('show', () => {
  it('puts folder and ledger together', async () => {
    const dir = workspace.run('broken', 2);
    put(join(workspace.run('broken', 1), 'run.json'), {
      agent: 'claude',
      model: 'sonnet',
      role: 'implementer',
      started_at: ago(600_000),
    });
    put(join(dir, 'run.json'), '{"agent": "clau');
    put(join(dir, 'verdict.json'), {
      verdict: { outcome: 'ok', reason: '', output: 'x', model: null, usage: null },
      duration_ms: 5,
    });
    put(join(dir, 'checks.json'), [
      {
        command: `npm ${HOSTILE}`,
        code: 1,
        ok: false,
        output: `line\n${HOSTILE}`,
        tree: 'abcdef0123',
        at: ago(1000),
        duration_ms: 1200,
      },
    ]);
    finished('broken', 1, ago(500_000), 0.5);
    const shown = await gatherShow({ workspace, queue: queue(), ledger }, 'broken');
    expect(shown.runs).toMatchObject([
      { attempt: 1, outcome: 'check_failed', cost_usd: 0.5, tokens: { cache_read: 1000 }, agent: 'claude' },
      { attempt: 2, outcome: 'ok', cost_usd: null, checks: [{ ok: false, code: 1 }] },
    ]);
    expect(shown.next[0]).toBe('towpath retry broken');
    const text = renderShow(shown, { width: 90, now: NOW });
    for (const words of [
      'broken  Title of broken',
      '● failed, failed',
      'Runs',
      '✗ npm aredb',
      'exit 1, 1.2s, tree abcdef01',
      'Next\n  → towpath retry broken',
    ])
      expect(text).toContain(words);
    expect(text).not.toContain(ESCAPE);
    expect(text).not.toMatch(CONTROLS);
    expect(showJson(shown)).toMatchObject({
      id: 'broken',
      queue: 'failed',
      reason: 'exit 1',
      runs: [{ attempt: 1 }, { attempt: 2 }],
    });
    await expect(gatherShow({ workspace, queue: queue(), ledger }, 'none')).rejects.toMatchObject({
      code: 'task_not_found',
    });
  });

  it('lets nothing hostile through in any field', async () => {
    const feedback = [{ from: HOSTILE, message: HOSTILE, at: HOSTILE, attempt: 1 }];
    const evil = task('evil', 'failed', {
      title: HOSTILE,
      body: HOSTILE,
      data: { depends_on: [HOSTILE] },
      state: {
        reason: HOSTILE,
        feedback,
        branch: HOSTILE,
        model: HOSTILE,
        result: { output: HOSTILE },
        session: HOSTILE,
      },
    });
    const text = renderShow(await gatherShow({ workspace, queue: queueOf(evil), ledger }, 'evil'), {
      width: 60,
      color: false,
    });
    expect(text).not.toContain(ESCAPE);
    expect(text).not.toMatch(CONTROLS);
  });
});

describe('board', () => {
  it.each([
    [200, 50],
    [100, 24],
    [80, 10],
    [40, 12],
    [20, 4],
    [10, 1],
  ])('fills %i × %i and no more', async (cols, rows) => {
    putDaemon(workspace);
    for (let i = 0; i < 30; i++) put(join(workspace.queue('incoming'), `t${i}.md`), '# t');
    put(workspace.lock('run'), lockOf('run'));
    const many = Array.from({ length: 30 }, (_, i) => task(`t${i}`, 'incoming'));
    const board = await gatherBoard({ workspace, queue: queueOf(...many, ...(await queue().list())), ledger });
    const lines = renderBoard(board, cols, rows).split('\n');
    expect(lines.length).toBeLessThanOrEqual(rows);
    if (rows > 10) expect(lines.length).toBe(rows);
    for (const line of lines) expect(widthOf(line)).toBeLessThanOrEqual(cols);
    if (cols >= 100 && rows >= 24) {
      expect(lines.at(-1)).toBe('q quits');
      expect(lines.join('\n')).toMatch(/incoming 31 +claimed 1/);
      expect(lines.join('\n')).toMatch(/… \d+ more/);
    }
  });

  it('is another one when something changed, not when time went by', async () => {
    putDaemon(workspace);
    put(workspace.lock('run'), lockOf('run'));
    const a = await gatherStatus({ workspace, info, queue: queue(), ledger, now: NOW });
    const b = await gatherStatus({ workspace, info, queue: queue(), ledger, now: NOW + 1000 });
    expect(changeKey(a)).toBe(changeKey(b));
    expect(changeKey(await gatherStatus({ workspace, info, queue: queueOf(), ledger, now: NOW }))).not.toBe(
      changeKey(a),
    );
  });
});
