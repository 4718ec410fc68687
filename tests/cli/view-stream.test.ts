// What streams: logs, events, progress and the live board, with readers that leave and runs that end.
import { appendFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { setImmediate as tick } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { showEvents } from '../../daemon/cli/view/events.ts';
import { type LogsOptions, showLogs } from '../../daemon/cli/view/logs.ts';
import { outputTo } from '../../daemon/cli/view/output.ts';
import { progressWriter, showProgress } from '../../daemon/cli/view/progress.ts';
import { gatherBoard, watchBoard } from '../../daemon/cli/view/watch.ts';
import { type EventMap, Events } from '../../daemon/events.ts';
import { openLedger } from '../../daemon/ledger/ledger.ts';
import type { Workspace } from '../../daemon/paths.ts';
import {
  CONTROLS,
  ESCAPE,
  FakeStream,
  HOSTILE,
  jsonReader,
  memory,
  NOW,
  put,
  queueOf,
  task,
  tempWorkspace,
} from './view-fixtures.ts';

let workspace: Workspace;
beforeEach(() => {
  workspace = tempWorkspace();
});
afterEach(() => rmSync(workspace.root, { recursive: true, force: true }));

const plain = () => ({ width: 60, color: false, now: NOW });
const clean = (text: string) => !CONTROLS.test(text) && !text.includes(ESCAPE);

describe('logs', () => {
  const file = (attempt: number, name: string) => join(workspace.run('a', attempt), name);
  const logs = async (more: Partial<LogsOptions> = {}, out = memory()) => {
    await showLogs({ workspace, id: 'a', readerFor: jsonReader, ...more }, out, plain);
    return out.text;
  };
  const begin = (attempt: number) =>
    put(file(attempt, 'run.json'), {
      agent: 'claude',
      model: 'sonnet',
      role: 'implementer',
      started_at: new Date(NOW - 60_000).toISOString(),
    });
  const say = (attempt: number, ...events: unknown[]) => {
    begin(attempt);
    put(
      file(attempt, 'stdout'),
      events.map((event) => (typeof event === 'string' ? event : JSON.stringify(event))).join('\n'),
    );
  };

  it('turns events into marked lines, and tells how it ended', async () => {
    say(
      1,
      { type: 'session', session: 's1' },
      { type: 'agent_thought', content: 'Let me look.\nThen act.' },
      { type: 'tool_call', name: 'Bash', content: 'npm test' },
      { type: 'tool_result', content: '1\n2\n3\n4\n5\n6', is_error: true },
      'a plain line',
      { type: 'error', content: 'oops' },
      { type: 'result', content: 'All done', success: true },
    );
    put(file(1, 'verdict.json'), {
      verdict: { outcome: 'failed', reason: 'exit 1', output: '', usage: null },
      duration_ms: 65_000,
    });
    put(file(1, 'stderr'), 'warning: x\n');
    expect(await logs()).toBe(
      'a  run 1, claude sonnet, 1m ago\nsession s1\n· Let me look.\n  Then act.\n→ Bash npm test\n    1\n    2\n    3\n    4\n    … 2 more lines\n  a plain line\n✗ oops\n✓ All done\nstderr:\n  warning: x\nfailed  1m05s, exit 1\n',
    );
  });

  it('lets nothing hostile through, unless it is asked for raw bytes', async () => {
    const types = ['log', 'agent_thought', 'tool_call', 'tool_result', 'question', 'error', 'result'];
    say(
      1,
      HOSTILE.replaceAll('\n', ''),
      { type: 'session', session: HOSTILE },
      ...types.map((type) => ({ type, name: HOSTILE, content: HOSTILE, success: false })),
    );
    put(file(1, 'stderr'), HOSTILE);
    put(file(1, 'verdict.json'), {
      verdict: { outcome: 'failed', reason: HOSTILE, output: '', usage: null },
      duration_ms: 1,
    });
    expect(clean(await logs())).toBe(true);
    expect(await logs({ raw: true })).toContain('\x1b[31m');
  });

  it('prints events as NDJSON, and whole runs by their number', async () => {
    say(1, { type: 'log', content: 'one' });
    say(2, { type: 'log', content: 'two' });
    expect((await logs({ json: true })).trim()).toBe('{"task":"a","attempt":2,"type":"log","content":"two"}');
    expect(await logs({ attempt: 1 })).toContain('one');
    await expect(logs({ attempt: 7 })).rejects.toMatchObject({ code: 'not_found', next: 'there is 1, 2' });
    await expect(logs({ id: 'none' })).rejects.toMatchObject({ code: 'not_found', next: 'see "towpath why none"' });
  });

  it('follows a run that grows in the middle of a character, goes on to the next one, and ends with the last', async () => {
    const bytes = Buffer.from('{"type":"log","content":"grün"}\n');
    const cut = bytes.indexOf(0xbc);
    const steps = [
      () => begin(1),
      () => put(file(1, 'stdout'), ''),
      () => appendFileSync(file(1, 'stdout'), bytes.subarray(0, cut)),
      () => appendFileSync(file(1, 'stdout'), bytes.subarray(cut)),
      () => {
        say(2, { type: 'log', content: 'second' });
        appendFileSync(file(1, 'stdout'), 'last words');
        put(file(1, 'exit'), '0');
      },
      () => put(file(2, 'exit'), '0'),
    ];
    const text = await logs({ follow: true, sleep: async () => void steps.shift()?.() });
    expect(steps).toEqual([]);
    expect(text).toMatch(/grün\n {2}last words\n.*run 2.*\n {2}second\n$/);
  });

  it('ends when the signal comes or the reader has left', async () => {
    say(1, { type: 'log', content: 'x' });
    const stop = new AbortController();
    await logs({ follow: true, signal: stop.signal, sleep: async () => stop.abort() });
    const out = memory();
    await logs({ follow: true, sleep: async () => out.leave() }, out);
  });

  it('holds a line of any length in bounded memory', async () => {
    begin(1);
    put(file(1, 'stdout'), `${'x'.repeat(5_000_000)}\n{"type":"log","content":"after"}\n`);
    const text = await logs();
    expect(text.length).toBeLessThan(2000);
    expect(text).toContain('after');
  });
});

describe('events', () => {
  const fill = (ledger: ReturnType<typeof openLedger>, ...messages: string[]) => {
    for (const message of messages)
      ledger.record({ at: '2026-11-20T11:00:00.000Z', event: 'warning', task: 'a', message });
    ledger.flush();
  };

  it('prints a line each, or the events themselves', async () => {
    const ledger = openLedger(workspace);
    fill(ledger, 'one', HOSTILE);
    const [text, json] = [memory(), memory()];
    await showEvents(ledger, text, plain);
    expect(text.text.split('\n')).toHaveLength(4);
    expect(text.text).toMatch(/\n\d\d:00:00 {2}a {9}warning one\n/);
    expect(clean(text.text)).toBe(true);
    await showEvents(ledger, json, plain, { json: true, limit: 1 });
    expect(JSON.parse(json.text)).toEqual({
      id: 2,
      at: '2026-11-20T11:00:00.000Z',
      event: 'warning',
      task: 'a',
      message: HOSTILE.replace('\0', ''),
    });
    ledger.close();
  });

  it('follows by id, also into a ledger that was begun anew, and ends with its reader', async () => {
    const [writer, reader] = [openLedger(workspace), openLedger(workspace, { readonly: true })];
    fill(writer, 'one', 'two');
    const out = memory();
    const steps = [
      () => fill(writer, 'three'),
      () => {
        rmSync(workspace.ledger);
        fill(writer, 'anew');
      },
      () => out.leave(),
    ];
    await showEvents(reader, out, plain, { follow: true, limit: 1, sleep: async () => steps.shift()?.() });
    expect(out.text.match(/warning \w+/g)).toEqual(['warning two', 'warning three', 'warning anew']);
    writer.close();
    reader.close();
  });
});

describe('progress', () => {
  const run: EventMap['attempt_finished'] = {
    task: 'fix',
    attempt: 1,
    outcome: 'check_failed',
    reason: 'npm test exited 1',
    agent: 'claude',
    model: 'sonnet',
    role: 'implementer',
    duration_ms: 190_000,
    input: 1000,
    output: 2000,
    cache_read: 0,
    cache_write: 0,
    cost_usd: 0.42,
  };
  const emitAll = (events: Events) => {
    events.emit('transition', { task: 'fix', from: 'incoming', to: 'claimed' });
    events.emit('attempt_started', {
      task: 'fix',
      attempt: 1,
      agent: 'claude',
      model: 'sonnet',
      role: 'implementer',
      branch: 'b',
      resumed: false,
    });
    events.emit('agent_output', { task: 'fix', attempt: 1, kind: 'log', text: 'chatter' });
    events.emit('check_finished', {
      task: 'fix',
      attempt: 1,
      command: `npm test ${HOSTILE}`,
      code: 1,
      ok: false,
      duration_ms: 1200,
      tree: null,
    });
    events.emit('attempt_finished', run);
    events.emit('transition', {
      task: 'fix',
      from: 'claimed',
      to: 'incoming',
      outcome: 'check_failed',
      reason: HOSTILE,
    });
  };

  it('is quiet, aligned, and safe', () => {
    const [events, out] = [new Events(), memory()];
    events.on(progressWriter(out, plain));
    emitAll(events);
    const lines = out.text
      .trimEnd()
      .split('\n')
      .map((line) => line.replace(/^\d\d:\d\d:\d\d/, 'T'));
    expect(lines.map((line) => line.slice(0, 36))).toEqual([
      'T  fix       incoming → claimed',
      'T  fix       run 1 began  claude son',
      'T  fix       ✗ npm test aredbcdefghi',
      'T  fix       run 1 ended check_faile',
      'T  fix       claimed → incoming  che',
    ]);
    expect(clean(out.text)).toBe(true);
    for (const line of out.text.split('\n')) expect(line.length).toBeLessThanOrEqual(60);
  });

  it('is NDJSON of the events with json, and colour only on a terminal', () => {
    const [events, tty, pipe, json] = [
      new Events(),
      new FakeStream({ isTTY: true }),
      new FakeStream(),
      new FakeStream({ isTTY: true }),
    ];
    showProgress(events, { stream: tty as never });
    showProgress(events, { stream: pipe as never });
    showProgress(events, { stream: json as never, json: true });
    emitAll(events);
    expect(tty.text.includes(ESCAPE)).toBe(!process.env['NO_COLOR'] && process.env['TERM'] !== 'dumb');
    expect(clean(pipe.text)).toBe(true);
    const rows = json.text
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line) as { event: string });
    expect(rows.map((row) => row.event)).toEqual([
      'transition',
      'attempt_started',
      'check_finished',
      'attempt_finished',
      'transition',
    ]);
  });

  it('outlives a reader that leaves', async () => {
    const [events, stream] = [new Events(), new FakeStream()];
    showProgress(events, { stream: stream as never });
    stream.broken = true;
    emitAll(events);
    await tick();
    emitAll(events);
    expect(outputTo(stream).closed).toBe(true);
  });
});

describe('watch', () => {
  const gather = () =>
    gatherBoard({
      workspace,
      queue: queueOf(task('a', 'incoming')),
      ledger: openLedger(workspace, { readonly: true }),
    });

  it('takes a terminal over, draws again when it is resized, and gives it back', async () => {
    const stdout = new FakeStream({ isTTY: true, columns: 100, rows: 20 });
    const stop = new AbortController();
    const done = watchBoard({
      gather,
      stdout: stdout as never,
      stdin: new FakeStream() as never,
      signal: stop.signal,
      every_ms: 60_000,
    });
    while (!stdout.text.includes('q quits')) await tick();
    expect(stdout.text.startsWith('\x1b[?1049h\x1b[?25l')).toBe(true);
    const before = stdout.text.length;
    stdout.columns = 50;
    stdout.emit('resize');
    expect(stdout.text.length).toBeGreaterThan(before);
    stop.abort();
    await done;
    expect(stdout.text.endsWith('\x1b[?25h\x1b[?1049l')).toBe(true);
    expect(stdout.listenerCount('resize')).toBe(0);
  });

  it('prints the status once a change without a terminal', async () => {
    const stdout = new FakeStream();
    const stop = new AbortController();
    let looks = 0;
    const board = async () => {
      if (++looks === 6) stop.abort();
      const tasks = looks < 4 ? [task('a', 'incoming')] : [];
      return gatherBoard({ workspace, queue: queueOf(...tasks), ledger: openLedger(workspace, { readonly: true }) });
    };
    await watchBoard({ gather: board, stdout: stdout as never, json: true, signal: stop.signal, every_ms: 1 });
    expect(
      stdout.text
        .trimEnd()
        .split('\n')
        .map((line) => (JSON.parse(line) as { counts: { incoming: number } }).counts.incoming),
    ).toEqual([1, 0]);
    expect(stdout.text).not.toContain('"ids"');
  });
});
