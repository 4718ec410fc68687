// A wall clock of a test's own for a daemon: loaded into it, it adds what a file says to every look at the time.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { tempDir } from './workspace.ts';

/** `env` is for the daemon; `set` moves its clock by so many ms from the real one. Timers go on as they are, as on a real machine. */
export function testClock(): { env: Record<string, string>; set: (ms: number) => void } {
  const dir = tempDir('towpath-clock-');
  const offset = join(dir, 'offset');
  writeFileSync(offset, '0');
  writeFileSync(
    join(dir, 'clock.mjs'),
    `import { readFileSync } from 'node:fs';
const Real = Date;
let offset = 0;
let read = -Infinity;
const now = () => {
  if (performance.now() - read > 20) {
    offset = Number(readFileSync(${JSON.stringify(offset)}, 'utf8')) || 0;
    read = performance.now();
  }
  return Real.now() + offset;
};
globalThis.Date = class Date extends Real {
  constructor(...args) {
    if (args.length === 0) super(now());
    else super(...args);
  }
  static now() {
    return now();
  }
};
`,
  );
  return {
    env: { NODE_OPTIONS: `--import=${join(dir, 'clock.mjs')}` },
    set: (ms) => writeFileSync(offset, String(ms)),
  };
}
