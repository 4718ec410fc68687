// on_accept: merge: the train, with real git and the real daemon.
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { shellTask, type TestWorkspace, workspaces } from '../helpers/workspace.ts';

const workspace = workspaces();
const SETTINGS = 'agent: shell\non_accept: merge\nretry: {initial: 100ms}\n';

const log = (ws: TestWorkspace, branch = 'main') =>
  ws.git('log', '--reverse', '--format=%s', branch).trim().split('\n');
const left = (ws: TestWorkspace) =>
  existsSync(ws.path('.worktrees')) ? readdirSync(ws.path('.worktrees')).filter((name) => !name.startsWith('.')) : [];
const titled = (title: string, script: string, more = '') => shellTask(script, more).replace('# A task', `# ${title}`);

describe('the train', () => {
  it('merges three, each on top of the one before, together with the tree; worktrees and branches go', () => {
    const ws = workspace(`${SETTINGS}checks: ["test -e README.md"]\nconcurrency: 3\n`);
    ws.file('mine', 'not tracked\n');
    for (const id of ['a', 'b', 'c']) ws.drop(id, titled(id, `echo ${id} > ${id}`));
    const drained = ws.drain();
    expect(drained.code, drained.stderr + drained.stdout).toBe(0);
    expect(log(ws).sort()).toEqual(['a', 'b', 'c', 'first']);
    for (const id of ['a', 'b', 'c']) {
      const task = ws.show(id);
      expect(task).toMatchObject({
        queue: 'done',
        outcome: 'ok',
        branch: null,
        worktree: null,
        reason: null,
        attempts: 1,
      });
      expect(ws.git('show', '--name-only', '--format=%B', task.commit!)).toMatch(
        new RegExp(`Towpath-Task: ${id}\\n[^]*\\n${id}\\n`),
      );
      expect(readFileSync(ws.path(id), 'utf8')).toBe(`${id}\n`);
    }
    expect(ws.git('status', '--porcelain', '-uno')).toBe('');
    expect(ws.git('rev-list', '--merges', 'main')).toBe('');
    expect(ws.git('branch', '--list', 'towpath/*')).toBe('');
    expect(left(ws)).toEqual([]);
    expect(readFileSync(ws.path('mine'), 'utf8')).toBe('not tracked\n');
  });
});
