// A lock that is written over in place reads as the new one, whichever of the two is longer.
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { Durable } from '../../daemon/queue/files/durable.ts';

let dir: string;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'towpath-durable-'));
});
afterEach(() => rmSync(dir, { recursive: true, force: true }));

const line = (value: unknown) => `${JSON.stringify(value)}\n`;

it('writes over a file in place, longer and shorter', () => {
  const path = join(dir, 'x.lock.json');
  const disk = new Durable('full');
  writeFileSync(path, line({ n: 1 }));
  const { ino } = statSync(path);
  for (const value of [{ n: 2, text: 'ä'.repeat(300) }, { n: 3 }, { n: 4, text: 'longer' }]) {
    disk.overwrite(path, line(value));
    expect(JSON.parse(readFileSync(path, 'utf8'))).toEqual(value);
    expect(readFileSync(path, 'utf8')).toMatch(/\n$/);
  }
  expect(statSync(path).ino).toBe(ino);
});

it('does not make a file that is gone', () => {
  expect(() => new Durable('full').overwrite(join(dir, 'gone'), line({}))).toThrow('ENOENT');
});
