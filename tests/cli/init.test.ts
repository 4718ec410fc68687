// towpath init where no folder can be made: an error, and not a loop.
import { existsSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it, onTestFinished } from 'vitest';
import { init } from '../../daemon/cli/init.ts';
import { tempDir } from '../helpers/workspace.ts';

it('makes missing folders, and says which one cannot be made', async () => {
  const root = tempDir();
  onTestFinished(() => rmSync(root, { recursive: true }));
  const dir = join(root, 'a/b');
  await init([dir], { json: true });
  expect(existsSync(join(dir, 'towpath.yaml'))).toBe(true);
  await expect(init([join(dir, 'towpath.yaml/sub')], {})).rejects.toThrow('towpath.yaml/sub could not be made');
});

it.runIf(process.platform === 'linux')('does not go round for ever in /proc', async () => {
  await expect(init(['/proc/x/y'], {})).rejects.toThrow('/proc/x could not be made');
});
