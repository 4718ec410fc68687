// Who waits under an id keeps it, whatever comes in beside it.
import { mkdirSync, renameSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { Workspace } from '../../daemon/paths.ts';
import { self } from '../../daemon/process/identity.ts';
import { FileQueue } from '../../daemon/queue/files/engine.ts';
import { QUEUES } from '../../daemon/task/terms.ts';
import { tempDir } from '../helpers/workspace.ts';

let workspace: Workspace;
let queue: FileQueue;
beforeEach(() => {
  workspace = new Workspace(tempDir());
  for (const one of QUEUES) mkdirSync(workspace.queue(one), { recursive: true });
  queue = new FileQueue(workspace, { durability: 'fast' });
});
afterEach(() => rmSync(workspace.root, { recursive: true }));

const incoming = (name: string) => join(workspace.queue('incoming'), name);
/** Written aside long ago, and renamed in. */
function moveIn(name: string, content: string): void {
  const aside = join(workspace.root, 'aside');
  writeFileSync(aside, content);
  utimesSync(aside, 1000, 1000);
  renameSync(aside, incoming(name));
}
const claim = async () => (await queue.claim({ owner: self(), accepts: () => null, now: Date.now() }))?.task.path;

it('a file of that name that is still being written refuses it not', async () => {
  moveIn('mine.md', '---\nid: taken\n---\nDo it.\n');
  await queue.intake.scan();
  writeFileSync(incoming('taken.md'), 'Half of');
  // What came in a moment ago is read at each look.
  await queue.intake.scan();
  expect(queue.intake.inOrder().map(({ name, id }) => [name, id])).toEqual([['mine.md', 'taken']]);
  expect(await claim()).toBe(join(workspace.queue('claimed'), 'taken.md'));
});

it('one that is whole gets another name, and with that id of its own it is refused', async () => {
  moveIn('mine.md', '---\nid: taken\n---\nDo it.\n');
  await queue.intake.scan();
  moveIn('taken.md', 'Do that.\n');
  await queue.intake.scan();
  moveIn('taken.md', '---\nid: taken\n---\nDo something else.\n');
  await queue.intake.scan();
  expect(queue.intake.inOrder().map(({ name, id }) => [name, id])).toEqual([
    ['mine.md', 'taken'],
    ['taken-2.md', 'taken-2'],
  ]);
  expect((await queue.get('taken'))?.body.trim()).toBe('Do it.');
  expect((await queue.get('taken-3'))?.state.reason).toContain('is taken by a task in incoming/');
  expect(await claim()).toBe(join(workspace.queue('claimed'), 'taken.md'));
});
