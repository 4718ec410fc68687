// Submodules of a fresh worktree: from the clones that the main tree already has, else from their remotes, else left empty.
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { git, items } from './git.ts';
import { talk } from './remote.ts';

/** How long all transfers of a worktree may take, and one from this disk, ms. */
const TRANSFER_MS = 300_000;
const COPY_MS = 120_000;

/**
 * Brings the submodules of a worktree to the commits that its index names; `discard` throws away what was changed in them. Never
 * throws for the network: returns a warning when some stay empty.
 */
export async function fillSubmodules(worktree: string, commonDir: string, discard = false): Promise<string[]> {
  if (!existsSync(join(worktree, '.gitmodules'))) return [];
  const run = git(worktree);
  const update = ['submodule', '-q', 'update', '--init', ...(discard ? ['--force'] : [])];
  const args = ['config', '-z', '--file', '.gitmodules', '--get-regexp', '^submodule\\..*\\.path$'];
  for (const item of items((await run.ask(args)) ?? '')) {
    const [key = '', path = ''] = [item.slice(0, item.indexOf('\n')), item.slice(item.indexOf('\n') + 1)];
    const name = key.slice('submodule.'.length, -'.path'.length);
    const clone = join(commonDir, 'modules', name);
    if (name.split('/').includes('..') || !existsSync(join(clone, 'HEAD'))) continue;
    const known = await run.ask(['config', '--file', '.gitmodules', `submodule.${name}.url`]);
    // The clone of the main tree is on this disk: no network, and only this one path may be read as a file.
    const config = ['protocol.file.allow=always', `submodule.${name}.url=${clone}`];
    const made = await run.test([...update, '--', path], { config, timeoutMs: COPY_MS });
    const inner = git(join(worktree, path));
    if (made && known && existsSync(join(worktree, path, '.git'))) {
      const url = (await run.ask(['config', `submodule.${name}.url`])) ?? known;
      await inner.attempt(['config', 'remote.origin.url', url]);
    }
  }
  const config = ['http.lowSpeedLimit=1000', 'http.lowSpeedTime=20'];
  const all = await talk(worktree, [...update, '--recursive'], { config, timeout_ms: TRANSFER_MS });
  if (all.code === 0) return [];
  const said = all.timedOut ? `not within ${TRANSFER_MS / 1000} s` : (all.stderr.trim().split('\n').at(-1) ?? '');
  return [`the submodules of ${worktree} could not all be filled (${said}); the work goes on without them`];
}
