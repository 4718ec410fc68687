// What was read of waiting files is believed only where it is whole, of this version, and of the very same file.
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Snapshot } from '../../daemon/queue/files/snapshot.ts';
import { type Waiting, waitingOf } from '../../daemon/queue/files/waiting.ts';
import { tempDir } from '../helpers/workspace.ts';

let dir: string;
let path: string;
beforeEach(() => {
  dir = tempDir();
  path = join(dir, 'waiting');
});
afterEach(() => rmSync(dir, { recursive: true, force: true }));

const signOf = (n: number) => ({ ino: n + 1, size: 10 + n, mtime: 1.7e18 + n * 1e6, ctime: 1.7e18 + n * 2e6 });
function entry(n: number, name = `t${n}.md`): Waiting {
  const spec = {
    priority: 'P1',
    role: 'tester',
    complexity: 'minor',
    depends_on: [`d${n % 3}`],
    on_dependency_failure: 'run',
  };
  const state = n % 2 ? { not_before: '2030-01-01T00:00:00.000Z', reason: 'a "reason"\nof two lines, ü' } : {};
  const choice = { id: `id-${n}`, created_at: new Date(1.7e12 + n).toISOString(), spec, state };
  return waitingOf(choice as Parameters<typeof waitingOf>[0], name, signOf(n));
}
const entries = (count: number) => Array.from({ length: count }, (_, n) => entry(n));
const found = (version: string, count: number) => {
  const snapshot = new Snapshot(path, version);
  return Array.from({ length: count }, (_, n) => snapshot.find(`t${n}.md`, signOf(n)));
};

describe('a snapshot', () => {
  it('gives back what was kept, for the file as it was', async () => {
    const odd = ['a"b.md', 'tab\there.md', 'ümläut.md', 'new\nline.md'].map((name, n) => entry(n, name));
    await new Snapshot(path, '1').save([...entries(5000), ...odd]);
    expect(found('1', 5000)).toEqual(entries(5000));
    const again = new Snapshot(path, '1');
    for (const one of odd) expect(again.find(one.name, one.sign)).toEqual(one);
    const other = new Snapshot(path, '1');
    for (const change of [{ ino: 9 }, { size: 9 }, { mtime: 9 }, { ctime: 9 }])
      expect(other.find('t7.md', { ...signOf(7), ...change })).toBeNull();
    expect(other.find('nobody.md', signOf(7))).toBeNull();
    expect(other.find('t7.md', signOf(7))).toEqual(entry(7));
  });

  it('keeps nothing of a file that may have changed within a tick of its clock, nor of one that is gone', async () => {
    const fresh = waitingOf(entry(1), 't1.md', { ...signOf(1), ctime: Date.now() * 1e6 });
    await new Snapshot(path, '1').save([fresh, { ...entry(2), gone: true }, entry(0)]);
    expect(found('1', 3)).toEqual([entry(0), null, null]);
    expect(new Snapshot(path, '1').find('t1.md', fresh.sign)).toBeNull();
  });

  it('of another version, of nothing, or of something else is none', async () => {
    await new Snapshot(path, '1').save(entries(3));
    expect(found('2', 3)).toEqual([null, null, null]);
    for (const content of [
      '',
      '\n',
      '{}\n',
      'x',
      '{"lines":0,"sum":0}\n',
      '{"format":0,"version":"1"}\n{"lines":0,"sum":1}\n',
    ]) {
      writeFileSync(path, content);
      expect(found('1', 3)).toEqual([null, null, null]);
    }
    rmSync(path);
    mkdirSync(path);
    expect(found('1', 1)).toEqual([null]);
    await new Snapshot(path, '1').save(entries(3));
  });

  it('that was cut, or in which a single byte is another, is none', async () => {
    await new Snapshot(path, '1').save(entries(40));
    const whole = readFileSync(path);
    fc.assert(
      fc.property(fc.nat(whole.length - 1), fc.integer({ min: 1, max: 255 }), fc.boolean(), (at, flip, cut) => {
        const bytes = cut ? whole.subarray(0, at) : Buffer.from(whole);
        if (!cut) bytes[at]! ^= flip;
        writeFileSync(path, bytes);
        expect(found('1', 40)).toEqual(Array(40).fill(null));
      }),
      { numRuns: 300 },
    );
  });

  it('is whole or the one before when the writer is killed', async () => {
    const url = new URL('../../daemon/queue/files/', import.meta.url).href;
    const script = `
      const { Snapshot } = await import('${url}snapshot.ts');
      const { waitingOf } = await import('${url}waiting.ts');
      const spec = { priority: 'P1', complexity: 'minor', depends_on: [], on_dependency_failure: 'hold' };
      for (let round = 1; ; round++) {
        const made = Array.from({ length: 6000 }, (_, n) =>
          waitingOf({ id: 'r' + round, created_at: '', spec, state: {} }, 't' + n + '.md', { ino: 1, size: n, mtime: 1, ctime: 1 }));
        await new Snapshot(process.argv[1], '1').save(made);
        if (round === 1) console.log('ready');
      }`;
    for (let kill = 0; kill < 6; kill++) {
      const child: ChildProcess = spawn(process.execPath, ['--input-type=module', '-e', script, path], {
        stdio: ['ignore', 'pipe', 'inherit'],
      });
      const gone = new Promise((resolve) => child.once('exit', resolve));
      await new Promise((resolve) => child.stdout!.once('data', resolve));
      await sleep(5 + kill * 7);
      child.kill('SIGKILL');
      await gone;
      const snapshot = new Snapshot(path, '1');
      const rounds = new Set<string | undefined>();
      for (let n = 0; n < 6000; n++) rounds.add(snapshot.find(`t${n}.md`, { ino: 1, size: n, mtime: 1, ctime: 1 })?.id);
      expect([...rounds]).toEqual([expect.stringMatching(/^r\d+$/)]);
    }
  }, 60_000);
});
