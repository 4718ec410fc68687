// A file that may not be read is refused alone: for root there is none, so another user looks at it.
import { spawnSync } from 'node:child_process';
import { chmodSync, chownSync, existsSync, mkdirSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { Workspace } from '../../daemon/paths.ts';
import { QUEUES } from '../../daemon/task/terms.ts';
import { tempDir } from '../helpers/workspace.ts';

const NOBODY = 65534;
const isRoot = process.getuid?.() === 0;
const source = (path: string) => JSON.stringify(new URL(`../../daemon/${path}`, import.meta.url).href);
const asUser = (script: string, ...args: string[]) =>
  spawnSync(process.execPath, ['--input-type=module', '-e', script, ...args], {
    ...(isRoot ? { uid: NOBODY, gid: NOBODY } : {}),
    encoding: 'utf8',
  });
const LOAD = `const { FileQueue } = await import(${source('queue/files/engine.ts')});
const { Workspace } = await import(${source('paths.ts')});`;
/** The checkout may lie where only root may go. */
const canLoad = asUser(LOAD).status === 0;

it.skipIf(!canLoad)('it goes to failed/ with the reason, and the others wait for their turn', () => {
  const workspace = new Workspace(tempDir());
  const own = (path: string) => isRoot && chownSync(path, NOBODY, NOBODY);
  own(workspace.root);
  for (const dir of [workspace.queues, ...QUEUES.map((queue) => workspace.queue(queue)), workspace.state]) {
    mkdirSync(dir, { recursive: true });
    own(dir);
  }
  for (const name of ['a.md', 'closed.md', 'z.md']) {
    const path = join(workspace.queue('incoming'), name);
    writeFileSync(path, 'Do it.\n');
    if (name === 'closed.md') chmodSync(path, 0);
    utimesSync(path, 1000, 1000);
  }
  const { stdout, stderr } = asUser(
    `${LOAD}
    const refused = [];
    const queue = new FileQueue(new Workspace(process.argv[1]), { durability: 'fast', onRefused: ({ id, state }) => refused.push([id, state.reason]) });
    await queue.intake.scan();
    console.log(JSON.stringify({ refused, waiting: queue.intake.inOrder().map(({ id }) => id) }));`,
    workspace.root,
  );
  expect(stderr).toBe('');
  expect(JSON.parse(stdout)).toEqual({
    refused: [
      ['closed', expect.stringMatching(/^the file may not be read by user \d+: change its owner or its mode$/)],
    ],
    waiting: ['a', 'z'],
  });
  expect(existsSync(join(workspace.queue('failed'), 'closed.md'))).toBe(true);
  rmSync(workspace.root, { recursive: true });
});
