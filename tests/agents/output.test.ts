// The output of a run: however it comes, however often the daemon restarts and whatever is cut out, no event is lost or halved.
import { appendFileSync, existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { ClaudeReader } from '../../daemon/agents/claude/stream.ts';
import { GeminiReader } from '../../daemon/agents/gemini/stream.ts';
import { OpencodeReader } from '../../daemon/agents/opencode/stream.ts';
import { Output } from '../../daemon/agents/output.ts';
import type { AgentEvent, Reader } from '../../daemon/agents/port.ts';
import { StreamReader } from '../../daemon/agents/stream.ts';
import { cutOf, punch, readCuts } from '../../daemon/process/cut.ts';
import { tailOf } from '../../daemon/process/lines.ts';
import { tempDir } from '../process/helpers.ts';

const probe = join(mkdtempSync(join(tmpdir(), 'towpath-probe-')), 'stdout');
writeFileSync(probe, 'x'.repeat(100_000));
const unable = await punch(probe, { from: 4096, to: 8192 });
rmSync(dirname(probe), { recursive: true });
if (unable !== null) console.error(`\n*** NOT RUN: the tests that cut holes into files: ${unable}\n`);

const LIMITS = { keep: 64 * 1024, disk_free: 0 };
const allocated = (path: string) => statSync(path).blocks * 512;
const lineOf = fc.oneof(
  { weight: 4, arbitrary: fc.string({ unit: 'grapheme', maxLength: 300 }).map((text) => text.replace(/[\r\n]/g, '')) },
  { weight: 2, arbitrary: fc.nat(20_000).map((n) => JSON.stringify({ type: 'log', content: 'ü'.repeat(n) })) },
  { weight: 2, arbitrary: fc.nat(9).map((id) => JSON.stringify({ type: 'tool_call', id: `t${id}`, name: 'x' })) },
  { weight: 2, arbitrary: fc.nat(9).map((id) => JSON.stringify({ type: 'tool_result', id: `t${id}`, content: 'y' })) },
  { weight: 1, arbitrary: fc.constant('{"type":"question","content":"Which?"}') },
  { weight: 1, arbitrary: fc.constant('{"type":"result","success":false,"output":"no","session":"s"}') },
);

/** Writes in chunks, reads now and then, restarts now and then; returns what the last reader knows and what each one told. */
async function play(dir: string, bytes: Buffer, steps: { bytes: number; restart: boolean }[], fresh: () => Reader) {
  const path = join(dir, 'stdout');
  writeFileSync(path, '');
  let told: AgentEvent[] = [];
  const lives = [told];
  const begin = (reader: Reader) => ({ reader, output: new Output(dir, reader, LIMITS, (event) => told.push(event)) });
  let now = begin(fresh());
  let at = 0;
  for (const step of steps) {
    appendFileSync(path, bytes.subarray(at, at + step.bytes));
    at += step.bytes;
    await now.output.poll();
    if (!step.restart) continue;
    told = [];
    lives.push(told);
    now = begin(fresh());
  }
  appendFileSync(path, bytes.subarray(at));
  await now.output.end();
  return { reader: now.reader, lives, path };
}

test.skipIf(unable)(
  'whatever is cut and whenever it restarts: no event lost, none half, the same end',
  async () => {
    let cuts = 0;
    await fc.assert(
      fc.asyncProperty(
        fc.array(lineOf, { minLength: 20, maxLength: 120, size: 'max' }),
        fc.array(fc.record({ bytes: fc.nat(60_000), restart: fc.boolean() }), { maxLength: 20, size: 'max' }),
        async (lines, steps) => {
          const dir = tempDir();
          const bytes = Buffer.from(lines.map((line) => `${line}\n`).join(''));
          const alone = new StreamReader();
          const expected = lines.flatMap((line) => alone.line(line));
          const { reader, lives, path } = await play(dir, bytes, steps, () => new StreamReader());
          const end = { code: 1, signal: null, stderr: '', stdout: '' };
          expect(reader.conclude(end)).toEqual(alone.conclude(end));
          expect([reader.openTools, reader.finished]).toEqual([alone.openTools, alone.finished]);
          // Each life tells a stretch of the events; together they leave none out.
          let covered = 0;
          for (const told of lives) {
            const from = told.length === 0 ? covered : find(expected, told, covered);
            expect(from).toBeLessThanOrEqual(covered);
            covered = Math.max(covered, from + told.length);
          }
          expect(covered).toBe(expected.length);
          if (existsSync(join(dir, 'cut.json'))) {
            cuts += 1;
            expect(allocated(path)).toBeLessThan(LIMITS.keep * 1.5);
            expect(readFileSync(path).subarray(0, 16_384)).toEqual(bytes.subarray(0, 16_384));
            expect(tailOf(path, 30_000)).toBe(text(bytes, 30_000));
          }
        },
      ),
      { numRuns: 40 },
    );
    expect(cuts).toBeGreaterThan(5);
  },
  60_000,
);

/** Where `part` begins in `all`, at `latest` or before. */
function find(all: AgentEvent[], part: AgentEvent[], latest: number): number {
  const wanted = JSON.stringify(part);
  for (let from = latest; from >= 0; from--)
    if (JSON.stringify(all.slice(from, from + part.length)) === wanted) return from;
  return Number.POSITIVE_INFINITY;
}

/** As tailOf: from a whole character on. */
function text(bytes: Buffer, last: number): string {
  let from = Math.max(0, bytes.length - last);
  while ((bytes[from] ?? 0) >> 6 === 0b10) from += 1;
  return bytes.toString('utf8', from);
}

test.skipIf(unable)(
  'a line that is longer than all that is kept is cut too, and what follows it is whole',
  async () => {
    const dir = tempDir();
    const long = 5_000_000;
    const bytes = Buffer.from(`first\n${'x'.repeat(long)}\n{"type":"result","success":true,"output":"fine"}\n`);
    const steps = Array.from({ length: 10 }, (_, n) => ({ bytes: 490_000, restart: n === 4 || n === 7 }));
    const { reader, lives, path } = await play(dir, bytes, steps, () => new StreamReader());
    expect(lives.at(-1)!.map((event) => event.type)).toEqual(['log', 'result']);
    const line = lives.at(-1)![0] as { content: string };
    expect(line.content).toMatch(new RegExp(`^x+ \\[… cut, ${long} bytes in all\\]$`));
    expect(reader.finished).toBe(true);
    expect(allocated(path)).toBeLessThan(LIMITS.keep * 1.5);
  },
);

const message = (id: string, block: object) =>
  JSON.stringify({
    ...{ type: 'assistant', parent_tool_use_id: null },
    message: { id, model: 'm', content: [block], usage: { input_tokens: 7, output_tokens: 3 } },
  });
/** Streams that hold whatever a reader has to remember. */
const STREAMS: [string, () => Reader, string[]][] = [
  [
    'claude',
    () => new ClaudeReader(),
    [
      '{"type":"system","subtype":"init","session_id":"s-1","model":"m"}',
      message('m1', { type: 'text', text: 'I look.' }),
      message('m1', { type: 'tool_use', id: 't1', name: 'Bash', input: { command: 'ls' } }),
      '{"type":"user","message":{"content":[{"type":"tool_result","tool_use_id":"t1","content":"a"}]}}',
      '{"type":"rate_limit_event","rate_limit_info":{"status":"rejected","resetsAt":1900000000}}',
      message('m2', { type: 'tool_use', id: 't2', name: 'Bash', input: { command: 'sleep 9' } }),
      '{"type":"result","subtype":"success","is_error":false,"result":"done","session_id":"s-1","usage":{"input_tokens":1},"total_cost_usd":0.5}',
      message('m3', { type: 'text', text: 'One thing more.' }),
      '{"type":"assistant","error":"overloaded","message":{"model":"<synthetic>","content":[{"type":"text","text":"busy"}]}}',
    ],
  ],
  [
    'gemini',
    () => new GeminiReader(),
    [
      '{"type":"init","session_id":"s-1","model":"m"}',
      '{"type":"message","role":"assistant","content":"I lo","delta":true}',
      '{"type":"message","role":"assistant","content":"ok.","delta":true}',
      '{"type":"tool_use","tool_name":"run","tool_id":"t1","parameters":{"command":"ls"}}',
      '{"type":"tool_result","tool_id":"t1","status":"success","output":"a"}',
      '{"type":"tool_use","tool_name":"run","tool_id":"t2","parameters":{"command":"sleep 9"}}',
      '{"type":"error","severity":"warning","message":"Loop detected"}',
      '{"type":"message","role":"assistant","content":"Done.","delta":true}',
      '{"type":"result","timestamp":"2026-11-21T10:00:00Z","status":"success","stats":{"input":5,"input_tokens":5,"total_tokens":7}}',
    ],
  ],
  [
    'opencode',
    () => new OpencodeReader(),
    [
      '{"type":"towpath","session":"s-1"}',
      '{"type":"towpath","model":"p/m"}',
      '{"type":"towpath","call":{"id":"c1","tool":"bash","input":{"command":"ls"}}}',
      '{"type":"step_start","sessionID":"s-1","part":{}}',
      '{"type":"text","sessionID":"s-1","part":{"text":"I look."}}',
      '{"type":"tool_use","sessionID":"s-1","part":{"tool":"bash","callID":"c1","state":{"status":"completed","output":"a"}}}',
      '{"type":"step_finish","sessionID":"s-1","part":{"reason":"tool-calls","tokens":{"input":5,"output":2},"cost":0.5}}',
      '{"type":"error","timestamp":1800000000000,"sessionID":"s-1","error":{"name":"ContextOverflowError","data":{"message":"long"}}}',
      '{"type":"step_finish","sessionID":"s-1","part":{"reason":"stop"}}',
      '{"type":"text","sessionID":"s-1","part":{"text":"go on","synthetic":true}}',
      '{"type":"towpath","status":{"type":"retry","attempt":1,"message":"full","next":4000000000000}}',
      '{"type":"text","sessionID":"s-1","part":{"text":"Done."}}',
      '{"type":"step_finish","sessionID":"s-1","part":{"reason":"stop"}}',
      '{"type":"towpath","status":{"type":"idle"}}',
    ],
  ],
];

test.each(STREAMS)(
  'a reader of %s that takes over the state of another ends as that would have',
  (_name, fresh, lines) => {
    for (const code of [0, 1])
      for (let until = 0; until <= lines.length; until++)
        for (let at = 0; at <= until; at++) {
          const [alone, first, second] = [fresh(), fresh(), fresh()];
          for (const line of lines.slice(0, until)) alone.line(line);
          for (const line of lines.slice(0, at)) first.line(line);
          second.restore(JSON.parse(JSON.stringify(first.state)));
          for (const line of lines.slice(at, until)) second.line(line);
          const end = { code, signal: null, stderr: '', stdout: '' };
          expect(second.conclude(end)).toEqual(alone.conclude(end));
          expect(second.state).toEqual(alone.state);
        }
  },
);

/** Keeps the lines of both streams, and in its state how many there were. */
class BothReader extends StreamReader {
  #seen = { out: 0, err: 0 };
  override line(text: string): AgentEvent[] {
    this.#seen.out += 1;
    return super.line(text);
  }
  errorLine(text: string): AgentEvent[] {
    this.#seen.err += 1;
    return [{ type: 'log', content: `stderr: ${text}` }];
  }
  override get state(): unknown {
    return this.#seen;
  }
  override restore(state: unknown): void {
    this.#seen = { ...(state as { out: number; err: number }) };
  }
}

test.skipIf(unable)('a reader that wants stderr gets each line of it once, over restarts and cuts', async () => {
  const dir = tempDir();
  let reader = new BothReader();
  let last = '';
  const begin = () => {
    reader = new BothReader();
    return new Output(dir, reader, LIMITS, (event) => (last = 'content' in event ? event.content : ''));
  };
  let output = begin();
  const write = (name: string, from: number, to: number) => {
    for (let n = from; n < to; n++) appendFileSync(join(dir, name), `${n} ${'y'.repeat(990)}\n`);
  };
  let at = 0;
  for (const [out, err] of [
    [10, 200],
    [100, 50],
    [0, 300],
    [5, 1],
  ] as const) {
    write('stdout', at, at + out);
    write('stderr', at, at + err);
    at += 1000;
    expect(await output.poll()).toBeGreaterThan(0);
    output = begin();
    await output.poll();
  }
  appendFileSync(join(dir, 'stderr'), 'the end');
  await output.end();
  expect(reader.state).toEqual({ out: 115, err: 552 });
  expect(last).toBe('stderr: the end');
  expect(Object.keys(readCuts(dir)).sort()).toEqual(['reader', 'stderr', 'stdout']);
  expect(allocated(join(dir, 'stderr'))).toBeLessThan(LIMITS.keep * 2);
});

test('what is cut: a head, a tail, and nothing that was not read', () => {
  expect(cutOf(100_000, 100_000, 100_000, undefined)).toBeUndefined();
  expect(cutOf(1_000_000, 1_000_000, 100_000, undefined)).toEqual({ from: 28_672, to: 946_176 });
  expect(cutOf(1_000_000, 500_000, 100_000, undefined)).toEqual({ from: 28_672, to: 499_712 });
  expect(cutOf(1_000_000, 0, 100_000, undefined)).toBeUndefined();
  const before = { from: 28_672, to: 946_176 };
  expect(cutOf(1_010_000, 1_010_000, 100_000, before)).toBeUndefined();
  expect(cutOf(1_030_000, 1_030_000, 100_000, before)).toEqual({ from: 28_672, to: 978_944 });
});

test('where nothing can be cut out, far more than the limit is too much, and it says why', async () => {
  const dir = tempDir();
  const path = process.env['PATH'];
  process.env['PATH'] = dir;
  try {
    const output = new Output(dir, new StreamReader(), LIMITS, () => {});
    const line = `${'x'.repeat(999)}\n`;
    writeFileSync(join(dir, 'stdout'), line.repeat(500));
    await output.poll();
    expect(output.over).toBeNull();
    appendFileSync(join(dir, 'stdout'), line.repeat(500));
    await output.poll();
    expect(output.over).toMatch(
      /^it printed 1 MB, and limits.run_output is 0 MB: nothing can be cut out here \(.*fallocate/,
    );
    expect(readCuts(dir).stdout).toBeUndefined();
  } finally {
    process.env['PATH'] = path;
  }
});
