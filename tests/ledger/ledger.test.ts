// The ledger: batches, queries, damage, deletion, readers beside a writer, and a writer that is killed.
import { type ChildProcess, spawn } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type EventMap, Events } from '../../daemon/events.ts';
import { type Ledger, openLedger } from '../../daemon/ledger/ledger.ts';
import { Workspace } from '../../daemon/paths.ts';

let workspace: Workspace;
let open: Ledger[] = [];
let children: ChildProcess[] = [];
const ledger = (options = {}) => {
  const made = openLedger(workspace, options);
  open.push(made);
  return made;
};

beforeEach(() => {
  workspace = new Workspace(mkdtempSync(join(tmpdir(), 'towpath-ledger-')));
});
afterEach(() => {
  for (const child of children) child.kill('SIGKILL');
  for (const one of open) one.close();
  [open, children] = [[], []];
  rmSync(workspace.root, { recursive: true, force: true });
});

const run = (task: string, attempt: number, more: Partial<EventMap['attempt_finished']> = {}) => ({
  ...{ task, attempt, agent: 'claude', model: 'sonnet', role: 'implementer', outcome: 'ok' as const, reason: '' },
  ...{ duration_ms: 1500, input: 10, output: 20, cache_read: 30, cache_write: 40, cost_usd: 0.5 },
  ...more,
});
const start = (task: string, attempt: number, resumed = false) => ({
  ...{ task, attempt, agent: 'claude', model: 'sonnet', role: 'implementer', branch: null, resumed },
});
const move = (task: string, to: EventMap['transition']['to']) => ({ task, from: 'incoming' as const, to });
const asides = () =>
  readdirSync(workspace.state).filter((name) => name.startsWith('ledger.db.aside-') && !/-(wal|shm)$/.test(name));

describe('recording', () => {
  it('writes what was emitted in one turn as one batch, without what agents print', async () => {
    const events = new Events();
    const one = ledger();
    one.attach(events);
    events.emit('warning', { task: 'a', message: 'odd' });
    events.emit('agent_output', { task: 'a', attempt: 1, kind: 'log', text: 'chatter' });
    events.emit('transition', move('a', 'claimed'));
    await sleep(20);
    const rows = openReader().events();
    expect(rows.map((row) => row.event)).toEqual(['warning', 'transition']);
    expect(rows[1]).toMatchObject({ task: 'a', data: { from: 'incoming', to: 'claimed' } });
  });

  it('answers events after an id, of a task, and the latest few', () => {
    const events = new Events();
    const one = ledger();
    one.attach(events);
    for (const task of ['a', 'b', 'a', 'b']) events.emit('warning', { task, message: 'm' });
    expect(one.events({ task: 'a' }).map((e) => e.id)).toEqual([1, 3]);
    expect(one.events({ after: 2, limit: 1 }).map((e) => e.id)).toEqual([3]);
    expect(one.events({ limit: 2 }).map((e) => e.id)).toEqual([3, 4]);
    expect(one.lastId()).toBe(4);
  });

  it('keeps one row a run, though it is started and finished twice', () => {
    const events = new Events();
    const one = ledger();
    one.attach(events);
    events.emit('attempt_started', start('a', 1));
    expect(one.attempts()).toMatchObject([{ task: 'a', attempt: 1, outcome: null, cost_usd: null }]);
    events.emit('attempt_started', start('a', 1, true));
    events.emit('attempt_finished', run('a', 1));
    events.emit('attempt_finished', run('a', 1));
    expect(one.attempts({ task: 'a' })).toMatchObject([
      {
        outcome: 'ok',
        duration_ms: 1500,
        tokens: { input: 10, output: 20, cache_read: 30, cache_write: 40 },
        cost_usd: 0.5,
      },
    ]);
    events.emit('attempt_finished', run('a', 1, { role: 'reviewer', cost_usd: 0.1 }));
    expect(one.attempts()).toHaveLength(2);
    expect(one.spent({ since: '2000-01-01' })).toBeCloseTo(0.6);
    expect(one.spent({ task: 'b', since: '2000-01-01' })).toBe(0);
    expect(one.spent({ since: '2999-01-01' })).toBe(0);
  });

  it('sums runs, outcomes and cost, and what an accepted task took', () => {
    const events = new Events();
    const one = ledger();
    one.attach(events);
    events.emit('attempt_finished', run('a', 1, { outcome: 'check_failed' }));
    events.emit('attempt_finished', run('a', 2));
    events.emit('attempt_finished', run('b', 1, { agent: 'codex', model: null, cost_usd: null }));
    events.emit('transition', move('a', 'done'));
    const stats = one.stats();
    expect(stats.total).toMatchObject({ runs: 3, outcomes: { ok: 2, check_failed: 1 }, cost_usd: 1, cost_unknown: 1 });
    expect(stats.by_agent.map((g) => [g.key, g.runs])).toEqual([
      ['claude', 2],
      ['codex', 1],
    ]);
    expect(stats.by_model.map((g) => g.key)).toEqual(['(default)', 'sonnet']);
    expect(stats.by_day).toHaveLength(1);
    expect(stats.accepted).toMatchObject({ cost_usd: 1, cost_per_task_usd: 1, tasks: [{ task: 'a', runs: 2 }] });
    expect(one.reached('done', '2000-01-01')).toBe(1);
    expect(one.stats({ since: '2999-01-01' }).total.runs).toBe(0);
  });

  it('tells the runs of each project, also of a file that an earlier version began', () => {
    const events = new Events();
    const first = ledger();
    first.attach(events);
    events.emit('attempt_finished', run('a', 1, { project: 'site' }));
    events.emit('attempt_finished', run('b', 1));
    events.emit('attempt_started', { ...start('c', 1), project: 'app' });
    const keys = (one: Ledger) => one.stats().by_project.map(({ key, runs, cost_usd }) => [key, runs, cost_usd]);
    const all = [
      ['(none)', 1, 0.5],
      ['app', 1, 0],
      ['site', 1, 0.5],
    ];
    expect(keys(first)).toEqual(all);
    expect(first.costs('2000-01-01')).toContainEqual(expect.objectContaining({ project: 'site', usd: 0.5 }));
    first.close();
    const db = new DatabaseSync(workspace.ledger);
    db.exec('ALTER TABLE attempts DROP COLUMN project');
    db.close();
    const reader = ledger({ readonly: true });
    expect(reader.stats()).toMatchObject({ total: { runs: 3 }, by_project: [] });
    expect(reader.warnings).toEqual([]);
    const again = ledger();
    // Of a run that has not ended no event tells it.
    expect(keys(again)).toEqual([
      ['(none)', 2, 0.5],
      ['site', 1, 0.5],
    ]);
    expect(keys(reader)).toEqual(keys(again));
    expect(again.warnings).toEqual([]);
  });

  it('counts a run as what the checks said of it, not as what its agent said', () => {
    const events = new Events();
    const one = ledger();
    one.attach(events);
    events.emit('attempt_finished', run('a', 1));
    events.emit('attempt_finished', run('a', 1, { role: 'reviewer' }));
    events.emit('transition', {
      task: 'a',
      from: 'provisional',
      to: 'incoming',
      outcome: 'rejected',
      reason: 'not so',
    });
    events.emit('attempt_finished', run('a', 2));
    events.emit('transition', { task: 'a', from: 'provisional', to: 'failed', outcome: 'cancelled' });
    expect(one.attempts().map((row) => [row.attempt, row.role, row.outcome])).toEqual([
      [1, 'implementer', 'rejected'],
      [1, 'reviewer', 'ok'],
      [2, 'implementer', 'ok'],
    ]);
  });

  it('leaves out one event that no table can take, and keeps the others', () => {
    const problems: string[] = [];
    const one = ledger({ onProblem: (m: string) => problems.push(m) });
    one.record({ at: 'x', event: 'transition', task: 'a', from: null, to: undefined } as never);
    one.record({ at: 'x', event: 'warning', message: 'kept' });
    expect(one.events().map((e) => e.event)).toContain('warning');
    expect(problems).toHaveLength(1);
  });

  it('keeps checks and hooks, and texts with NUL and lone surrogates', () => {
    const events = new Events();
    const one = ledger();
    one.attach(events);
    events.emit('check_finished', {
      ...{ task: 'a', attempt: 1, command: 'npm test', code: 1, ok: false, duration_ms: 12.6, tree: 'abc' },
    });
    events.emit('warning', { message: 'a\0b\ud800' });
    expect(one.checks({ task: 'a' })).toMatchObject([{ command: 'npm test', ok: false, duration_ms: 13 }]);
    expect(one.events().at(-1)?.data['message']).toBe('ab\ud800');
  });
});

describe('a file that cannot serve', () => {
  const cases: [string, (path: string) => void][] = [
    ['garbage', (path) => writeFileSync(path, 'no database, '.repeat(500))],
    ['a folder', (path) => mkdirSync(path)],
    ['another version', (path) => database(path, 'CREATE TABLE t (a); PRAGMA user_version = 99')],
    ['a database of something else', (path) => database(path, 'CREATE TABLE t (a)')],
  ];
  it.each(cases)('is set aside and begun anew: %s', (_, spoil) => {
    mkdirSync(workspace.state);
    spoil(workspace.ledger);
    expect(openReader().events()).toEqual([]);
    const one = ledger();
    expect(one.warnings).toHaveLength(1);
    expect(one.warnings[0]).toMatch(/kept as .*ledger\.db\.aside-/);
    expect(asides()).toHaveLength(1);
    one.record({ at: 'now', event: 'warning', message: 'm' });
    expect(one.events()).toHaveLength(1);
  });

  it('is replaced when it is damaged in the middle of the work', () => {
    const one = ledger();
    one.record({ at: 'now', event: 'warning', message: 'before' });
    one.flush();
    rmSync(workspace.ledger);
    for (const suffix of ['-wal', '-shm']) rmSync(workspace.ledger + suffix, { force: true });
    writeFileSync(workspace.ledger, 'garbage '.repeat(1000));
    one.record({ at: 'now', event: 'warning', message: 'after' });
    expect(one.flush()).toBe(true);
    expect(openReader().events()).toMatchObject([{ data: { message: 'after' } }]);
    expect(asides()).toHaveLength(1);
  });

  it.each([['the file'], ['its folder']])('goes on in a new file when %s is deleted', (what) => {
    const one = ledger();
    one.record({ at: 'now', event: 'warning', message: 'before' });
    one.flush();
    rmSync(what === 'the file' ? workspace.ledger : workspace.state, { recursive: true });
    one.record({ at: 'now', event: 'warning', message: 'after' });
    expect(one.flush()).toBe(true);
    one.record({ at: 'now', event: 'warning', message: 'more' });
    expect(one.flush()).toBe(true);
    expect(
      openReader()
        .events()
        .map((e) => e.data['message']),
    ).toEqual(['after', 'more']);
  });

  it('reports once that it cannot be written, and writes what waited when it can', async () => {
    const problems: string[] = [];
    writeFileSync(workspace.state, 'a file where the folder should be');
    const one = ledger({ onProblem: (m: string) => problems.push(m) });
    for (let i = 0; i < 3; i++) one.record({ ...done, attempt: i });
    expect(one.flush()).toBe(false);
    expect(one.flush()).toBe(false);
    expect(problems).toHaveLength(1);
    expect(one.spent({ since: '2000-01-01' })).toBeCloseTo(1.5);
    rmSync(workspace.state);
    await until(() => openReader().attempts().length === 3);
    expect(one.spent({ since: '2000-01-01' })).toBeCloseTo(1.5);
  });
});

describe('beside other processes', () => {
  it('waits for a lock of another process, and never sets a busy file aside', async () => {
    const one = ledger();
    const child = node(`const db = new DatabaseSync(path); db.exec('BEGIN EXCLUSIVE'); console.log('held');
      setTimeout(() => { db.exec('COMMIT'); setInterval(() => {}, 1000) }, 1500)`);
    await output(child, 'held');
    one.record({ at: 'now', event: 'warning', message: 'm' });
    expect(one.flush()).toBe(false);
    expect(ledger({ onProblem: () => {} }).warnings.join()).not.toContain('kept as');
    await until(() => openReader().events().length === 1);
    expect(asides()).toEqual([]);
  });

  it('is empty and makes nothing when a reader finds no file', () => {
    const one = openReader();
    expect([one.events(), one.attempts(), one.lastId(), one.stats().total.runs]).toEqual([[], [], 0, 0]);
    expect(existsSync(workspace.state)).toBe(false);
    one.record({ at: 'now', event: 'warning', message: 'm' });
    expect(one.flush()).toBe(true);
    expect(existsSync(workspace.state)).toBe(false);
  });

  it('lets a reader see each batch while the writer goes on, also after the file is begun anew', () => {
    const [writer, reader] = [ledger(), openReader()];
    for (let i = 1; i <= 5; i++) {
      writer.record({ at: 'now', event: 'warning', message: String(i) });
      writer.flush();
      expect(reader.lastId()).toBe(i);
    }
    rmSync(workspace.ledger);
    writer.record({ at: 'now', event: 'warning', message: 'new' });
    writer.flush();
    expect(reader.events().map((e) => e.data['message'])).toEqual(['new']);
    expect(reader.warnings).toEqual([]);
  });

  it('keeps every flushed event of a writer that is killed', async () => {
    for (let round = 0; round < 3; round++) {
      const child = node(`const { openLedger } = await import(${JSON.stringify(source('ledger/ledger.ts'))});
        const { Workspace } = await import(${JSON.stringify(source('paths.ts'))});
        const one = openLedger(new Workspace(${JSON.stringify(workspace.root)}));
        for (let n = 1; ; n++) { one.record({ at: 'now', event: 'warning', message: 'x'.repeat(300) });
          one.flush(); process.stdout.write(one.lastId() + '\\n'); await new Promise(setImmediate) }`);
      let said = '';
      child.stdout?.on('data', (chunk) => {
        said += String(chunk);
      });
      await until(() => said.includes('\n'), 10_000);
      await sleep(100 + round * 100);
      child.kill('SIGKILL');
      await new Promise((resolve) => child.once('close', resolve));
      const acknowledged = Number(said.slice(0, said.lastIndexOf('\n')).split('\n').at(-1));
      expect(acknowledged).toBeGreaterThan(0);
      expect(openReader().lastId()).toBeGreaterThanOrEqual(acknowledged);
      const again = ledger();
      expect(again.warnings).toEqual([]);
      expect(again.lastId()).toBeGreaterThanOrEqual(acknowledged);
      again.close();
    }
  });

  it.skipIf(process.getuid?.() === 0)('tells a reader that may not read, without throwing', () => {
    ledger().close();
    chmodSync(workspace.ledger, 0);
    const one = openReader();
    expect(one.events()).toEqual([]);
    expect(one.warnings).toHaveLength(1);
  });
});

const done = { at: '2026-01-01T00:00:00.000Z', event: 'attempt_finished' as const, ...run('a', 1) };
const openReader = () => ledger({ readonly: true });
const source = (name: string) => new URL(`../../daemon/${name}`, import.meta.url).pathname;

function database(path: string, sql: string): void {
  const db = new DatabaseSync(path);
  db.exec(sql);
  db.close();
}

function node(script: string): ChildProcess {
  const head = `import { DatabaseSync } from 'node:sqlite'; const path = ${JSON.stringify(workspace.ledger)};`;
  const child = spawn(process.execPath, ['--input-type=module', '-e', head + script], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  children.push(child);
  return child;
}

const output = (child: ChildProcess, text: string) =>
  new Promise<void>((resolve) => {
    child.stdout?.on('data', (chunk) => String(chunk).includes(text) && resolve());
  });

async function until(condition: () => boolean, ms = 8000): Promise<void> {
  for (const end = Date.now() + ms; Date.now() < end; await sleep(50)) if (condition()) return;
  throw new Error('the condition never came true');
}
