// Lines: no gap, no repetition, whole characters, bounded memory.
import { execFileSync } from 'node:child_process';
import { appendFileSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { follow, headOf, Splitter, tailOf } from '../../daemon/process/lines.ts';
import { tempDir } from './helpers.ts';

test('however the bytes are cut, the lines are the same', () => {
  fc.assert(
    fc.property(fc.array(fc.string({ unit: 'grapheme' })), fc.array(fc.nat(40)), (texts, cuts) => {
      const lines = texts.map((line) => line.replace(/[\r\n]/g, ''));
      const bytes = Buffer.from(lines.map((line) => `${line}\n`).join(''));
      const got: string[] = [];
      const splitter = new Splitter((line) => got.push(line));
      let at = 0;
      for (const cut of cuts) {
        splitter.feed(bytes.subarray(at, at + cut));
        at += cut;
      }
      splitter.feed(bytes.subarray(at));
      expect(splitter.flush()).toBe(0);
      expect(got).toEqual(lines);
    }),
  );
});

test('a file is followed while it grows and is gone on with by offset, without gap or repetition', async () => {
  const path = join(tempDir(), 'out');
  const got: string[] = [];
  let reader = follow(path, { onLine: (line) => got.push(line) });
  expect(await reader.poll()).toBe(0);
  const all = Buffer.from(Array.from({ length: 1000 }, (_, i) => `line ${i} ü€😀\r\n`).join(''));
  for (let at = 0; at < all.length; ) {
    const next = at + 1 + ((at * 7919) % 501);
    appendFileSync(path, all.subarray(at, next));
    at = next;
    await reader.poll();
    if (at % 3 === 0) reader = follow(path, { from: reader.place, onLine: (line) => got.push(line) });
  }
  appendFileSync(path, 'the end');
  expect(await reader.poll()).toBeLessThanOrEqual(1);
  expect(got).toEqual(Array.from({ length: 1000 }, (_, i) => `line ${i} ü€😀`));
  expect(reader.place.offset).toBe(all.length);
  expect(await reader.end()).toBe(1);
  expect(got.at(-1)).toBe('the end');
  expect(await reader.end()).toBe(0);
});

test('polls that overlap deliver each line once', async () => {
  const path = join(tempDir(), 'out');
  writeFileSync(path, 'x\n'.repeat(2_000_000));
  let count = 0;
  const reader = follow(path, { onLine: () => (count += 1) });
  const polls = await Promise.all([reader.poll(), reader.poll(), reader.end()]);
  expect(polls).toEqual([2_000_000, 0, 0]);
  expect(count).toBe(2_000_000);
});

test('a listener that throws loses no other line', async () => {
  const path = join(tempDir(), 'out');
  writeFileSync(path, 'a\nb\nc\n');
  const got: string[] = [];
  const reader = follow(path, {
    onLine: (line) => {
      if (line === 'b') throw new Error('no b');
      got.push(line);
    },
  });
  await expect(reader.poll()).rejects.toThrow('no b');
  expect(await reader.poll()).toBe(1);
  expect(got).toEqual(['a', 'c']);
});

test('a file that was cut short is read from its start', async () => {
  const path = join(tempDir(), 'out');
  const got: string[] = [];
  writeFileSync(path, 'one\ntwo\nthr');
  const reader = follow(path, { onLine: (line) => got.push(line) });
  await reader.poll();
  truncateSync(path, 0);
  appendFileSync(path, 'new\n');
  await reader.poll();
  expect(got).toEqual(['one', 'two', 'new']);
});

test('a long line is cut at a whole character, and what follows is untouched', () => {
  const got: [string, number][] = [];
  const splitter = new Splitter((line, bytes) => got.push([line, bytes]), 10);
  splitter.feed(Buffer.from(`${'€'.repeat(5)}\n0123456789\nshort\n`));
  expect(got).toEqual([
    ['€€€ [… cut, 15 bytes in all]', 16],
    ['0123456789', 11],
    ['short', 6],
  ]);
});

test('a line of 60 MB costs little memory', async () => {
  const path = join(tempDir(), 'out');
  const module = new URL('../../daemon/process/lines.ts', import.meta.url).href;
  const script = `
    import { appendFileSync } from 'node:fs';
    const { follow } = await import(${JSON.stringify(module)});
    const path = ${JSON.stringify(path)}, chunk = Buffer.alloc(1e6, 97);
    const lines = [];
    const reader = follow(path, { onLine: (line) => lines.push(line) });
    appendFileSync(path, 'first\\n'); await reader.poll();
    const before = process.resourceUsage().maxRSS;
    for (let i = 0; i < 60; i++) { appendFileSync(path, chunk); if (i % 7 === 0) await reader.poll(); }
    appendFileSync(path, '\\nlast\\n'); await reader.poll();
    console.log(JSON.stringify([process.resourceUsage().maxRSS - before, lines[1].length, lines[1].slice(-40), lines[2], reader.at]));`;
  const out = execFileSync(process.execPath, ['--input-type=module', '-e', script], { encoding: 'utf8' });
  const [grown, length, end, next, offset] = JSON.parse(out);
  expect(grown).toBeLessThan(20_000);
  expect(length).toBeLessThan(4 * 1024 * 1024 + 100);
  expect(end).toContain('60000000 bytes in all');
  expect(next).toBe('last');
  expect(offset).toBe(60_000_012);
});

test('head and tail keep whole characters', () => {
  const path = join(tempDir(), 'out');
  expect(tailOf(path, 10) + headOf(path, 10)).toBe('');
  writeFileSync(path, 'a€€€b');
  expect(tailOf(path, 5)).toBe('€b');
  expect(headOf(path, 6)).toBe('a€');
  expect(tailOf(path, 100)).toBe('a€€€b');
  expect(headOf(path, 100)).toBe('a€€€b');
});
