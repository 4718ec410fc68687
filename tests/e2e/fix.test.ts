// Failed checks mended by a patch: it helps and stays, or it is taken back and the task goes back as without it; nothing twice.
import type { ChildProcess } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { expect, it } from 'vitest';
import { shellTask, type TestWorkspace, until, workspaces } from '../helpers/workspace.ts';

const make = workspaces();
const patch = (to: string) => `--- a/f\n+++ b/f\n@@ -1 +1 @@\n-bad\n+${to}\n`;
const answer = (text: string, more: object = {}) =>
  `cat <<'ANSWER'\n${JSON.stringify({ type: 'result', success: true, output: JSON.stringify({ patch: text, why: 'so', ...more }) })}\nANSWER`;

function setUp(script: string, settings = '', attempts = 2): TestWorkspace {
  const ws = make(
    `agent: shell\nfix: patch\nretry: {initial: 50ms, max: 200ms, max_attempts: ${attempts}}\nagents: {mender: {command: ./mender, input: prompt}}\n${settings}`,
  );
  ws.file('roles/fixer.md', '---\nagent: mender\n---\nMend.\n');
  ws.file(
    'mender',
    `#!/bin/sh\ncat > "$TOWPATH_WORKSPACE/.towpath/prompt-$TOWPATH_TASK_ID"\necho "$TOWPATH_TASK_ID" >> "$TOWPATH_WORKSPACE/.towpath/fixes"\n${script}\n`,
    0o755,
  );
  return ws;
}
const calls = (ws: TestWorkspace) =>
  existsSync(ws.path('.towpath/fixes')) ? readFileSync(ws.path('.towpath/fixes'), 'utf8').trim().split('\n') : [];
const fixes = (ws: TestWorkspace, id: string) =>
  Object.values(JSON.parse(readFileSync(ws.path(`.towpath/runs/${id}/trials.json`), 'utf8')) as object);
function tidy(ws: TestWorkspace): void {
  expect(readdirSync(ws.path('.worktrees')).filter((name) => name.includes('fix'))).toEqual([]);
  expect(ws.git('for-each-ref', '--format=%(refname)', 'refs/heads', 'refs/towpath/start')).not.toContain('.fix-');
}

it('a patch that helps stays as a commit of its own, and no attempt is spent on it', () => {
  const ws = setUp(`echo junk > junk\n${answer(patch('good'))}`);
  ws.drop('t', shellTask('echo bad > f', 'checks: ["grep good f", "echo second-check"]\n'));
  expect(ws.drain().code).toBe(0);
  const shown = ws.show('t');
  expect(shown).toMatchObject({ queue: 'done', attempts: 1, feedback: [] });
  expect(ws.git('log', '--format=%an', 'main..towpath/t').trim().split('\n')).toEqual(['fixer', 'shell']);
  expect(ws.git('rev-parse', 'towpath/t').trim()).toBe(shown.commit);
  expect(ws.git('show', 'towpath/t:f')).toBe('good\n');
  expect(ws.git('ls-tree', '--name-only', 'towpath/t')).not.toContain('junk');
  const told = readFileSync(ws.path('.towpath/prompt-t.fix-1'), 'utf8');
  for (const part of ['`grep good f` ended with exit code 1', '+bad', 'echo bad > f']) expect(told).toContain(part);
  expect(told).not.toContain('`echo second-check` ended');
  const checks = readFileSync(ws.path('.towpath/runs/t/1/checks.json'), 'utf8');
  expect((JSON.parse(checks) as { ok: boolean }[]).map(({ ok }) => ok)).toEqual([true, true]);
  expect(ws.json<{ fixes: object }>(['stats']).fixes).toEqual({ tried: 1, helped: 1, rolled_back: 0, refused: 0 });
  tidy(ws);
});

it('one that does not help is taken back exactly, and is not tried again; the task goes back with its feedback', () => {
  const ws = setUp(answer(patch('worse')));
  ws.file('mine', 'not committed\n');
  ws.git('add', 'mine');
  const main = ws.git('rev-parse', 'main');
  ws.drop(
    't',
    shellTask(
      'echo bad > f; echo "$TOWPATH_ATTEMPT" > n',
      // Without the link of its worktree git would take the user's tree for it.
      'checks: ["echo see $(cat f) >> ../../.towpath/seen; rm -f .git; grep -q good f"]\n',
    ),
  );
  expect(ws.drain().code).toBe(1);
  expect([ws.git('rev-parse', 'main'), ws.git('status', '--porcelain', 'mine')]).toEqual([main, 'A  mine\n']);
  const shown = ws.show('t');
  expect(shown).toMatchObject({ queue: 'failed', outcome: 'check_failed' });
  expect(shown.feedback[0]).toMatchObject({ from: 'check', attempt: 1 });
  expect(ws.git('show', 'towpath/t:f')).toBe('bad\n');
  expect(ws.git('log', '--format=%an', 'main..towpath/t')).not.toContain('fixer');
  expect(calls(ws)).toEqual(['t.fix-1', 't.fix-2']);
  expect(fixes(ws, 't')).toMatchObject([
    { outcome: 'rolled_back' },
    { outcome: 'refused', reason: 'the same patch was tried before (t.fix-1)' },
  ]);
  const told = ws.run(['show', 't']).stdout;
  expect(told).toContain('t.fix-1  run 1, rolled back');
  expect(told).toContain('the same patch was tried before (t.fix-1)');
  // The checks saw each result once, and the patched one once.
  expect(readFileSync(ws.path('.towpath/seen'), 'utf8')).toBe('see bad\nsee worse\nsee bad\n');
  expect(ws.json<{ fixes: object }>(['stats']).fixes).toEqual({ tried: 1, helped: 0, rolled_back: 1, refused: 1 });
  tidy(ws);
});

it('with patch_with_test a test must fail without the patch and pass with it, and both stay', () => {
  const test = (line: string) => `--- /dev/null\n+++ b/t.sh\n@@ -0,0 +1 @@\n+${line}\n`;
  const both = (to: string, line: string) => answer(patch(to), { test: test(line), command: ['sh', 't.sh'] });
  const ws = setUp(
    `case "$TOWPATH_TASK_ID" in
proven.*)
${both('good', 'echo ran >> ../../.towpath/$TOWPATH_TASK_ID; grep good f')}
;;
vain.*)
${both('good', 'test -e f')}
;;
worse.*)
${both('worse', 'grep worse f')}
;;
lost.*)
${answer(patch('good'), { test: test('x'), command: ['./nowhere'] })}
;;
esac`,
    'concurrency: 4\n',
    1,
  );
  const matter = 'fix: patch_with_test\nchecks: ["grep -q good f"]\n';
  for (const id of ['proven', 'vain', 'worse', 'lost']) ws.drop(id, shellTask('echo bad > f', matter));
  expect(ws.drain().code).toBe(1);
  expect(ws.show('proven')).toMatchObject({ queue: 'done', attempts: 1, feedback: [] });
  expect(ws.git('log', '--format=%an %s', 'main..towpath/proven').trim().split('\n')).toEqual([
    'fixer Mend failed checks of proven',
    'fixer Test for failed checks of proven',
    'shell A task',
  ]);
  expect(ws.git('ls-tree', '--name-only', 'towpath/proven').split('\n')).toContain('t.sh');
  expect(readFileSync(ws.path('.towpath/proven'), 'utf8')).toBe('ran\nran\n');
  const checks = readFileSync(ws.path('.towpath/runs/proven/1/checks.json'), 'utf8');
  const tree = ws.git('rev-parse', 'towpath/proven^{tree}').trim();
  expect(JSON.parse(checks)).toMatchObject([
    { command: 'grep -q good f', ok: true, tree },
    { command: 'sh t.sh', by: 'fixer', ok: true, tree },
  ]);
  const told = readFileSync(ws.path('.towpath/prompt-proven.fix-1'), 'utf8');
  for (const part of ['## Your regression test', '"command"', '"test"']) expect(told).toContain(part);
  expect(fixes(ws, 'vain')).toMatchObject([
    { outcome: 'refused', reason: 'the regression test passes without the patch' },
  ]);
  expect(fixes(ws, 'lost')).toMatchObject([
    {
      outcome: 'refused',
      reason: expect.stringMatching(/^the regression test cannot be started: .*cannot start .\/nowhere/),
    },
  ]);
  expect(fixes(ws, 'worse')).toMatchObject([{ outcome: 'rolled_back', reason: 'still failing: grep -q good f' }]);
  for (const id of ['vain', 'worse', 'lost']) {
    expect(ws.show(id)).toMatchObject({ queue: 'failed', outcome: 'check_failed' });
    expect(ws.git('log', '--format=%an', `main..towpath/${id}`).trim()).toBe('shell');
    expect(readFileSync(ws.path(`.worktrees/task-${id}/f`), 'utf8')).toBe('bad\n');
    expect(existsSync(ws.path(`.worktrees/task-${id}/t.sh`))).toBe(false);
  }
  expect(ws.json<{ fixes: object }>(['stats']).fixes).toEqual({ tried: 2, helped: 1, rolled_back: 1, refused: 2 });
  tidy(ws);
}, 120_000);

it('protected files, prose and a fixer that crashes mend nothing', () => {
  const ws = setUp(
    `case "$TOWPATH_TASK_ID" in\nguarded.*)\n${answer('--- /dev/null\n+++ b/safe/x\n@@ -0,0 +1 @@\n+x\n')}\n;;\nprose.*) echo '{"type":"result","success":true,"output":"try harder"}';;\n*) exit 3;;\nesac`,
    'protect: [safe/**]\nconcurrency: 4\n',
    1,
  );
  const matter = 'checks: ["grep -q good f"]\n';
  ws.drop('guarded', shellTask('echo bad > f', matter));
  ws.drop('prose', shellTask('echo bad > f', matter));
  ws.drop('crash', shellTask('echo bad > f', matter));
  expect(ws.drain().code).toBe(1);
  for (const id of ['guarded', 'prose', 'crash'])
    expect(ws.show(id)).toMatchObject({ queue: 'failed', outcome: 'check_failed' });
  expect(fixes(ws, 'guarded')).toMatchObject([{ outcome: 'refused', reason: 'it changes protected files: safe/x' }]);
  expect(fixes(ws, 'prose')).toMatchObject([{ outcome: 'refused', reason: expect.stringContaining('no JSON') }]);
  expect(fixes(ws, 'crash')).toMatchObject([{ outcome: 'refused' }]);
});

it('killed while the fix runs, and while its patch is checked: it is tried once, and stays once', async () => {
  const wait = (name: string) => `while [ ! -e "$TOWPATH_WORKSPACE/.towpath/${name}" ]; do sleep 0.05; done; `;
  const ws = setUp(`${wait('go')}\n${answer(patch('good'))}`);
  const again = async () => {
    process.kill(ws.daemonPid()!, 'SIGKILL');
    rmSync(ws.path('.towpath/daemon.json'), { force: true });
    await ws.start();
  };
  const seen = () => (existsSync(ws.path('.towpath/seen')) ? readFileSync(ws.path('.towpath/seen'), 'utf8') : '');
  ws.file(
    'check',
    `#!/bin/sh\ncat f >> "$TOWPATH_WORKSPACE/.towpath/seen"\ngrep -q good f || exit 1\n${wait('end')}\n`,
    0o755,
  );
  ws.drop('t', shellTask('echo bad > f', 'review: human\nchecks: ["$TOWPATH_WORKSPACE/check"]\n'));
  await ws.start();
  await until(
    () => calls(ws).length === 1,
    'the fix runs',
    20_000,
    () => ws.output,
  );
  await again();
  ws.file('.towpath/go', '');
  await until(
    () => seen().includes('good'),
    'its patch is checked',
    20_000,
    () => ws.output,
  );
  await again();
  await until(() => seen() === 'bad\ngood\ngood\n', 'its patch is checked again', 20_000, seen);
  ws.file('.towpath/end', '');
  await until(() => ws.show('t').reason?.includes('towpath accept') ?? false, 'it waits for a person', 20_000);
  expect(ws.git('log', '--format=%an', 'main..towpath/t').trim().split('\n')).toEqual(['fixer', 'shell']);
  expect(ws.show('t').commit).toBe(ws.git('rev-parse', 'towpath/t').trim());
  expect(calls(ws)).toEqual(['t.fix-1']);
  tidy(ws);
}, 90_000);

it('a minor task is mended in the own tree of the repository, and what does not help is taken out of it exactly', async () => {
  const test = { test: '--- /dev/null\n+++ b/t.sh\n@@ -0,0 +1 @@\n+grep good proven.txt\n', command: ['sh', 't.sh'] };
  const mends = (id: string, to: string, more = {}) =>
    `${id}.*)\n${answer(patch(to).replaceAll('/f\n', `/${id}.txt\n`), more)}\n;;`;
  const ws = setUp(
    `case "$TOWPATH_TASK_ID" in
${mends('proven', 'good', test)}
${['helps', 'killed', 'taken', 'gone'].map((id) => mends(id, 'good')).join('\n')}
${mends('worse', 'worse')}
esac`,
    '',
    1,
  );
  ws.file('mine.txt', 'mine\n');
  const before = ws.git('status', '--porcelain');
  const drop = (id: string, check: string, more = '') =>
    ws.drop(id, shellTask(`echo bad > ${id}.txt`, `complexity: minor\nchecks: ['${check}']\n${more}`));
  const log = () =>
    ws.git('log', '--format=%an %s', '--reverse', '--name-only').trim().split('\n').filter(Boolean).slice(2);
  drop('proven', 'true; grep -q good proven.txt', 'fix: patch_with_test\n');
  for (const id of ['helps', 'worse']) drop(id, `grep -q good ${id}.txt`);
  expect(ws.drain().code).toBe(1);
  expect(ws.show('helps')).toMatchObject({ queue: 'done', attempts: 1, feedback: [] });
  expect(ws.show('helps').commit).toBe(ws.git('rev-parse', 'HEAD').trim());
  expect(ws.git('show', 'HEAD:helps.txt')).toBe('good\n');
  expect(ws.git('log', '-1', '--format=%B')).toContain('Towpath-Fix: helps.fix-1');
  const first = ['shell A task', 'proven.txt', 't.sh'];
  expect(log()).toEqual([...first, 'shell A task', 'helps.txt']);
  expect(fixes(ws, 'proven')).toMatchObject([{ outcome: 'helped', brought: [{ argv: ['sh', 't.sh'] }] }]);
  expect(ws.show('worse')).toMatchObject({ queue: 'failed', outcome: 'check_failed' });
  expect(fixes(ws, 'worse')).toMatchObject([{ outcome: 'rolled_back' }]);
  expect(ws.git('show', `${ws.show('worse').commit}:worse.txt`)).toBe('bad\n');
  expect(ws.git('status', '--porcelain')).toBe(before);

  // Cancelled while the patch is checked, accepted after a kill, or tried anew after one: first it is taken out.
  const checks = async (id: string) => {
    const waits = `[ -e .towpath/go ] || { touch .towpath/checks-${id}; sleep 1000; }`;
    drop(id, `! grep -q good ${id}.txt || ${waits}; grep -q good ${id}.txt`);
    const isChecked = () => existsSync(ws.path(`.towpath/checks-${id}`));
    await until(isChecked, 'it is checked', 60_000, () => ws.output);
    expect(readFileSync(ws.path(`${id}.txt`), 'utf8')).toBe('good\n');
  };
  const die = async (daemon: ChildProcess) => {
    daemon.kill('SIGKILL');
    await until(() => daemon.signalCode !== null, 'it is dead');
  };
  const daemon = await ws.start();
  await checks('gone');
  expect(ws.run(['cancel', 'gone']).code).toBe(0);
  expect(ws.git('status', '--porcelain')).toBe(before);
  await checks('taken');
  await die(daemon);
  expect(ws.run(['accept', 'taken'])).toMatchObject({ code: 0, stdout: 'taken is in done/\n' });
  expect(ws.git('show', 'HEAD:taken.txt')).toBe('bad\n');
  expect(ws.git('status', '--porcelain')).toBe(before);
  const next = await ws.start();
  await checks('killed');
  await die(next);
  ws.file('.towpath/go', '');
  ws.drain();
  expect(ws.show('killed')).toMatchObject({ queue: 'done', attempts: 1 });
  expect(ws.git('show', 'HEAD:killed.txt')).toBe('good\n');
  expect(ws.git('status', '--porcelain')).toBe(before);
  expect(log()).toEqual([...first, ...['helps', 'taken', 'killed'].flatMap((id) => ['shell A task', `${id}.txt`])]);
  expect(calls(ws)).toEqual(['proven', 'helps', 'worse', 'gone', 'taken', 'killed'].map((id) => `${id}.fix-1`));
  tidy(ws);
}, 180_000);

it('accepted or sent back by a person while a patch is checked: the patch is taken back first', async () => {
  const ws = setUp(answer(patch('worse')), 'concurrency: 4\n');
  const check = 'grep -q worse f && { touch ../../.towpath/checks-$TOWPATH_TASK_ID; sleep 1000; }; grep -q good f';
  const work = shellTask('[ "$TOWPATH_ATTEMPT" = 1 ] && echo bad > f || echo good > f', `checks: ['${check}']\n`);
  for (const id of ['a', 'r', 'k']) ws.drop(id, work);
  const daemon = await ws.start();
  for (const id of ['a', 'r', 'k'])
    await until(
      () => existsSync(ws.path(`.towpath/checks-${id}`)),
      `the patch of ${id} is checked`,
      30_000,
      () => ws.output,
    );
  const { commit } = ws.show('a');
  expect(ws.run(['accept', 'a'])).toMatchObject({ code: 0, stdout: 'a is in done/\n' });
  expect(ws.git('rev-parse', 'towpath/a').trim()).toBe(commit);
  expect(ws.git('show', 'towpath/a:f')).toBe('bad\n');
  expect(ws.run(['reject', 'r', '-m', 'write good']).code).toBe(0);
  await ws.reaches('r', 'done', 30_000);
  expect(ws.git('show', 'towpath/r:f')).toBe('good\n');
  expect(ws.git('log', '--format=%an', 'main..towpath/r').trim().split('\n')).toEqual(['shell', 'shell']);
  expect(ws.output).not.toContain('broke off');
  // Killed in the midst of it, the patch lies on the branch.
  daemon.kill('SIGKILL');
  await until(() => daemon.signalCode !== null, 'it is dead');
  const kept = ws.show('k').commit;
  expect(ws.git('rev-parse', 'towpath/k').trim()).not.toBe(kept);
  expect(ws.run(['accept', 'k'])).toMatchObject({ code: 0, stdout: 'k is in done/\n' });
  expect(ws.git('rev-parse', 'towpath/k').trim()).toBe(kept);
}, 90_000);

it('killed while a patch for a run without changes is checked: it is taken back all the same', async () => {
  const ws = setUp(answer(patch('worse')), '', 1);
  ws.file('f', 'bad\n');
  ws.git('add', 'f');
  ws.git('commit', '-qm', 'bad');
  const seen = ws.path('.towpath/seen');
  const wait = `grep -q bad f || while [ ! -e "$TOWPATH_WORKSPACE/.towpath/end" ]; do sleep 0.05; done`;
  ws.file('check', `#!/bin/sh\necho dirt >> README.md\ncat f >> ${seen}\n${wait}\ngrep -q good f\n`, 0o755);
  ws.drop('t', shellTask('true', 'expect: any\nchecks: ["$TOWPATH_WORKSPACE/check"]\n'));
  const said = () => (existsSync(seen) ? readFileSync(seen, 'utf8') : '');
  await ws.start();
  await until(() => said() === 'bad\nworse\n', 'its patch is checked', 20_000, said);
  process.kill(ws.daemonPid()!, 'SIGKILL');
  rmSync(ws.path('.towpath/daemon.json'), { force: true });
  await ws.start();
  await until(() => said() === 'bad\nworse\nworse\n', 'its patch is checked again', 20_000, said);
  ws.file('.towpath/end', '');
  await until(() => ['failed', 'blocked'].includes(ws.where('t') ?? ''), 'it is over', 20_000);
  expect(ws.show('t')).toMatchObject({ queue: 'failed', outcome: 'check_failed' });
  expect(fixes(ws, 't')).toMatchObject([{ outcome: 'rolled_back' }]);
  expect(ws.git('rev-parse', 'towpath/t')).toBe(ws.git('rev-parse', 'main'));
  // What lay there uncommitted, as a person could have left it.
  expect(ws.git('show', 'refs/towpath/salvage/t/1-before-fix:README.md')).toContain('dirt');
}, 60_000);
