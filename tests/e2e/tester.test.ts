// A tester's evidence: its tests stay on the branch, its commands are checks, and what it brings counts only as it is measured.
import { existsSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { expect, it } from 'vitest';
import type { Evidence } from '../../daemon/gate/checks.ts';
import { answers, evidence, scene, verdict } from '../helpers/reviewers.ts';
import { shellTask, type TestWorkspace, until } from '../helpers/workspace.ts';

const { setUp, calls, prompt, show } = scene();

const checks = (ws: TestWorkspace, id: string, run: number): Evidence[] =>
  JSON.parse(readFileSync(ws.path(`.towpath/runs/${id}/${run}/checks.json`), 'utf8')) as Evidence[];
const authors = (ws: TestWorkspace, id: string) =>
  ws.git('log', '--format=%an', `main..towpath/${id}`).trim().split('\n');
/** Nothing of a tester is left beside the branch of what it tested. */
function tidy(ws: TestWorkspace): void {
  expect(readdirSync(ws.path('.worktrees')).filter((name) => name.includes('.test-'))).toEqual([]);
  expect(ws.git('for-each-ref', '--format=%(refname)', 'refs/heads', 'refs/towpath/start')).not.toContain('.test-');
}
/** A test that is written beside the work, and the command that runs it. */
const TEST = 'echo "grep -q apple made.txt" > made.test; ';
const RUN = [['sh', 'made.test']];
const fruit =
  'cp "$TOWPATH_PROMPT_FILE" seen.md; if grep -q "^### From" seen.md; then [ -e made.test ] && echo apple > made.txt; else echo plum > made.txt; fi';

it('tests that pass stay as a commit, and the others judge the work with them; one that fails sends it back, or to the fixer', () => {
  const patch = '--- a/made.txt\n+++ b/made.txt\n@@ -1 +1 @@\n-plum\n+apple\n';
  const major = { file: 'made.txt', line: 1, severity: 'major', message: 'no fruit salad' };
  const ws = setUp(
    {
      tester: `case "$TOWPATH_TASK_ID" in
severe*) ${answers(evidence([['true']], 'all ran', [major]))}
;;
*) ${answers(evidence(RUN, 'one test for the fruit', [{ ...major, severity: 'minor', message: 'no newline' }]), TEST)}
;; esac`,
      fixer: answers(JSON.stringify({ patch, why: 'so' })),
      reviewer: answers(verdict('accept'), 'cat made.test > "$TOWPATH_WORKSPACE/.towpath/saw"; '),
    },
    'concurrency: 3\n',
  );
  ws.drop('good', shellTask('echo apple > made.txt', 'review: [tester, agent]\nchecks: ["echo own-check"]\n'));
  ws.drop('back', shellTask(fruit, 'review: tester\n'));
  ws.drop('mended', shellTask('echo plum > made.txt', 'review: tester\nfix: patch\n'));
  ws.drop('severe', shellTask('echo apple > made.txt', 'review: tester\nmax_attempts: 1\n'));
  ws.drop('any', shellTask('true', 'review: tester\nexpect: any\nmax_attempts: 1\n'));
  expect(ws.drain().code).toBe(1);

  const good = show(ws, 'good');
  expect(good).toMatchObject({
    queue: 'done',
    attempts: 1,
    feedback: [],
    commit: ws.git('rev-parse', 'towpath/good').trim(),
  });
  expect(authors(ws, 'good')).toEqual(['tester', 'shell']);
  expect(ws.git('log', '-1', '--format=%B', 'towpath/good')).toContain('Towpath-Test: good.test-1');
  expect(ws.git('show', 'towpath/good:made.test')).toBe('grep -q apple made.txt\n');
  const found = checks(ws, 'good', 1);
  expect(found.map(({ command, by, ok }) => [command, by, ok])).toEqual([
    ['echo own-check', undefined, true],
    ['sh made.test', 'tester', true],
  ]);
  const tree = ws.git('rev-parse', 'towpath/good^{tree}').trim();
  expect(found.map((one) => one.tree)).toEqual([tree, tree]);
  expect(good.reviews).toMatchObject([
    { id: 'good.test-1', kind: 'test', verdict: 'accept', summary: 'one test for the fruit', files: ['made.test'] },
    { id: 'good.review-1', kind: 'review', commit: good.commit },
  ]);
  expect(readFileSync(ws.path('.towpath/saw'), 'utf8')).toContain('grep -q apple');
  expect(prompt(ws, 'good.review-1-1')).toContain('`sh made.test` (by the tester) ended with exit code 0');
  const told = prompt(ws, 'good.test-1-1');
  for (const part of ['+apple', '`echo own-check` ended with exit code 0', '## Your evidence', 'committed for you'])
    expect(told).toContain(part);
  expect(told).not.toContain('thrown away');
  const page = ws.run(['show', 'good']).stdout;
  for (const part of ['named by the tester', 'minor, made.txt:1: no newline', 'Its tests are on the branch: made.test'])
    expect(page).toContain(part);

  const back = show(ws, 'back');
  expect(back).toMatchObject({ queue: 'done', attempts: 2, feedback: [{ from: 'check', attempt: 1 }] });
  for (const part of [
    'The tester says: one test',
    'Its tests are on your branch: made.test',
    'no newline',
    'The check `sh made.test` (by the tester) failed with exit code 1',
  ])
    expect(back.feedback[0]!.message).toContain(part);
  expect(authors(ws, 'back')).toEqual(['shell', 'tester', 'shell']);
  expect(back.reviews.map(({ id, verdict }) => [id, verdict])).toEqual([
    ['back.test-1', 'reject'],
    ['back.test-2', 'accept'],
  ]);

  // The patch is checked with the tests.
  expect(show(ws, 'mended')).toMatchObject({ queue: 'done', attempts: 1, reviews: [{ verdict: 'accept' }] });
  expect(authors(ws, 'mended')).toEqual(['fixer', 'tester', 'shell']);
  expect(prompt(ws, 'mended.fix-1-1')).toContain('`sh made.test` (by the tester) ended with exit code 1');
  expect(checks(ws, 'mended', 1)).toMatchObject([{ command: 'sh made.test', by: 'tester', ok: true }]);

  const severe = show(ws, 'severe');
  expect(severe).toMatchObject({
    queue: 'failed',
    outcome: 'rejected',
    reason: expect.stringContaining('rejected by the tester: all ran'),
  });
  expect(severe.feedback[0]).toMatchObject({
    from: 'review',
    message: expect.stringContaining('- major, made.txt:1: no fruit salad'),
  });
  expect(checks(ws, 'severe', 1)).toMatchObject([{ command: 'true', by: 'tester', ok: true }]);

  // Nothing was made, and the test says so.
  expect(show(ws, 'any')).toMatchObject({ queue: 'failed', outcome: 'check_failed' });
  const events = ws
    .run(['events', '--json'])
    .stdout.trim()
    .split('\n')
    .map((line) => JSON.parse(line) as Record<string, unknown>);
  expect(
    events
      .filter(({ event }) => event === 'test_finished')
      .map(({ task, outcome }) => `${task} ${outcome}`)
      .sort(),
  ).toEqual(['any failed', 'back failed', 'back passed', 'good passed', 'mended passed', 'severe failed']);
  expect(events.find(({ event, by }) => event === 'check_finished' && by === 'tester')).toBeDefined();
  const { reached } = ws.json<{ reached: Record<string, number> }>(['stats']);
  expect([reached['done'], reached['failed']]).toEqual([3, 2]);
  tidy(ws);
}, 120_000);

it('what is no evidence is a rejection: nothing run, a crash, a change that may not be', () => {
  const ws = setUp(
    {
      tester: `case "$TOWPATH_TASK_ID" in
nothing*) ${answers(evidence([]))}
;;
guarded*) ${answers(evidence(RUN), 'mkdir -p safe; echo x > safe/x; ')}
;;
program*) ${answers(evidence(RUN), 'echo true > made.test; [ "$TOWPATH_ATTEMPT" != 1 ] || chmod +x made.test; [ "$TOWPATH_ATTEMPT" = 1 ] || chmod -x made.test; ')}
;;
*) exit 3;; esac`,
    },
    'protect: [safe/**]\nconcurrency: 4\n',
    1,
  );
  for (const id of ['nothing', 'guarded', 'program', 'crash']) ws.drop(id, shellTask('echo > f', 'review: tester\n'));
  expect(ws.drain().code).toBe(1);
  const why = {
    nothing: 'the tester ran nothing',
    guarded: 'it changes protected files: safe/x',
    crash: '',
  };
  for (const [id, reason] of Object.entries(why)) {
    const shown = show(ws, id);
    expect(shown, id).toMatchObject({
      queue: 'failed',
      outcome: 'rejected',
      reviews: [{ kind: 'test', verdict: 'reject' }],
    });
    expect(shown.feedback[0]!.message).toMatch(/^The tester rejects it: no evidence: (?!it is no evidence)/);
    expect(shown.feedback[0]!.message).not.toContain('attempts spent');
    expect(shown.feedback[0]!.message).toContain(reason);
    expect(authors(ws, id)).toEqual(['shell']);
  }
  // It is told what is wrong once in each of its attempts, and may put it right.
  expect(show(ws, 'program')).toMatchObject({ queue: 'done', attempts: 1 });
  expect(prompt(ws, 'program.test-1-2')).toContain('it changes the mode of made.test');
  expect(calls(ws).filter((call) => call.startsWith('program'))).toEqual([
    'program.test-1 1 session=',
    'program.test-1 2 session=s-review',
  ]);
  tidy(ws);
});

it('killed while the tester runs, and while its command does: its tests are put on once', async () => {
  const wait = (name: string) => `while [ ! -e "$TOWPATH_WORKSPACE/.towpath/${name}" ]; do sleep 0.05; done; `;
  const ws = setUp({
    tester: answers(evidence(RUN), `${wait('go')}cp "$TOWPATH_WORKSPACE/.towpath/made.test" .; `),
  });
  ws.file('.towpath/made.test', `echo x >> "$TOWPATH_WORKSPACE/.towpath/ran"\n${wait('end')}\n`);
  const again = async () => {
    process.kill(ws.daemonPid()!, 'SIGKILL');
    rmSync(ws.path('.towpath/daemon.json'), { force: true });
    await ws.start();
  };
  const ran = () => (existsSync(ws.path('.towpath/ran')) ? readFileSync(ws.path('.towpath/ran'), 'utf8') : '');
  ws.drop('t', shellTask('echo apple > made.txt', 'review: [tester, human]\n'));
  await ws.start();
  await until(
    () => calls(ws).length === 1,
    'the tester runs',
    20_000,
    () => ws.output,
  );
  await until(() => show(ws, 't').reason?.includes('waits for tests by the tester (t.test-1)') ?? false, 'it waits');
  expect(ws.run(['why', 't']).stdout).toMatch(/\nt\.test-1: it is running/);
  await again();
  ws.file('.towpath/go', '');
  await until(
    () => ran() === 'x\n',
    'its command runs',
    20_000,
    () => ws.output,
  );
  await again();
  await until(
    () => ran() === 'x\nx\n',
    'its command runs again',
    20_000,
    () => ws.output,
  );
  ws.file('.towpath/end', '');
  await until(
    () => show(ws, 't').reason?.includes('towpath accept') ?? false,
    'it waits for a person',
    20_000,
    () => ws.output,
  );
  expect(authors(ws, 't')).toEqual(['tester', 'shell']);
  expect(show(ws, 't').commit).toBe(ws.git('rev-parse', 'towpath/t').trim());
  expect(calls(ws)).toHaveLength(1);
  tidy(ws);
}, 90_000);

it('what a tester named is run again by the train, on the base that has moved, and once more where it fails', () => {
  const at = (name: string) => `"$TOWPATH_WORKSPACE/.towpath/${name}"`;
  const script = `test ! -e late || test -e ${at('second')} || { test ! -e ${at('flaky')} || touch ${at('second')}; false; }`;
  const ws = setUp({ tester: answers(evidence([['sh', '-c', script]])) }, 'on_accept: merge\n', 1);
  for (const id of ['t', 'u']) ws.drop(id, shellTask(`echo apple > ${id}.txt`, 'review: [tester, human]\n'));
  expect(ws.drain().code).toBe(0);
  ws.file('late', 'x\n');
  ws.git('add', 'late');
  ws.git('commit', '-qm', 'late');
  ws.file('.towpath/flaky', '');
  ws.run(['accept', 'u']);
  expect(ws.drain().code).toBe(0);
  expect(show(ws, 'u')).toMatchObject({ queue: 'done', outcome: 'ok' });
  expect(checks(ws, 'u', 1)).toMatchObject([{ by: 'tester', ok: true, again: true }]);
  for (const name of ['flaky', 'second']) rmSync(ws.path('.towpath', name));
  ws.run(['accept', 't']);
  expect(ws.drain().code).toBe(1);
  expect(show(ws, 't')).toMatchObject({
    ...{ queue: 'failed', outcome: 'check_failed' },
    reason: expect.stringMatching(/^merged with main: `sh -c .*` \(by the tester, tried twice\) exited with 1/),
    feedback: [{ message: expect.stringMatching(/^The check `sh -c .*` \(by the tester, tried twice\) failed with/m) }],
  });
  expect(ws.git('log', '-1', '--format=%an', 'main', '--', 't.txt')).toBe('');
}, 60_000);
