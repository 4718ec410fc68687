#!/bin/sh
':' //; self=$(readlink -f "$0"); node=${self%/*}/../node_modules/.bin/node; [ -x "$node" ] || node=node; exec "$node" --max-semi-space-size=2 "$self" "$@"
// The bin: sh execs the pinned Node (line 2; a small heap keeps the daemon small and its forks cheap), then the same file as JavaScript checks the version and loads main.ts.
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import * as module from 'node:module';
import { fileURLToPath } from 'node:url';

const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
const pinned = fileURLToPath(new URL('../node_modules/.bin/node', import.meta.url));
if (major > 22 || (major === 22 && minor >= 22)) {
  module.enableCompileCache?.();
  await import('./main.ts');
} else if (existsSync(pinned)) {
  // Called with an older Node by name: the pinned one does the work, and hears the signals that were meant for it.
  const child = spawn(pinned, process.argv.slice(1), { stdio: 'inherit' });
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'])
    process.on(signal, () => {
      // A terminal sends Ctrl-C to both of us: passed on, it would count twice.
      if (signal !== 'SIGINT' || !process.stdin.isTTY) child.kill(signal);
    });
  child.once('exit', (code, signal) => {
    process.exitCode = code ?? (signal ? 1 : 0);
  });
} else {
  console.error(
    `towpath: Node ${process.versions.node} is too old: run "npm ci" in the checkout (it brings Node 24) or install Node 22.22 or newer`,
  );
  process.exitCode = 1;
}
