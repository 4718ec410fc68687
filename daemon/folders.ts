// The folders of a workspace: made when they are missing, on one filesystem, and each private one keeps itself out of git.
import { existsSync, mkdirSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { TowpathError } from './errors.ts';
import type { Workspace } from './paths.ts';
import { QUEUES } from './task/terms.ts';

/** Makes queues, state and worktrees. Throws `filesystem` when a transition could not be a rename. */
export function makeFolders(workspace: Workspace, worktrees: string): void {
  const devices = QUEUES.map((queue) => {
    mkdirSync(workspace.queue(queue), { recursive: true });
    return statSync(workspace.queue(queue)).dev;
  });
  mkdirSync(workspace.state, { recursive: true, mode: 0o700 });
  if (new Set(devices).size > 1)
    throw new TowpathError(
      'filesystem',
      `the folders below ${workspace.queues} are on different filesystems`,
      'put them on one: a transition is a rename',
    );
  // A file of their own, so that none of the user's has to be changed.
  for (const dir of [workspace.queues, workspace.state, worktrees]) {
    mkdirSync(dir, { recursive: true });
    const ignore = join(dir, '.gitignore');
    if (!existsSync(ignore)) writeFileSync(ignore, '*\n');
  }
}
