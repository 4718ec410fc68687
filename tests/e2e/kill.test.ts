import { readdirSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect, it } from 'vitest';
import { shellTask, workspaces } from '../helpers/workspace.ts';

const workspace = workspaces();

it('a daemon that is killed at random, again and again, does each task once and leaves nothing behind', async () => {
  const ws = workspace('agent: shell\nretry: {initial: 200ms}\nconcurrency: 3\nchecks: ["sleep 0.1"]\n');
  const ids = [1, 2, 3, 4, 5, 6].map((n) => `t${n}`);
  for (const [n, id] of ids.entries()) {
    const minor = n % 3 === 2;
    ws.drop(id, shellTask(`sleep 0.${n}\necho ${id} >> ${id}.txt`, minor ? 'complexity: minor\n' : ''));
  }
  for (let round = 0; round < 8; round++) {
    const daemon = await ws.start(['--drain']);
    const pause = 50 + Math.floor(Math.random() * 900);
    await sleep(pause);
    const gone = new Promise((resolve) => daemon.once('exit', resolve));
    if (daemon.exitCode === null && daemon.kill('SIGKILL')) await gone;
  }
  const last = ws.drain();
  expect(last.code, last.stdout).toBe(0);
  for (const id of ids) {
    const task = ws.show(id);
    expect(task, last.stdout).toMatchObject({ queue: 'done', outcome: 'ok', attempts: 1 });
    expect(ws.git('show', `${task.branch}:${id}.txt`)).toBe(`${id}\n`);
    if (task.branch !== 'main')
      expect(ws.git('log', '--format=%s', `main..${task.branch}`).trim().split('\n').length).toBeLessThanOrEqual(3);
  }
  expect(ws.git('log', '--format=%s', 'main').trim().split('\n')).toHaveLength(3);
  expect(readdirSync(ws.path('queues/claimed')).filter((name) => !name.startsWith('.'))).toEqual([]);
  expect(readdirSync(ws.path('.worktrees')).filter((name) => name !== '.gitignore')).toEqual([]);
  expect(ws.git('status', '--porcelain', '-uno')).toBe('');
}, 120_000);
