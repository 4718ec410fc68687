// What a person may do to a task while others are at work on it.
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { Events } from '../daemon/events.ts';
import { finishTask } from '../daemon/gate/accept.ts';
import { cancel } from '../daemon/operate.ts';
import { Workspace } from '../daemon/paths.ts';
import { FileQueue } from '../daemon/queue/files/engine.ts';
import { settingsSchema } from '../daemon/settings.ts';
import { QUEUES } from '../daemon/task/terms.ts';
import { tempDir } from './helpers/workspace.ts';

test('a result that its gate accepts while it is to be cancelled stays done', async () => {
  const workspace = new Workspace(tempDir());
  for (const queue of QUEUES) mkdirSync(workspace.queue(queue), { recursive: true });
  const queue = new FileQueue(workspace, { durability: 'fast' });
  const op = { workspace, settings: settingsSchema.parse({}), queue, events: new Events() };
  writeFileSync(join(workspace.queue('provisional'), 't.md'), 'Do it.\n');
  // The gate is past the point where it can be called off.
  const endRunning = async (id: string) => {
    const task = await queue.get(id);
    if (task?.queue === 'provisional') await finishTask(op, task, {});
    return true;
  };
  expect(await cancel({ ...op, endRunning }, 't')).toMatchObject({ queue: 'done', state: { outcome: 'ok' } });
  rmSync(workspace.root, { recursive: true });
});
