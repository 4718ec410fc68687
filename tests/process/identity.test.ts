// Identity: a process is known by its start time too, and doubt counts as alive.
import { execFileSync } from 'node:child_process';
import { expect, test } from 'vitest';
import { bootId, identify, isAlive, self, startedAt } from '../../daemon/process/identity.ts';

test('this process lives; another start time, boot or pid does not', () => {
  const me = self();
  expect(me).toEqual(identify(process.pid));
  expect(isAlive(me)).toBe(true);
  expect(isAlive({ ...me, started: '1' })).toBe(false);
  expect(isAlive({ ...me, boot_id: 'another' })).toBe(false);
  expect(isAlive({ ...me, pid: 999_999_999 })).toBe(false);
  expect(isAlive({ ...me, pid: -1 })).toBe(false);
  expect(isAlive({ ...me, host: 'another', pid: 999_999_999 })).toBe(true);
  expect(identify(999_999_999)).toBeUndefined();
  expect(startedAt(0)).toBeUndefined();
  expect(bootId()).not.toBe('');
});

test('without a file descriptor left nobody is declared dead', () => {
  const module = new URL('../../daemon/process/identity.ts', import.meta.url).href;
  const script = `
    import { openSync } from 'node:fs';
    const { isAlive, self, startedAt } = await import(${JSON.stringify(module)});
    const me = self();
    try { for (;;) openSync('/dev/null', 'r'); } catch {}
    let thrown = ''; try { startedAt(process.pid); } catch (error) { thrown = error.code; }
    console.log(isAlive(me), thrown);`;
  const command = 'ulimit -n 64; exec "$0" --input-type=module -e "$1"';
  const out = execFileSync('sh', ['-c', command, process.execPath, script], { encoding: 'utf8' });
  expect(out.trim()).toBe('true EMFILE');
});
