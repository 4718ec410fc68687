#!/bin/sh
':' //; self=$(readlink -f "$0"); node=${self%/*}/../node_modules/.bin/node; [ -x "$node" ] || node=node; exec "$node" --max-semi-space-size=2 "$self" "$@"
// The bin: sh execs the pinned Node (line 2; a small heap makes each fork cheaper), then the same file as JavaScript checks the version and loads main.ts.
import * as module from 'node:module';

const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
if (major < 22 || (major === 22 && minor < 22)) {
  console.error(
    `towpath: Node ${process.versions.node} is too old: run "npm ci" in the checkout (it brings Node 24) or install Node 22.22 or newer`,
  );
  process.exitCode = 1;
} else {
  module.enableCompileCache?.();
  await import('./main.ts');
}
