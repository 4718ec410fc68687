// Loaded into a daemon or command before its own code (node --import): counts its calls that change state, and kills it at one of them.
// TOWPATH_CRASH is `count`, or `before N`, `after N`, `half N`; TOWPATH_CRASH_LOG gets one line a call, so that a kill can be told by name.
import childProcess from 'node:child_process';
import fs from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';

const [when = 'count', number = '0'] = (process.env['TOWPATH_CRASH'] ?? 'count').split(' ');
const at = Number(number);
const log = process.env['TOWPATH_CRASH_LOG'];
// Nothing that the daemon starts may take these for its own.
delete process.env['TOWPATH_CRASH'];
delete process.env['TOWPATH_CRASH_LOG'];

type Call = (...args: unknown[]) => unknown;
const real = { open: fs.openSync, write: fs.writeSync, close: fs.closeSync, truncate: fs.writeFileSync };
let count = 0;
let inside = 0;
/** Descriptors that were opened for writing, with their paths; all other writes go to a terminal or a pipe. */
const files = new Map<number, string>();
/** Files whose bytes nobody builds upon: kills between them are kills between their neighbours. */
const idle = (path: string): boolean => path.endsWith('/daemon.log') || path === 'stream';

function note(text: string): void {
  if (!log) return;
  const fd = real.open(log, 'a');
  real.write(fd, `${count} ${text}\n`);
  real.close(fd);
}

function die(): void {
  process.kill(process.pid, 'SIGKILL');
}

function counted<T>(name: string, path: string, call: () => T): T {
  if (inside > 0 || idle(path)) return call();
  count += 1;
  if (count === at || when === 'count') note(`${name} ${path}`);
  if (count === at && when === 'before') die();
  if (count === at && when === 'half') {
    // As a kill between the open and the write of one call leaves it.
    if (name === 'writeFile') real.truncate(path, '');
    die();
  }
  inside += 1;
  try {
    return call();
  } finally {
    inside -= 1;
    if (count === at && when === 'after') die();
  }
}

const table = fs as unknown as Record<string, Call>;
for (const name of [
  'rename',
  'link',
  'unlink',
  'rm',
  'rmdir',
  'mkdir',
  'mkdtemp',
  'chmod',
  'utimes',
  'symlink',
  'copyFile',
])
  wrap(name, (args) => String(args[0]));
wrap('writeFile', (args) => String(args[0]));
wrap('appendFile', (args) => String(args[0]));
wrap('fsync', (args) => files.get(args[0] as number) ?? 'folder');
wrap('fdatasync', (args) => files.get(args[0] as number) ?? 'folder');
wrap('ftruncate', (args) => files.get(args[0] as number) ?? '?');
wrap('write', (args) => files.get(args[0] as number) ?? 'stream');

function wrap(name: string, pathOf: (args: unknown[]) => string): void {
  const own = table[`${name}Sync`]!;
  table[`${name}Sync`] = (...args) => counted(name, pathOf(args), () => own.apply(fs, args));
}

const open = table['openSync']!;
table['openSync'] = (...args) => {
  const flags = args[1] ?? 'r';
  const writes = typeof flags === 'number' ? (flags & 3) !== 0 : flags !== 'r';
  if (!writes) return open.apply(fs, args);
  return counted('open', String(args[0]), () => {
    const fd = open.apply(fs, args) as number;
    files.set(fd, String(args[0]));
    return fd;
  });
};
const close = table['closeSync']!;
table['closeSync'] = (...args) => {
  files.delete(args[0] as number);
  return close.apply(fs, args);
};
const spawn = childProcess.spawn as unknown as Call;
(childProcess as unknown as Record<string, Call>)['spawn'] = (...args) =>
  counted('spawn', said(args), () => spawn.apply(childProcess, args));
/** A program with its arguments, without the settings that git is given each time. */
function said([program, list]: unknown[]): string {
  const words = Array.isArray(list) ? list.map(String) : [];
  return [program, ...words.filter((word, n) => word !== '-c' && words[n - 1] !== '-c')].join(' ').slice(0, 160);
}
syncBuiltinESMExports();
