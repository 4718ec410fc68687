// The floor: the least that a durable file queue in Node must do. On an event of fs.watch it claims by a rename, syncs the file and
// both folders, spawns the program with its output in a file, and moves the task to done with both folders synced again.
import { spawn } from 'node:child_process';
import { closeSync, fsyncSync, mkdirSync, openSync, renameSync, watch, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const [root = '.', lanes = '1', program = 'true', ...args] = process.argv.slice(2);
const incoming = join(root, 'queues/incoming');
const claimed = join(root, 'queues/claimed');
const done = join(root, 'queues/done');
mkdirSync(join(root, 'runs'));
const waiting: string[] = [];
let running = 0;

function sync(path: string): void {
  const fd = openSync(path, 'r');
  fsyncSync(fd);
  closeSync(fd);
}

function next(): void {
  while (running < Number(lanes)) {
    const name = waiting.shift();
    if (!name) return;
    const mine = join(claimed, name);
    try {
      renameSync(join(incoming, name), mine);
    } catch {
      continue;
    }
    sync(mine);
    sync(claimed);
    sync(incoming);
    const out = openSync(join(root, 'runs', name.slice(0, -3)), 'w');
    running++;
    spawn(program, args, { stdio: ['ignore', out, out] }).on('exit', () => {
      running--;
      renameSync(mine, join(done, name));
      sync(done);
      sync(claimed);
      next();
    });
    closeSync(out);
  }
}

watch(incoming, (_event, name) => {
  if (!name?.endsWith('.md')) return;
  waiting.push(name);
  next();
});
process.on('SIGTERM', () => process.exit());
writeFileSync(join(root, 'ready'), 'yes');
