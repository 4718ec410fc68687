// What a person may do to a task while others are at work on it.
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import type { Context } from '../daemon/attempt/context.ts';
import { readWork, writeWork } from '../daemon/attempt/work.ts';
import { Events } from '../daemon/events.ts';
import { finishTask } from '../daemon/gate/accept.ts';
import { accept, cancel } from '../daemon/operate.ts';
import { Workspace } from '../daemon/paths.ts';
import { FileQueue } from '../daemon/queue/files/engine.ts';
import { settingsSchema } from '../daemon/settings.ts';
import { QUEUES, type Queue } from '../daemon/task/terms.ts';
import { noticeHandMoves } from '../daemon/waiting/hand.ts';
import { tempDir } from './helpers/workspace.ts';

const workspace = new Workspace(tempDir());
for (const queue of QUEUES) mkdirSync(workspace.queue(queue), { recursive: true });
afterAll(() => rmSync(workspace.root, { recursive: true }));
const queue = new FileQueue(workspace, { durability: 'fast' });
const op = { workspace, settings: settingsSchema.parse({}), queue, events: new Events() };

test('a minor result is not accepted while another minor task is at work in the same tree', async () => {
  const endRunning = async () => false;
  const put = (at: Queue, id: string, more = '') =>
    writeFileSync(join(workspace.queue(at), `${id}.md`), `---\ncomplexity: minor\n${more}---\nDo it.\n`);
  put('provisional', 'a');
  put('claimed', 'elsewhere', 'repo: other\n');
  put('claimed', 'b');
  await expect(accept({ ...op, endRunning }, 'a')).rejects.toThrow(`"b" is at work in the repository's own tree`);
  // Moved by hand it goes back, and is put there when the tree is free.
  put('done', 'h', 'towpath: {queue: provisional, runs: 1}\n');
  writeWork(op, 'h', {
    kind: 'tree',
    repo: '/',
    worktree: '/',
    branch: null,
    base: null,
    start: null,
    setup_done: true,
  });
  const ctx = op as unknown as Context;
  await noticeHandMoves(ctx, { jobs: new Map(), end: endRunning }, 'done', 'h.md');
  expect(await queue.get('h')).toMatchObject({
    queue: 'provisional',
    state: { reason: expect.stringMatching(/^accepted; it waits until "b"/) },
  });
  expect(readWork(workspace, 'h')?.accepted).toBe(true);
  rmSync(join(workspace.queue('claimed'), 'b.md'));
  expect(await accept({ ...op, endRunning }, 'a')).toMatchObject({ queue: 'done' });
});

test('a result that its gate accepts while it is to be cancelled stays done', async () => {
  writeFileSync(join(workspace.queue('provisional'), 't.md'), 'Do it.\n');
  // The gate is past the point where it can be called off.
  const endRunning = async (id: string) => {
    const task = await queue.get(id);
    if (task?.queue === 'provisional') await finishTask(op, task, {});
    return true;
  };
  expect(await cancel({ ...op, endRunning }, 't')).toMatchObject({ queue: 'done', state: { outcome: 'ok' } });
});
