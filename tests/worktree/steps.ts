// Run as a program by kill.test.ts: one operation of the room, in a process that may be killed. Arguments: its name, its input as JSON.
import { existsSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import {
  acceptTree,
  applyTree,
  captureTree,
  type OpenTree,
  restoreTree,
  unapplyTree,
} from '../../daemon/worktree/tree.ts';
import { prepareWorktree, type WorktreeRequest } from '../../daemon/worktree/worktree.ts';

/** A minor task from capture to acceptance; what is known is written down after each step, as the daemon does. */
async function minor({ open, file }: { open: OpenTree; file: string }): Promise<void> {
  const state: { commit?: string; restored?: boolean } = existsSync(file) ? JSON.parse(readFileSync(file, 'utf8')) : {};
  const save = () => {
    writeFileSync(`${file}.tmp`, JSON.stringify(state));
    renameSync(`${file}.tmp`, file);
  };
  if (!state.commit) {
    const author = { name: 'claude', email: 'claude@towpath.invalid' };
    state.commit = (await captureTree(open, { id: 'm', attempt: 1, message: 'Minor work', author }))!.commit;
    save();
  }
  if (!state.restored) {
    await restoreTree(open);
    state.restored = true;
    save();
  }
  await applyTree(open.root, state.commit).catch(() => {});
  await unapplyTree(open.root, state.commit).catch(() => {});
  await acceptTree(open, state.commit);
}

const [name, input = '{}'] = process.argv.slice(2);
if (name === 'prepare') await prepareWorktree(JSON.parse(input) as WorktreeRequest);
if (name === 'minor') await minor(JSON.parse(input));
