// Thousands of files: the best is taken first, a restart believes no more than the files say, and looking stays short.
import { existsSync, linkSync, mkdirSync, readdirSync, renameSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import type { Status } from '../../daemon/cli/view/status.ts';
import { shellTask, until, workspaces } from '../helpers/workspace.ts';

const make = workspaces();
const MANY = 3000;
const SETTINGS = `agent: shell
durability: fast
concurrency: {total: 2, agents: {slow: 1}}
agents: {slow: {command: [sleep, "60"]}}
`;
const later = (n: number, role = 'implementer') =>
  `---\ntitle: Number ${n}\nagent: slow\nrole: ${role}\ncomplexity: minor\nrepo: there\npriority: P${1 + (n % 3)}\n---\nWait for your turn.\n`;
const now = (extra = '') => shellTask('true', `complexity: minor\nexpect: any\npriority: P0\n${extra}`);

it('takes the best first, also after a kill, and notices what changed meanwhile', async () => {
  const ws = make(SETTINGS, { repo: false });
  mkdirSync(ws.path('there'));
  const past = Date.now() / 1000 - 100;
  const put = (name: string, content: string, age: number) => {
    const path = ws.path('queues/incoming', `${name}.md`);
    writeFileSync(path, content);
    utimesSync(path, past, past - age);
  };
  ws.file('roles/odd.md', '---\n---\nYou are odd.\n');
  for (let n = 0; n < MANY; n++) put(`t${n}`, later(n, n === 1000 ? 'odd' : undefined), n);
  const first = await ws.start();
  ws.drop('now', now());
  await ws.reaches('now', 'done');
  // One of the slow ones has the only slot: the oldest of the highest priority among them.
  const best = `t${MANY - 3}`;
  await ws.reaches(best, 'claimed');
  const listed = ws.json<{ id: string }[]>(['list', 'incoming', '--limit', '3']);
  expect(listed.map(({ id }) => id)).toEqual([`t${MANY - 6}`, `t${MANY - 9}`, `t${MANY - 12}`]);
  const status = ws.json<Status>(['status']);
  expect(status.counts).toMatchObject({ incoming: MANY - 1, claimed: 1, done: 1 });
  await until(() => existsSync(ws.path('.towpath/waiting')), 'what was read is written down');

  first.kill('SIGKILL');
  await new Promise((resolve) => first.once('exit', resolve));
  // While nobody looks: one becomes urgent, one bad, one is removed, one comes in, and a role goes.
  put('t5', now(), 5);
  put('t7', 'no front matter\0', 7);
  rmSync(ws.path('queues/incoming/t9.md'));
  put('u', later(1), 9999);
  rmSync(ws.path('roles/odd.md'));
  await ws.start();
  await ws.reaches('t5', 'done');
  await ws.reaches('t7', 'failed');
  await ws.reaches('t1000', 'failed');
  expect(ws.show('t1000').reason).toContain('role: "odd" does not exist');
  expect(ws.where(best)).toBe('claimed');
  expect(ws.json<{ id: string }[]>(['list', 'incoming', '--limit', '1'])[0]?.id).toBe(`t${MANY - 6}`);
  ws.run(['cancel', best]);
  // The oldest of P1 is t2997; the one that came in has P2.
  await ws.reaches(`t${MANY - 6}`, 'claimed');
  expect(ws.run(['show', 't9']).code).toBe(4);
}, 120_000);

it('brings thousands back that waited for one task, and tells a circle among them', async () => {
  const ws = make('agent: shell\ndurability: fast\nconcurrency: 1\n', { repo: false });
  for (let n = 0; n < 400; n++)
    ws.file(
      `staged/t${n}.md`,
      `---\nagent: shell\ncomplexity: minor\nexpect: any\nnot_before: 90d\ndepends_on: [first, second]\n---\nGo.\n`,
    );
  ws.file('staged/x.md', '---\ndepends_on: [y]\n---\nGo.\n');
  ws.file('staged/y.md', '---\ndepends_on: [x]\n---\nGo.\n');
  await ws.start();
  for (const name of readdirSync(ws.path('staged')))
    renameSync(ws.path('staged', name), ws.path('queues/incoming', name));
  const blocked = () => readdirSync(ws.path('queues/blocked')).filter((name) => name.endsWith('.md')).length;
  await until(() => blocked() === 400, 'all wait', 60_000);
  await ws.reaches('x', 'failed');
  await ws.reaches('y', 'failed');
  ws.drop('first', now());
  await ws.reaches('first', 'done');
  await until(
    () => ws.run(['why', 't7']).stdout.includes('waits for second (in no queue)'),
    'why tells whom it waits for',
  );
  expect(blocked()).toBe(400);
  // Also by hand, and while the daemon is busy with nothing.
  writeFileSync(ws.path('queues/done/second.md'), 'By hand.\n');
  await until(() => blocked() === 0, 'all are back', 60_000);
  expect(ws.json<Status>(['status']).counts.incoming).toBe(400);
}, 120_000);

it('status and list read no more than they show', () => {
  const ws = make(SETTINGS, { repo: false });
  for (let n = 0; n < 600; n++)
    ws.file(
      `queues/failed/f${n}.md`,
      '---\ntowpath:\n  queue: failed\n  outcome: failed\n  reason: it broke\n---\nDo it.\n',
    );
  const status = ws.json<Status>(['status']);
  expect(status.counts.failed).toBe(600);
  expect(status.needs_you).toHaveLength(200);
  expect(ws.run(['status']).stdout).toContain('failed 600');
  expect(ws.json<unknown[]>(['list'])).toHaveLength(600);
  expect(ws.json<unknown[]>(['list', 'failed', '--limit', '50'])).toHaveLength(50);
  const text = ws.run(['list', 'failed']);
  expect(text.stdout.trim().split('\n')).toHaveLength(201);
  expect(text.stderr).toContain('only 200 of failed/ are shown');
  expect(ws.run(['list', '--limit', '0']).code).toBe(2);
  expect(ws.run(['list', 'failed', '--limit', '1000']).stderr).toBe('');
});

it('tells a count of a very large queue that the daemon knows', async () => {
  const ws = make(SETTINGS, { repo: false });
  // Names alone: hard links.
  ws.file('queues/done/d0.md', 'Done.\n');
  for (let n = 1; n <= 5200; n++) linkSync(ws.path('queues/done/d0.md'), ws.path('queues/done', `d${n}.md`));
  await ws.start();
  const counts = () => ws.json<Status>(['status']).counts;
  await until(() => existsSync(ws.path('.towpath/daemon.json')) && counts().done === 5201, 'they are counted');
  ws.drop('now', now());
  await ws.reaches('now', 'done');
  await until(() => counts().done === 5202, 'one more');
});
