// A folder that is removed and made again is watched, also when it is given the inode of the old one.
import { mkdirSync, renameSync, rmdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, it } from 'vitest';
import { Workspace } from '../../daemon/paths.ts';
import { watchQueues } from '../../daemon/queue/files/watcher.ts';
import type { QueueHint } from '../../daemon/queue/port.ts';
import { QUEUES } from '../../daemon/task/terms.ts';
import { tempDir, until } from '../helpers/workspace.ts';

let workspace: Workspace;
let hints: QueueHint[];
let close: () => Promise<void>;
beforeEach(async () => {
  workspace = new Workspace(tempDir());
  for (const queue of QUEUES) mkdirSync(workspace.queue(queue), { recursive: true });
  hints = [];
  close = await watchQueues(
    workspace,
    (hint) => hints.push(hint),
    () => {},
  );
});
afterEach(async () => {
  await close();
  rmSync(workspace.root, { recursive: true });
});

const incoming = () => workspace.queue('incoming');
async function hears(name: string): Promise<void> {
  await until(
    () => {
      writeFileSync(join(incoming(), name), 'Do it.');
      return hints.some((hint) => hint.queue === 'incoming' && hint.name === name);
    },
    `a hint of ${name}`,
    15_000,
  );
}

it('in one go, before anybody could look', async () => {
  await hears('before.md');
  for (let n = 0; n < 20; n++) {
    const { ino } = statSync(incoming());
    rmSync(incoming(), { recursive: true });
    mkdirSync(incoming());
    if (statSync(incoming()).ino === ino) break;
  }
  await hears('after.md');
});

it('or put aside, with another in its place', async () => {
  renameSync(incoming(), join(workspace.root, 'aside'));
  mkdirSync(incoming());
  await hears('after.md');
  rmdirSync(workspace.queue('done'));
  await until(
    () => statSync(workspace.queue('done'), { throwIfNoEntry: false }) !== undefined,
    'done/ is made again',
    15_000,
  );
});
