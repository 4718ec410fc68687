import { existsSync, mkdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { Workspace } from '../../daemon/paths.ts';
import { self } from '../../daemon/process/identity.ts';
import { FileQueue } from '../../daemon/queue/files/engine.ts';
import { QUEUES, type Queue } from '../../daemon/task/terms.ts';
import { tempDir } from '../helpers/workspace.ts';

const workspace = new Workspace(tempDir());
for (const queue of QUEUES) mkdirSync(workspace.queue(queue), { recursive: true });
afterAll(() => rmSync(workspace.root, { recursive: true }));
const place = (queue: Queue, id: string) => join(workspace.queue(queue), `${id}.md`);

test('a task that was taken out of claimed/ goes on with its own runs, and is told of when it comes back', async () => {
  const moves: string[] = [];
  const queue = new FileQueue(workspace, {
    durability: 'fast',
    onMovedIn: ({ id }, from) => moves.push(`${id} from ${from}`),
  });
  const claim = () => queue.claim({ owner: self(), accepts: () => null });
  writeFileSync(place('incoming', 't'), 'Do it.\n');
  queue.intake.handedOver('t.md');
  const first = await claim();
  expect(first?.lock).toMatchObject({ epoch: 1, attempt: 1 });
  const work = join(workspace.runs('t'), 'work.json');
  writeFileSync(work, '{}');
  // The daemon dies, the file is moved, and the next daemon writes down what that means.
  rmSync(workspace.lock('t'));
  renameSync(place('claimed', 't'), place('failed', 't'));
  const moved = await queue.move('t', 'failed', { to: 'failed', state: { reason: 'by hand' } });
  expect(moved.state).toMatchObject({ epoch: 1, reason: 'by hand' });
  renameSync(place('failed', 't'), place('incoming', 't'));
  queue.intake.handedOver('t.md');
  expect(moves).toEqual(['t from failed']);
  expect((await claim())?.lock.epoch).toBe(2);
  expect(existsSync(work)).toBe(true);
});

test('a dropped file that says where it was tells of no move', () => {
  const moves: string[] = [];
  const queue = new FileQueue(workspace, { durability: 'fast', onMovedIn: ({ id }) => moves.push(id) });
  writeFileSync(place('incoming', 'copy'), '---\ntowpath: {queue: done, attempts: 1}\n---\nDo it.\n');
  queue.intake.handedOver('copy.md');
  expect(queue.intake.byId('copy')).toBeDefined();
  expect(moves).toEqual([]);
});

test('a stem that a waiting file has as its id is taken, also for who has not looked at the files', async () => {
  writeFileSync(place('incoming', 'file'), '---\npriority: P1\nid: own\n---\nDo it.\n');
  const queue = new FileQueue(workspace, { durability: 'fast' });
  expect(await queue.submit({ name: 'own.md', content: 'Do it.\n' })).toBe('own-2');
  expect(await queue.submit({ name: 'file.md', content: 'Do it.\n' })).toBe('file-2');
});
