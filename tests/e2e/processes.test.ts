// Processes under the real daemon: every end takes the whole tree along, floods of output cost nothing, and only real silence is stuck.
import { existsSync, readFileSync, statSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, test } from 'vitest';
import { makeCgroup, removeCgroup } from '../../daemon/process/cgroup.ts';
import { startedAt } from '../../daemon/process/identity.ts';
import { shellTask, type TestWorkspace, until, workspaces } from '../helpers/workspace.ts';
import { GHOST } from '../process/helpers.ts';

const workspace = workspaces();
const cgroup = makeCgroup(`test/${process.pid}`);
if (cgroup) removeCgroup(cgroup);
else console.error('\n*** NOT RUN: ends of runs in cgroups: none can be made here\n');

const quoted = (argv: string[]) => argv.map((word) => `'${word.replaceAll("'", `'\\''`)}'`).join(' ');
const read = (path: string) => (existsSync(path) ? readFileSync(path, 'utf8') : '');
const kb = (pid: number, what: 'VmRSS' | 'VmHWM') =>
  Number(new RegExp(`^${what}:\\s+(\\d+)`, 'm').exec(read(`/proc/${pid}/status`))?.[1]);

describe.skipIf(!cgroup)('a child that ignores SIGTERM, left session, parents and environment', () => {
  const ends: Record<string, (ws: TestWorkspace) => unknown> = {
    'a time-out': () => {},
    cancel: (ws) => ws.run(['cancel', 'ghost']),
    pause: (ws) => ws.run(['pause', 'ghost']),
    'stop --now': (ws) => ws.run(['stop', '--now']),
  };
  test.each(Object.entries(ends))('is ended by %s', async (name, end) => {
    const ws = workspace(`agent: shell\ntimeouts: {agent: ${name === 'a time-out' ? '2s' : '10m'}}\n`);
    const home = ws.path('.towpath');
    await ws.start();
    ws.drop('ghost', shellTask(`cd ${home}\n${quoted(GHOST)}`, 'max_attempts: 1\n'));
    await until(() => read(`${home}/up`) !== '', 'the child is up');
    const pid = Number(read(`${home}/pids`));
    expect(startedAt(pid)).toBeDefined();
    end(ws);
    await until(
      () => ws.where('ghost') !== 'claimed',
      'the run is over',
      30_000,
      () => ws.output,
    );
    expect(startedAt(pid)).toBeUndefined();
    expect(existsSync(read(ws.path('.towpath/runs/ghost/1/cgroup')).trim())).toBe(false);
  });

  test('is ended by a daemon that finds the run again after kill -9', async () => {
    const ws = workspace();
    const home = ws.path('.towpath');
    const first = await ws.start();
    ws.drop('ghost', shellTask(`cd ${home}\n${quoted(GHOST)}`));
    await until(() => read(`${home}/up`) !== '', 'the child is up');
    first.kill('SIGKILL');
    await until(() => first.signalCode !== null, 'the daemon is dead');
    await ws.start();
    const pid = Number(read(`${home}/pids`));
    expect(startedAt(pid)).toBeDefined();
    expect(ws.run(['cancel', 'ghost']).code).toBe(0);
    expect(startedAt(pid)).toBeUndefined();
  });
});

test('a hook and a check that a killed daemon left running are ended before they run again; those of others are not', async () => {
  const other = workspace();
  const ws = workspace(
    'agent: shell\nchecks: ["echo $$ >>$TOWPATH_WORKSPACE/checks; [ -e $TOWPATH_WORKSPACE/pass ] || exec sleep 600"]\n',
  );
  for (const one of [other, ws])
    one.hook(
      'pre_task',
      '#!/bin/sh\necho $$ >>$TOWPATH_WORKSPACE/hooks.pids; [ -e $TOWPATH_WORKSPACE/go ] || exec sleep 600\n',
    );
  ws.drop('checked', shellTask('echo x >x', 'expect: any\n'));
  const pids = (one: TestWorkspace, name: string) =>
    read(one.path(name)).trim().split('\n').filter(Boolean).map(Number);
  const lives = (list: number[]) => list.map((pid) => startedAt(pid) !== undefined);
  // The one daemon is killed in a hook, the next in a check; beside them another workspace has a task of the same name.
  await other.start();
  other.drop('checked', shellTask('echo x >x', 'expect: any\n'));
  const first = await ws.start();
  await until(() => pids(ws, 'hooks.pids').length === 1 && pids(other, 'hooks.pids').length === 1, 'the hooks run');
  first.kill('SIGKILL');
  await until(() => first.signalCode !== null, 'the daemon is dead');
  const second = await ws.start();
  await until(() => pids(ws, 'hooks.pids').length === 2, 'the hook runs again');
  expect(lives([...pids(ws, 'hooks.pids'), ...pids(other, 'hooks.pids')])).toEqual([false, true, true]);
  second.kill('SIGKILL');
  ws.file('go', '');
  const third = await ws.start();
  await until(
    () => pids(ws, 'checks').length === 1,
    'the check runs',
    20_000,
    () => ws.output,
  );
  third.kill('SIGKILL');
  await until(() => third.signalCode !== null, 'the daemon is dead');
  expect(lives(pids(ws, 'checks'))).toEqual([true]);
  ws.file('pass', '');
  await ws.start();
  await ws.reaches('checked', 'done');
  expect(lives([...pids(ws, 'hooks.pids'), ...pids(ws, 'checks'), ...pids(other, 'hooks.pids')])).toEqual([
    false,
    false,
    false,
    false,
    false,
    true,
  ]);
  expect(ws.output).toContain('that an earlier daemon had left');
  other.run(['stop', '--now']);
  await until(() => !lives(pids(other, 'hooks.pids'))[0], 'the other one is ended as well');
}, 60_000);

test.each(['cancel', 'stop --now'])(
  'a hook at work is ended by %s, and the task goes where that says',
  async (how) => {
    const ws = workspace();
    ws.hook('pre_task', '#!/bin/sh\necho $$ >$TOWPATH_WORKSPACE/pid; exec sleep 600\n');
    ws.drop('hooked', shellTask('echo x >x'));
    const daemon = await ws.start();
    await until(() => read(ws.path('pid')) !== '', 'the hook runs');
    const pid = Number(read(ws.path('pid')));
    ws.run(how === 'cancel' ? ['cancel', 'hooked'] : ['stop', '--now']);
    await ws.reaches('hooked', how === 'cancel' ? 'failed' : 'incoming');
    expect(startedAt(pid)).toBeUndefined();
    expect(ws.show('hooked').attempts).toBe(0);
    if (how !== 'cancel') await until(() => daemon.exitCode === 0, 'the daemon leaves');
  },
  40_000,
);

test('a flood of output: little memory, little disk, head and tail kept, and the verdict right after kill -9', async () => {
  const ws = workspace('agents: {bot: {command: [./bot]}}\nagent: bot\nlimits: {run_output: 4MB}\n');
  const say = (event: object) => `echo '${JSON.stringify(event)}'`;
  ws.file(
    'bot',
    `#!/bin/sh
${say({ type: 'agent_thought', content: 'the head' })}
${say({ type: 'tool_call', id: 'a', name: 'flood' })}
head -c 60000000 /dev/zero | tr '\\0' x; echo
yes 'a line of a hundred bytes, or so, that says nothing at all, again and again, until the disk is full.' | head -c 100000000
yes 'to stderr' | head -c 30000000 >&2
echo half >"$TOWPATH_WORKSPACE/half"
until [ -e "$TOWPATH_WORKSPACE/go" ]; do sleep 0.1; done
yes 'a line of a hundred bytes, or so, that says nothing at all, again and again, until the disk is full.' | head -c 150000000
echo
${say({ type: 'tool_result', id: 'a', content: 'flooded' })}
${say({ type: 'result', success: true, output: 'the tail', session: 's-9', usage: { cost_usd: 0.5 } })}
`,
    0o755,
  );
  const stdout = ws.path('.towpath/runs/flood/1/stdout');
  const small = () => statSync(stdout).blocks * 512 < 8e6;
  const first = await ws.start();
  // What any first task makes it load is not the flood's doing.
  ws.drop('first', shellTask('echo x', 'expect: any\n'));
  await ws.reaches('first', 'done');
  const before = kb(first.pid!, 'VmHWM');
  ws.drop('flood', '---\nexpect: any\n---\nDo it.\n');
  await until(
    () => existsSync(ws.path('half')) && small(),
    'half of it came, and was cut',
    60_000,
    () => ws.output,
  );
  expect(kb(first.pid!, 'VmHWM') - before).toBeLessThan(60_000);
  first.kill('SIGKILL');
  await until(() => first.signalCode !== null, 'the daemon is dead');
  ws.file('go', '');
  await sleep(300);
  const second = await ws.start();
  await ws.reaches('flood', 'done', 60_000);
  expect(kb(second.pid!, 'VmHWM') - before).toBeLessThan(60_000);
  expect(ws.show('flood')).toMatchObject({ result: 'the tail', session: 's-9', cost_usd: 0.5, outcome: 'ok' });
  expect(statSync(stdout).size).toBeGreaterThan(300e6);
  expect(small()).toBe(true);
  expect(statSync(ws.path('.towpath/runs/flood/1/stderr')).blocks * 512).toBeLessThan(8e6);
  const log = ws.run(['logs', 'flood']).stdout;
  expect(log).toContain('the head');
  expect(log).toMatch(/… 30\d.*MB? of output cut out \(limits.run_output\) …/);
  expect(log).toContain('the tail');
  expect(log).not.toContain('\0');
  expect(ws.run(['logs', 'flood', '--raw']).stdout).not.toContain('\0');
}, 120_000);

test('a daemon that stood still for longer than the time-outs blames no agent for it', async () => {
  const ws = workspace('agent: shell\ntimeouts: {agent: 8s, stuck: 8s, first_output: 8s}\n');
  const daemon = await ws.start();
  ws.drop('slept', shellTask('echo up\nsleep 10\necho done > done.txt'));
  await until(() => read(ws.path('.towpath/runs/slept/1/stdout')).includes('up'), 'the agent is at work');
  daemon.kill('SIGSTOP');
  await sleep(7000);
  daemon.kill('SIGCONT');
  await ws.reaches('slept', 'done');
  expect(ws.show('slept')).toMatchObject({ outcome: 'ok', attempts: 1 });
}, 40_000);

test('what hangs is told, shown, ended as stuck, and costs an attempt; a silent build beside it goes on', async () => {
  const ws = workspace('agent: shell\ntimeouts: {stuck: 6s}\nretry: {initial: 100ms}\nconcurrency: 2\n');
  await ws.start();
  ws.drop('hangs', shellTask('exec sleep 600', 'max_attempts: 1\n'));
  ws.drop('builds', shellTask('i=0; while [ $i -lt 3000000 ]; do i=$((i+1)); done; echo x >x', 'expect: any\n'));
  type Seen = { health: { processes: number; last_event: string; last_sign: string; seen_at: string } | null };
  const seen = () => ws.json<Seen>(['show', 'hangs']).health;
  await until(() => seen()?.processes === 1 && seen()?.last_event === 'log', 'its health is seen');
  expect(ws.run(['show', 'hangs']).stdout).toMatch(/last output .*\(log\), last sign of life/);
  await ws.reaches('hangs', 'failed');
  await ws.reaches('builds', 'done');
  expect(ws.output).toContain('no sign of life for');
  expect(ws.show('hangs')).toMatchObject({
    outcome: 'stuck',
    attempts: 1,
    reason: expect.stringContaining('no sign of life'),
  });
  expect(ws.run(['show', 'hangs']).stdout).toMatch(/Health\n.*last sign of life/);
}, 60_000);
