// Review by agents: their verdicts decide, their findings are told, nothing of theirs is kept, and no kill loses or doubles one.
import { existsSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { expect, it } from 'vitest';
import { answers, scene, verdict } from '../helpers/reviewers.ts';
import { shellTask, type TestWorkspace, until } from '../helpers/workspace.ts';

const { setUp, calls, prompt, show } = scene();

/** Nothing of a review is left in the repository: no worktree, no branch, no mark. */
function tidy(ws: TestWorkspace, ...kept: string[]): void {
  const trees = readdirSync(ws.path('.worktrees')).filter((name) => name.includes('review'));
  const refs = ws.git('for-each-ref', '--format=%(refname)').split('\n');
  const left = refs.filter((ref) => ref.includes('review') && !ref.startsWith('refs/towpath/salvage/'));
  expect([trees, left]).toEqual([[], kept]);
}

it('an accepted result is done: the reviewer saw task, diff and evidence, in a session and a worktree of its own', () => {
  const minor = { file: 'made.txt', line: 1, severity: 'minor', message: 'could be shorter' };
  const look = 'pwd > "$TOWPATH_WORKSPACE/.towpath/where"; cat made.txt >> "$TOWPATH_WORKSPACE/.towpath/where"; ';
  const projects = 'projects: {p: {budget: {day_usd: 10}}}\n';
  const ws = setUp({ reviewer: answers(verdict('accept', 'well made', [minor]), look) }, projects);
  ws.drop('t', shellTask('echo pomegranate > made.txt', 'project: p\nreview: agent\nchecks: ["echo checked-it"]\n'));
  expect(ws.drain().code).toBe(0);
  const shown = show(ws, 't');
  expect(shown).toMatchObject({ queue: 'done', outcome: 'ok', attempts: 1, feedback: [], reason: null });
  expect(calls(ws)).toEqual(['t.review-1 1 session=']);
  expect(readFileSync(ws.path('.towpath/where'), 'utf8')).toBe(
    `${ws.path('.worktrees/task-t.review-1')}\npomegranate\n`,
  );
  const told = prompt(ws, 't.review-1-1');
  for (const part of ['+pomegranate', 'echo pomegranate > made.txt', 'checked-it', 'fits this schema', 'thrown away'])
    expect(told).toContain(part);
  expect(told).toContain(`git diff ${shown.base} ${shown.commit}`);
  expect(shown.reviews).toEqual([
    expect.objectContaining({
      ...{ id: 't.review-1', role: 'reviewer', attempt: 1, commit: shown.commit, verdict: 'accept' },
      ...{ summary: 'well made', findings: [minor], discarded: [], cost_usd: 0.25, queue: 'done' },
    }),
  ]);
  const page = ws.run(['show', 't']).stdout;
  expect(page).toContain('minor, made.txt:1: could be shorter');
  expect(page).toContain('$0.25 for reviews');
  expect(show(ws, 't.review-1')).toMatchObject({ queue: 'done', title: 'Review of t', branch: null, worktree: null });
  expect(ws.run(['list']).stdout).toContain('Review of t');
  // What its review took is part of what it took.
  const stats = ws.json<{ accepted: { tasks: object[] }; reached: object; budgets: object[] }>(['stats']);
  expect(stats.accepted.tasks).toMatchObject([{ task: 't', runs: 2, cost_usd: 0.25 }]);
  expect(stats.reached).toMatchObject({ done: 1 });
  expect(stats.budgets).toContainEqual(expect.objectContaining({ project: 'p', spent: 0.25 }));
  tidy(ws);
});

it('a rejection goes back with its findings, and the next attempt is reviewed anew', () => {
  const major = { file: 'made.txt', line: 1, severity: 'major', message: 'plum is not asked for' };
  const ws = setUp({
    reviewer: `if [ "$TOWPATH_TASK_ID" = other.review-1 ]; then exit 3; fi
if grep -q plum made.txt; then\n${answers(verdict('reject', 'not so', [major]))}\nelse\n${answers(verdict('accept'))}\nfi`,
  });
  const script =
    'cp "$TOWPATH_PROMPT_FILE" seen.md; if grep -q "^- major, made.txt:1: plum" seen.md; then echo apple > made.txt; else echo plum > made.txt; fi';
  ws.drop('t', shellTask(script, 'review: reviewer\n'));
  ws.drop('other', shellTask('echo "$TOWPATH_ATTEMPT" > made.txt', 'review: reviewer\n'));
  expect(ws.drain().code).toBe(0);
  // A review that failed is over for everybody once the work has gone on.
  expect([ws.where('other'), ws.where('other.review-1')]).toEqual(['done', 'failed']);
  expect(ws.json<{ needs_you: object[]; failed_today: number }>(['status'])).toMatchObject({
    ...{ needs_you: [], failed_today: 0, done_today: 2 },
  });
  const shown = show(ws, 't');
  expect(shown).toMatchObject({ queue: 'done', attempts: 2, feedback: [{ from: 'review', attempt: 1 }] });
  expect(shown.feedback[0]!.message).toBe(
    'The reviewer rejects it: not so\n\n- major, made.txt:1: plum is not asked for',
  );
  expect(ws.git('show', 'towpath/t:seen.md')).toContain('### From review on attempt 1');
  expect(prompt(ws, 't.review-2-1')).toContain('plum is not asked for');
  expect(shown.reviews.map((one) => [one.id, one.attempt, one.verdict])).toEqual([
    ['t.review-1', 1, 'reject'],
    ['t.review-2', 2, 'accept'],
  ]);
  tidy(ws);
});

it('of two reviewers both are heard, and one that says no is enough; then it has failed', () => {
  const ws = setUp({
    reviewer: answers(verdict('accept', 'I like it')),
    critic: answers(verdict('reject', 'it breaks', [{ file: null, line: null, severity: 'blocker', message: 'boom' }])),
  });
  ws.drop('t', shellTask('echo > f', 'review: [reviewer, critic]\nmax_attempts: 1\n'));
  expect(ws.drain().code).toBe(1);
  const shown = show(ws, 't');
  expect(shown).toMatchObject({ queue: 'failed', outcome: 'rejected' });
  expect(shown.feedback[0]!.message).toBe(
    'The critic rejects it: it breaks\n\n- blocker: boom\n\nThe reviewer accepts it: I like it',
  );
  expect(shown.reviews.map(({ id }) => id)).toEqual(['t.review-1-reviewer', 't.review-1-critic']);
});

it('an answer that fits no schema twice over, and a reviewer that crashes, are rejections; so is a minor task', () => {
  const ws = setUp({ reviewer: answers('looks good to me'), tester: 'echo broken >&2; exit 3' });
  ws.drop('chatty', shellTask('echo > f', 'review: agent\nmax_attempts: 1\n'));
  ws.drop('crash', shellTask('echo > f', 'review: tester\nmax_attempts: 1\ncomplexity: minor\n'));
  expect(ws.drain().code).toBe(1);
  const chatty = show(ws, 'chatty');
  expect(chatty).toMatchObject({ queue: 'failed', outcome: 'rejected' });
  expect(chatty.feedback[0]!.message).toContain('no verdict: the final answer holds no JSON');
  // Asked once more in each of its attempts, in its own session.
  expect(
    calls(ws)
      .filter((call) => call.startsWith('chatty'))
      .slice(0, 2),
  ).toEqual(['chatty.review-1 1 session=', 'chatty.review-1 2 session=s-review']);
  const crash = show(ws, 'crash');
  expect(crash).toMatchObject({ queue: 'failed', outcome: 'rejected' });
  expect(crash.feedback[0]!.message).toMatch(/^The tester rejects it: no verdict: .*broken/);
  expect(ws.git('status', '--porcelain', '-uno')).toBe('');
  tidy(ws);
});

it('what a reviewer changes is thrown away and told, also on the branch that it reviews', () => {
  const ws = setUp({
    reviewer: answers(
      verdict('accept'),
      'echo sly > sly.txt; git add -A; git -c user.name=r -c user.email=r@x commit -qm sly; git update-ref refs/heads/towpath/t HEAD; echo more > more.txt; ',
    ),
  });
  ws.drop('t', shellTask('echo honest > f', 'review: agent\n'));
  ws.drop('m', shellTask('echo honest > m', 'review: agent\ncomplexity: minor\n'));
  expect(ws.drain().code).toBe(0);
  const shown = show(ws, 't');
  expect(ws.git('ls-tree', '--name-only', 'towpath/t').split('\n')).not.toContain('sly.txt');
  expect(ws.git('rev-parse', 'towpath/t').trim()).toBe(shown.commit);
  expect(ws.git('show', 'HEAD:m')).toBe('honest\n');
  expect(shown.reviews[0]).toMatchObject({ verdict: 'accept', discarded: ['more.txt', 'sly.txt'] });
  expect(readFileSync(ws.path('.towpath/daemon.log'), 'utf8')).toContain('its review t.review-1 changed 2 files');
  tidy(ws);
});

it('where results are merged, what a reviewer changes is not', () => {
  const ws = setUp({ reviewer: answers(verdict('accept'), 'echo sly > sly.txt; ') }, 'on_accept: merge\n');
  ws.drop('t', shellTask('echo honest > f', 'review: agent\n'));
  expect(ws.drain().code).toBe(0);
  expect([ws.where('t'), ws.where('t.review-1')]).toEqual(['done', 'done']);
  expect(ws.git('show', 'main:f')).toBe('honest\n');
  expect(ws.git('ls-tree', '--name-only', 'main').split('\n')).not.toContain('sly.txt');
  tidy(ws);
});

it('agents first, then a person; and whoever waits for agents takes no room in provisional', () => {
  const ws = setUp({ reviewer: answers(verdict('accept')) }, 'limits: {provisional: 1}\nconcurrency: 1\n');
  ws.drop('a', shellTask('echo > a', 'review: agent\n'));
  ws.drop('b', shellTask('echo > b', 'review: [human, agent]\n'));
  expect(ws.drain().code).toBe(0);
  expect(ws.where('a')).toBe('done');
  expect(show(ws, 'b')).toMatchObject({
    queue: 'provisional',
    reason: expect.stringContaining('towpath accept b'),
    reviews: [{ verdict: 'accept' }],
  });
  expect(ws.run(['accept', 'b']).code).toBe(0);
});

it('a person decides meanwhile: the word counts, and open reviews are called off', async () => {
  const ws = setUp({ reviewer: 'echo $$ > "$TOWPATH_WORKSPACE/.towpath/pid"; sleep 60' }, 'concurrency: 1\n');
  ws.file('roles/slow.md', '---\nagent: reviewer-bot\n---\nSlow.\n');
  ws.drop('t', shellTask('echo > f', 'review: [agent, slow]\n'));
  await ws.start();
  await until(
    () => existsSync(ws.path('.towpath/pid')),
    'a review runs',
    20_000,
    () => ws.output,
  );
  await until(() => show(ws, 't').reason?.includes('waits for review by') ?? false, 'it waits');
  expect(ws.run(['why', 't']).stdout).toContain('the reviewer (t.review-1-reviewer), the slow (t.review-1-slow)');
  expect(ws.run(['accept', 't']).code).toBe(0);
  expect(ws.where('t')).toBe('done');
  for (const id of ['t.review-1-reviewer', 't.review-1-slow'])
    expect(show(ws, id)).toMatchObject({ queue: 'failed', outcome: 'cancelled' });
  tidy(ws);
});

it('a file that only says so is no review, and one that has the name does not take its place', () => {
  const ws = setUp({ reviewer: answers(verdict('accept')) });
  ws.drop('t.review-1', shellTask('echo mine > mine', 'title: Review of t\n'));
  ws.drain();
  expect(ws.git('show', 'towpath/t.review-1:mine')).toBe('mine\n');
  ws.drop('t', shellTask('echo > f', 'review: agent\n'));
  expect(ws.drain().code).toBe(0);
  expect(show(ws, 't')).toMatchObject({ queue: 'done', reviews: [{ id: 't.review-1-2', verdict: 'accept' }] });
});

it('a role that does not exist is refused before anything runs; a reviewer that is held is told of what it reviews', () => {
  const ws = setUp({ reviewer: `echo '{"type":"error","outcome":"auth","content":"no such key"}'; exit 1` });
  ws.drop('waits', shellTask('echo > f', 'review: agent\n'));
  ws.drop('t', shellTask('echo > f', 'review: [human, nobody]\n'));
  expect(ws.drain().code).toBe(1);
  expect(show(ws, 't').reason).toContain('review: the role "nobody" does not exist: write roles/nobody.md');
  expect([ws.where('waits'), ws.where('waits.review-1')]).toEqual(['provisional', 'blocked']);
  expect(ws.run(['why', 'waits']).stdout).toMatch(/^waits for review by .*\nwaits.review-1: .*no such key/);
  const { waiting, needs_you } = ws.json<{ waiting: object[]; needs_you: object[] }>(['status']);
  const reason = expect.stringMatching(/waits.review-1 is held: .*no such key/);
  expect(waiting).toContainEqual({ id: 'waits', reason });
  expect(needs_you).toContainEqual(expect.objectContaining({ id: 'waits.review-1' }));
});

it('killed while a review waits, runs, or has ended: nothing is lost, and nothing runs twice', async () => {
  const gate = (name: string) => `while [ ! -e "$TOWPATH_WORKSPACE/.towpath/${name}" ]; do sleep 0.05; done; `;
  const ws = setUp({ reviewer: answers(verdict('accept'), gate('end')) }, 'concurrency: 1\n');
  const again = async () => {
    process.kill(ws.daemonPid()!, 'SIGKILL');
    rmSync(ws.path('.towpath/daemon.json'), { force: true });
    await ws.start();
  };
  const checks = 'checks: ["echo x >> \\"$TOWPATH_WORKSPACE/.towpath/checks\\""]\n';
  ws.drop('t', shellTask(`${gate('go')}echo "$TOWPATH_ATTEMPT" >> f`, `review: agent\n${checks}`));
  await ws.start();
  await ws.reaches('t', 'claimed');
  ws.run(['pause']);
  ws.file('.towpath/go', '');
  await ws.reaches('t.review-1', 'incoming');
  await again();
  expect([ws.where('t'), ws.where('t.review-1'), calls(ws)]).toEqual(['provisional', 'incoming', []]);
  ws.run(['resume']);
  await until(
    () => calls(ws).length === 1,
    'the review runs',
    20_000,
    () => ws.output,
  );
  await again();
  expect(ws.where('t')).toBe('provisional');
  ws.file('.towpath/end', '');
  await ws.reaches('t.review-1', 'done');
  await again();
  await ws.reaches('t', 'done');
  expect(calls(ws)).toEqual(['t.review-1 1 session=']);
  expect(ws.git('show', 'towpath/t:f')).toBe('1\n');
  expect(readFileSync(ws.path('.towpath/checks'), 'utf8')).toBe('x\n');
  tidy(ws);
}, 60_000);
