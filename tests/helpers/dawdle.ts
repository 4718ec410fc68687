// Loaded into each Node that a test starts (`npm run test:slow`): a daemon dawdles at random before and after what it changes, so
// that what is only in time by chance, in it or in its test, is found. TOWPATH_DAWDLE is `MS,SHARE`: at most so long, so often of all times.
import childProcess from 'node:child_process';
import fs from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';

type Call = (...args: unknown[]) => unknown;
const [ms = 0, share = 0] = (process.env['TOWPATH_DAWDLE'] ?? '').split(',').map(Number);
const cell = new Int32Array(new SharedArrayBuffer(4));
const dawdle = () => {
  if (Math.random() < share) Atomics.wait(cell, 0, 0, Math.random() * ms);
};

if (process.argv[1]?.endsWith('towpath.js') && process.argv.includes('start')) {
  const files = fs as unknown as Record<string, Call>;
  for (const name of ['renameSync', 'linkSync', 'unlinkSync', 'mkdirSync', 'rmSync']) {
    const own = files[name]!;
    files[name] = (...args) => {
      dawdle();
      try {
        return own.apply(fs, args);
      } finally {
        dawdle();
      }
    };
  }
  const processes = childProcess as unknown as Record<string, Call>;
  const spawn = processes['spawn']!;
  processes['spawn'] = (...args) => {
    dawdle();
    return spawn.apply(childProcess, args);
  };
  syncBuiltinESMExports();
}
