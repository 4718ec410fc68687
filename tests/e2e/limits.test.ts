// Limits over a whole night: who waits, who goes on, who goes first when the time is over, and what survives a restart.
import { existsSync, readFileSync, rmSync } from 'node:fs';
import { expect, it } from 'vitest';
import { type TestWorkspace, until, workspaces } from '../helpers/workspace.ts';

const make = workspaces();
/** Runs are noted in runs.txt; while the file `limited` is there it is limited for the time in it. */
const BOT = `#!/bin/sh
echo "begin $TOWPATH_TASK_ID $TOWPATH_SESSION" >> "$TOWPATH_WORKSPACE/runs.txt"
if [ -f "$TOWPATH_WORKSPACE/limited" ]; then
  printf '{"type":"result","success":false,"session":"s-%s"}\\n' "$TOWPATH_TASK_ID"
  printf '{"type":"error","outcome":"rate_limited","content":"the window is full","retry_after":"%s"}\\n' "$(cat "$TOWPATH_WORKSPACE/limited")"
  exit 0
fi
echo '{"type":"agent_thought","content":"working"}'
while [ -f "$TOWPATH_WORKSPACE/slow" ]; do sleep 0.05; done
echo "$TOWPATH_TASK_ID" > "$TOWPATH_TASK_ID.txt"
echo "end $TOWPATH_TASK_ID" >> "$TOWPATH_WORKSPACE/runs.txt"
echo '{"type":"result","success":true,"output":"done"}'
`;
const setUp = (settings = '') => {
  const ws = make(
    `agent: bot\nagents: {bot: {command: ./bot}, other: {command: ./other}}\nconcurrency: 3\n${settings}`,
  );
  ws.file('bot', BOT, 0o755);
  ws.file('other', '#!/bin/sh\necho by-other > other.txt\n', 0o755);
  return ws;
};
const task = (matter = '') => `---\n${matter}title: a task\n---\nDo it.\n`;
const lies = (ws: TestWorkspace, id: string, queue: string) => existsSync(ws.path('queues', queue, `${id}.md`));
const reaches = (ws: TestWorkspace, id: string, queue: string) =>
  until(
    () => lies(ws, id, queue),
    `${id} reaches ${queue}`,
    20_000,
    () => ws.output,
  );
const runs = (ws: TestWorkspace): string[] =>
  existsSync(ws.path('runs.txt')) ? readFileSync(ws.path('runs.txt'), 'utf8').trim().split('\n') : [];
const closed = (ws: TestWorkspace) => ws.json<{ limits: { agent: string; trial: boolean }[] }>(['status']).limits;

it('closes the agent and not the others, over a restart, until a person opens it; the run goes on by its session', async () => {
  const ws = setUp();
  ws.file('limited', '1h');
  ws.drop('one', task());
  const daemon = await ws.start();
  await until(
    () => closed(ws).length === 1 && ws.show('one').queue === 'incoming' && ws.show('one').outcome !== null,
    'the agent is closed, and the task is back',
    20_000,
    () => ws.output,
  );
  expect(ws.show('one')).toMatchObject({ queue: 'incoming', outcome: 'rate_limited', attempts: 0 });
  ws.drop('two', task());
  ws.drop('three', task('agent: other\n'));
  await reaches(ws, 'three', 'done');
  daemon.kill('SIGKILL');
  await until(() => daemon.signalCode !== null, 'the daemon is dead');
  await ws.start();
  await until(() => ws.run(['why', 'two']).stdout.includes('agent bot is closed by its limit until'), 'two waits');
  expect(runs(ws)).toEqual(['begin one']);
  ws.run(['cancel', 'two']);
  rmSync(ws.path('limited'));
  ws.run(['resume', 'bot']);
  await until(
    () => runs(ws).length > 1,
    'one goes on',
    20_000,
    () => ws.output,
  );
  expect(runs(ws)[1]).toBe('begin one s-one');
});

it('lets one run go first once the time is over, and the others at its first answer', async () => {
  const ws = setUp();
  ws.file('limited', '2s');
  ws.drop('a', task());
  const daemon = await ws.start();
  await until(
    () => closed(ws).length === 1,
    'the agent is closed',
    20_000,
    () => ws.output,
  );
  for (const id of ['b', 'c', 'd']) ws.drop(id, task());
  // Still limited when it is tried: only the one that tries runs into it.
  ws.file('limited', '10s');
  await until(
    () => runs(ws).length === 2,
    'one tries',
    20_000,
    () => ws.output,
  );
  await until(() => closed(ws).some(({ trial }) => !trial), 'it is closed again', 20_000);
  expect(runs(ws)).toHaveLength(2);
  ws.file('slow', '');
  rmSync(ws.path('limited'));
  // Its answer opens the agent long before its end.
  await until(
    () => runs(ws).length === 5,
    'the others follow',
    20_000,
    () => ws.output,
  );
  expect(runs(ws).some((line) => line.startsWith('end'))).toBe(false);
  expect(closed(ws)).toEqual([]);
  rmSync(ws.path('slow'));
  for (const id of ['a', 'b', 'c', 'd']) await reaches(ws, id, 'done');
  expect(daemon.exitCode).toBeNull();
  const events = ws.run(['events', '--json']).stdout;
  expect(events).toContain('"event":"agent_closed"');
  expect(events).toContain('"event":"agent_opened"');
});

it('goes to the fallback of the role, but not where the task names its agent', async () => {
  const ws = setUp();
  ws.file('roles/implementer.md', '---\nfallback: other\n---\nYou implement.\n');
  ws.file('limited', '1h');
  ws.drop('one', task());
  await ws.start();
  await reaches(ws, 'one', 'done');
  expect(ws.show('one').agent).toBe('other');
  ws.drop('two', task('agent: bot\n'));
  await until(() => ws.run(['why', 'two']).stdout.includes('agent bot is closed'), 'two waits', 20_000);
  expect(ws.git('show', 'towpath/one:other.txt')).toBe('by-other\n');
});

it('a refused key takes the agent out of service until a person says so, and `limits: off` closes nothing', async () => {
  const ws = make('agent: bot\nconcurrency: 1\nagents: {bot: {command: ./bot}, free: {command: ./bot, limits: off}}\n');
  ws.file('bot', `#!/bin/sh\necho '{"type":"error","outcome":"auth","content":"bad key"}'\nexit 1\n`, 0o755);
  ws.drop('one', task());
  await ws.start();
  await reaches(ws, 'one', 'blocked');
  ws.drop('two', task());
  await until(
    () => ws.run(['why', 'two']).stdout.includes('out of service: bad key; "towpath resume bot"'),
    'two waits',
    20_000,
  );
  ws.drop('three', task('agent: free\n'));
  await reaches(ws, 'three', 'blocked');
  expect(closed(ws).map(({ agent }) => agent)).toEqual(['bot']);
});
