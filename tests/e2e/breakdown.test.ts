// A large task divided by a scripted agent: its plan, its subtasks, what joins them, and what happens when one of them fails.
import { existsSync, readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import type { Division, Part } from '../../daemon/task/breakdown.ts';
import type { Queue, TaskJson } from '../../daemon/task/terms.ts';
import { type TestWorkspace, until, workspaces } from '../helpers/workspace.ts';

const make = workspaces();
const part = (id: string, script: string, depends_on: string[] = [], more: Partial<Part> = {}): Part => ({
  ...{ id, title: `Make ${id}`, body: `\`\`\`sh\n${script}\n\`\`\``, role: null, seniority: null, priority: null },
  ...{ depends_on, checks: [] },
  ...more,
});
const THREE: Part[] = [
  part('one', 'if [ -e "$TOWPATH_WORKSPACE/more" ]; then echo more > one.txt; else echo 1 > one.txt; fi'),
  part('two', 'cat one.txt > two.txt', ['one'], { checks: ['test -s two.txt'] }),
  part('three', 'echo 3 > three.txt', [], { priority: 'P1' }),
];
const said = (subtasks: unknown) =>
  `cat <<'ANSWER'\n${JSON.stringify({ type: 'result', success: true, session: 's-plan', output: JSON.stringify({ summary: 'In three.', subtasks }) })}\nANSWER`;

/** The planner is a script; each call is noted with its prompt. The subtasks are done by the shell. */
function setUp(script: string, settings = ''): TestWorkspace {
  const ws = make(
    `agent: shell\nretry: {initial: 50ms, max: 200ms, max_attempts: 2}\nagents:\n  planner: {command: ./planner, input: prompt}\n${settings}`,
  );
  ws.file('roles/breakdown.md', '---\nagent: planner\n---\nYou divide.\n');
  ws.file(
    'planner',
    `#!/bin/sh\ncat > "$TOWPATH_WORKSPACE/.towpath/prompt-$TOWPATH_ATTEMPT"\necho "$TOWPATH_TASK_ID $TOWPATH_ATTEMPT" >> "$TOWPATH_WORKSPACE/.towpath/planned"\n${script}\n`,
    0o755,
  );
  return ws;
}
const big = (more = '') => `---\nrole: breakdown\n${more}---\n# Something large\n\nAll of it.\n`;
type Page = TaskJson & { subtasks: { id: string; queue: Queue }[]; plan: Division | null; parent: string | null };
const show = (ws: TestWorkspace, id: string) => ws.json<Page>(['show', id]);
const planned = (ws: TestWorkspace) => readFileSync(ws.path('.towpath/planned'), 'utf8').trim().split('\n');
const files = (ws: TestWorkspace, branch: string) =>
  ws
    .git('ls-tree', '--name-only', branch)
    .trim()
    .split('\n')
    .filter((name) => name.endsWith('.txt'));

it('subtasks are filed with their order, done, joined on a branch, and that passes the checks of the large task', () => {
  const ws = setUp(`echo sly > sly.txt\n${said(THREE)}`);
  ws.drop('big', big('checks: ["cat one.txt two.txt three.txt", "test ! -e sly.txt"]\n'));
  expect(ws.drain().code).toBe(0);
  const shown = show(ws, 'big');
  expect(shown).toMatchObject({ queue: 'done', outcome: 'ok', branch: 'towpath/big', reason: null });
  expect(shown.subtasks).toEqual([
    { id: 'big.1-one', queue: 'done' },
    { id: 'big.2-two', queue: 'done' },
    { id: 'big.3-three', queue: 'done' },
  ]);
  // The planner ran once: the join has no agent.
  expect(planned(ws)).toEqual(['big 1']);
  const { by_agent } = ws.json<{ by_agent: { key: string; runs: number }[] }>(['stats']);
  expect(by_agent).toContainEqual(expect.objectContaining({ key: 'towpath', runs: 1, cost_unknown: 0 }));
  expect(files(ws, 'towpath/big').sort()).toEqual(['one.txt', 'three.txt', 'two.txt']);
  const two = show(ws, 'big.2-two');
  expect(two).toMatchObject({ parent: 'big', title: 'Make two' });
  expect(two.data).toMatchObject({ depends_on: ['big.1-one'], checks: ['test -s two.txt'], on_accept: 'branch' });
  expect(show(ws, 'big.3-three').priority).toBe('P1');
  expect(ws.git('diff', '--name-only', `${shown.base}`, `${shown.commit}`).trim().split('\n')).toHaveLength(3);
  expect(shown.result).toContain('Joined:\n- big.1-one: Make one');
  expect(ws.run(['show', 'big']).stdout).toContain('after big.1-one');
});

it('a person sees the plan first; sent back it is made anew, accepted it is carried out, and what is joined is shown again', () => {
  const ws = setUp(
    `if grep -q "in two" "$TOWPATH_PROMPT_FILE"; then\n${said(THREE.slice(0, 2))}\nelse\n${said(THREE)}\nfi`,
  );
  ws.drop('big', big('review: human\n'));
  ws.drain();
  expect(show(ws, 'big')).toMatchObject({ queue: 'provisional', subtasks: [] });
  const page = ws.run(['show', 'big']).stdout;
  for (const line of ['Plan', '1. one: Make one', '2. two: Make two', 'after one', 'checks: `test -s two.txt`'])
    expect(page).toContain(line);
  expect(ws.run(['reject', 'big', '-m', 'do it in two']).code).toBe(0);
  ws.drain();
  expect(show(ws, 'big').plan?.subtasks.map(({ id }) => id)).toEqual(['one', 'two']);
  const accepted = ws.run(['accept', 'big']);
  expect(accepted.stdout).toContain('big is in blocked/: waits for its subtasks big.1-one, big.2-two');
  expect(ws.run(['why', 'big']).stdout).toContain('waits for big.1-one (incoming)');
  ws.drain();
  expect(show(ws, 'big')).toMatchObject({ queue: 'provisional', reason: expect.stringContaining('waits for review') });
  expect(files(ws, 'towpath/big').sort()).toEqual(['one.txt', 'two.txt']);
  // What is joined is sent back: that is for a person, who has a part done again.
  ws.run(['reject', 'big', '-m', 'one is too small']);
  expect(show(ws, 'big').reason).toContain('what its subtasks made is rejected');
  expect(show(ws, 'big')).toMatchObject({
    queue: 'blocked',
    feedback: [{ from: 'human' }, { message: 'one is too small' }],
  });
  ws.file('more', '');
  ws.run(['retry', 'big.1-one']);
  ws.run(['retry', 'big']);
  ws.drain();
  expect(show(ws, 'big').queue).toBe('provisional');
  expect(ws.git('show', 'towpath/big:one.txt')).toBe('more\n');
  expect(ws.run(['accept', 'big']).code).toBe(0);
  expect(show(ws, 'big')).toMatchObject({ queue: 'done' });
  expect(planned(ws)).toEqual(['big 1', 'big 2']);
});

it('a plan that cannot be carried out is asked for once more, then it has failed; nothing is filed', () => {
  const circle = [part('a', 'true', ['b']), part('b', 'true', ['a'])];
  const ws = setUp(said(circle));
  ws.drop('big', big('max_attempts: 1\n'));
  expect(ws.drain().code).toBe(1);
  const shown = show(ws, 'big');
  expect(shown).toMatchObject({ queue: 'failed', outcome: 'failed', subtasks: [] });
  expect(shown.reason).toContain('depends_on goes in a circle: a → b → a');
  expect(planned(ws)).toEqual(['big 1', 'big 2']);
  expect(readFileSync(ws.path('.towpath/prompt-2'), 'utf8')).toContain('goes in a circle');
});

it('too many subtasks are asked for anew; minor tasks, and subtasks beyond the depth, are refused', () => {
  const ws = setUp(
    `[ "$TOWPATH_ATTEMPT" = 1 ] && {\n${said(THREE)}\nexit 0; }\n${said(THREE.slice(0, 2))}`,
    'subtasks: {number: 2}\n',
  );
  ws.drop('big', big());
  ws.drop('small', big('complexity: minor\n'));
  ws.drain();
  expect(show(ws, 'big')).toMatchObject({ queue: 'done' });
  expect(show(ws, 'big').subtasks).toHaveLength(2);
  expect(readFileSync(ws.path('.towpath/prompt-2'), 'utf8')).toContain('must NOT have more than 2 items');
  expect(show(ws, 'small').reason).toContain('a minor task cannot be broken down');
  ws.file('towpath.yaml', 'agent: shell\nsubtasks: {depth: 0}\n');
  ws.drop('deep', big());
  ws.drain();
  expect(show(ws, 'deep').reason).toContain('subtasks.depth is 0');
});

it('a subtask that fails holds the large task, which says so; the others go on, and retry of it all finishes', () => {
  const parts = [part('one', 'test -e "$TOWPATH_WORKSPACE/go" && echo 1 > one.txt'), THREE[1]!, THREE[2]!];
  const ws = setUp(said(parts));
  ws.drop('big', big());
  expect(ws.drain().code).toBe(1);
  expect(show(ws, 'big').subtasks.map(({ queue }) => queue)).toEqual(['failed', 'blocked', 'done']);
  expect(show(ws, 'big')).toMatchObject({ queue: 'blocked' });
  expect(ws.run(['why', 'big']).stdout).toContain('its subtask big.1-one failed: retry it');
  expect(ws.run(['why', 'big.2-two']).stdout).toContain('big.1-one, which failed');
  ws.file('go', '');
  expect(ws.run(['retry', 'big']).code).toBe(0);
  expect(show(ws, 'big').subtasks[0]!.queue).toBe('incoming');
  expect(ws.drain().code).toBe(0);
  expect(show(ws, 'big')).toMatchObject({ queue: 'done' });
  expect(planned(ws)).toEqual(['big 1']);
  expect(files(ws, 'towpath/big').sort()).toEqual(['one.txt', 'three.txt', 'two.txt']);
});

it('cancel of the large task cancels those that are open', () => {
  const ws = setUp(said([part('one', 'exit 3'), THREE[1]!, THREE[2]!]));
  ws.drop('big', big());
  ws.drain();
  const alone = ws.run(['cancel', 'big.2-two']).stdout;
  expect(alone).toContain('big waits for it, and the other subtasks go on; "towpath retry big.2-two" does it again');
  expect(ws.run(['retry', 'big']).stdout).toMatch(/^big is in blocked\/: waits for big\.1-one, big\.2-two again$/m);
  const all = ws.run(['cancel', 'big']);
  expect(all.code).toBe(0);
  expect(all.stdout).toMatch(/^cancelled with it: .*big\.2-two; what is done stays on its branches$/m);
  expect(show(ws, 'big')).toMatchObject({ queue: 'failed', outcome: 'cancelled' });
  expect(show(ws, 'big.2-two')).toMatchObject({ queue: 'failed', outcome: 'cancelled' });
  expect(show(ws, 'big.3-three')).toMatchObject({ queue: 'done' });
});

it('what was joined and fails its check, or does not fit together, waits for a person; mended in its worktree it is done', () => {
  const same = [part('one', 'echo 1 > same.txt'), part('two', 'echo 2 > same.txt')];
  const ws = setUp(`case "$TOWPATH_TASK_ID" in clash) ${'\n'}${said(same)}\n;; *)\n${said(THREE)}\n;; esac`);
  ws.drop('big', big('checks: ["cat missing.txt"]\n'));
  ws.drop('clash', big());
  expect(ws.drain().code).toBe(1);
  const shown = show(ws, 'big');
  expect(shown).toMatchObject({ queue: 'blocked', outcome: 'check_failed' });
  expect(shown.reason).toContain('what its subtasks made fails its checks: `cat missing.txt` exited with 1; mend it');
  expect(shown.feedback.at(-1)!.message).toContain('missing.txt');
  expect(show(ws, 'clash').reason).toContain('what its subtasks made cannot be joined: ');
  expect(show(ws, 'clash').reason).toContain('same.txt');
  // What is offered is what helps: joined again as it is, it would come to the same.
  const next = ws.json<{ needs_you: { id: string; next: string }[] }>(['status']).needs_you;
  for (const id of ['big', 'clash'])
    expect(next.find((one) => one.id === id)?.next).toBe(
      `cd ${ws.path('.worktrees', `task-${id}`)}  # mend it and commit, or retry the subtask at fault; then: towpath retry ${id}`,
    );
  ws.file('.worktrees/task-big/missing.txt', 'here\n');
  ws.run(['retry', 'big']);
  ws.drain();
  expect(show(ws, 'big')).toMatchObject({ queue: 'done' });
  expect(files(ws, 'towpath/big')).toContain('missing.txt');
  expect(planned(ws).filter((line) => line.startsWith('big'))).toEqual(['big 1']);
});

it('a reviewing agent judges the plan, and later what was joined', () => {
  const ws = setUp(said(THREE), '  critic: {command: ./critic, input: prompt}\n');
  ws.file('roles/reviewer.md', '---\nagent: critic\n---\nYou review.\n');
  ws.file(
    'critic',
    `#!/bin/sh\ncat > "$TOWPATH_WORKSPACE/.towpath/review-$TOWPATH_TASK_ID"\nprintf '%s\\n' '${JSON.stringify({ type: 'result', success: true, output: JSON.stringify({ verdict: 'accept', summary: 'so', findings: [] }) })}'\n`,
    0o755,
  );
  ws.drop('big', big('review: agent\non_accept: merge\n'));
  expect(ws.drain().code).toBe(0);
  expect(show(ws, 'big')).toMatchObject({ queue: 'done' });
  expect(files(ws, 'main').sort()).toEqual(['one.txt', 'three.txt', 'two.txt']);
  expect(readFileSync(ws.path('.towpath/review-big.review-1'), 'utf8')).toContain('2. two: Make two');
  expect(readFileSync(ws.path('.towpath/review-big.review-2'), 'utf8')).toContain('three.txt');
});

it('with subtasks.depth 2 a subtask is divided in turn, and a single run that divides ends well', () => {
  const outer = [part('half', 'none', [], { role: 'breakdown' }), part('last', 'cat one.txt > last.txt', ['half'])];
  const ws = setUp(
    `case "$TOWPATH_TASK_ID" in big)\n${said(outer)}\n;; *)\n${said([THREE[0]])}\n;; esac`,
    'subtasks: {depth: 2}\n',
  );
  ws.drop('big', big());
  // It waits over a restart: what was read of it is kept.
  expect(ws.drain(['--role', 'nobody']).code).toBe(0);
  expect(ws.run(['start', '--single-task']).code).toBe(0);
  expect(ws.drain().code).toBe(0);
  expect(show(ws, 'big')).toMatchObject({ queue: 'done' });
  expect(show(ws, 'big.1-half.1-one')).toMatchObject({ queue: 'done', parent: 'big.1-half' });
  expect(files(ws, 'towpath/big').sort()).toEqual(['last.txt', 'one.txt']);
});

it('a daemon killed while it files them files each once', async () => {
  const ws = setUp(said(THREE));
  ws.drop('big', big());
  for (let n = 0; n < 4; n++) {
    const daemon = await ws.start();
    const there = ['big.1-one', 'big.2-two', 'big.3-three', 'big.3-three'][n]!;
    await until(
      () => existsSync(ws.path('.towpath/origins', `${there}.json`)) || existsSync(ws.path('.towpath/runs', there)),
      there,
    );
    daemon.kill('SIGKILL');
    await until(() => daemon.signalCode !== null, 'it is dead');
  }
  expect(ws.drain().code).toBe(0);
  expect(show(ws, 'big')).toMatchObject({ queue: 'done' });
  expect(show(ws, 'big').subtasks.map(({ id }) => id)).toEqual(['big.1-one', 'big.2-two', 'big.3-three']);
  expect(ws.json<TaskJson[]>(['list'])).toHaveLength(4);
});

it('where no agent is named or found, the one that planned does the parts, and that did them reviews', () => {
  const ws = make('retry: {initial: 50ms}\nagents:\n  bot: {command: ./bot, input: prompt}\n');
  const plan = JSON.stringify({ subtasks: [{ title: 'Make it', body: 'Make it.' }] });
  const verdict = JSON.stringify({ verdict: 'accept', summary: 'fine', findings: [] });
  ws.file(
    'bot',
    `#!/bin/sh\ncat > /dev/null\ncase "$TOWPATH_TASK_ID" in\n*.review-*) printf '%s\\n' '${verdict}' ;;\nbig) printf '%s\\n' '${plan}' ;;\n*) echo made > made.txt ;;\nesac\n`,
    0o755,
  );
  ws.drop('big', big('agent: bot\nreview: agent\n'));
  expect(ws.drain().code).toBe(0);
  expect(show(ws, 'big')).toMatchObject({ queue: 'done', outcome: 'ok' });
  expect(files(ws, 'towpath/big')).toEqual(['made.txt']);
  expect(show(ws, 'big.1-make-it')).toMatchObject({ queue: 'done', agent: 'bot' });
  expect(show(ws, 'big.review-1').data).toMatchObject({ agent: 'bot' });
});

it('a step that was divided is planned anew when it begins anew; what failed or was cancelled of the plan before counts for nothing', () => {
  const ws = setUp(
    `if [ -e "$TOWPATH_WORKSPACE/later" ]; then\n${said([part('two', 'echo 2 > two.txt')])}\nelse\n${said([part('one', 'echo 1 > one.txt'), part('bad', 'exit 3'), part('after', 'true', ['bad'])])}\nfi`,
  );
  const given = '$' + '{SPEC}';
  ws.file(
    'workflows/divide.workflow.md',
    [
      '# Divide',
      `## Plan\n* **Agent:** [Implementer](../roles/implementer.md)\n* **Output:** ${given}\n\n~~~sh\necho spec\n~~~`,
      `## Divide\n* **Agent:** [Breakdown](../roles/breakdown.md)\n* **Input:** ${given}\n\nDo ${given}.`,
    ].join('\n\n'),
  );
  const { run } = ws.json<{ run: string }>(['workflow', 'run', 'divide']);
  expect(ws.drain().code).toBe(1);
  const divide = `${run}.2-divide`;
  expect(show(ws, divide).subtasks.map(({ queue }) => queue)).toEqual(['done', 'failed', 'blocked']);
  const needs = () => ws.json<{ needs_you: { id: string }[] }>(['status']).needs_you.map(({ id }) => id);
  expect(needs()).toEqual([`${divide}.2-bad`]);
  ws.file('later', '');
  expect(ws.run(['workflow', 'retry', run, 'Plan']).code).toBe(0);
  expect(ws.drain().code).toBe(0);
  expect(show(ws, divide)).toMatchObject({ queue: 'done', reason: null });
  expect(files(ws, `towpath/${divide}`)).toEqual(['two.txt']);
  expect(files(ws, `towpath/${divide}.1-one`)).toEqual(['one.txt']);
  for (const old of ['2-bad', '3-after']) expect(show(ws, `${divide}.${old}`).queue).toBe('failed');
  expect(needs()).toEqual([]);
  // A part of the plan that counts is another matter.
  ws.run(['retry', `${divide}.1-two`]);
  ws.run(['cancel', `${divide}.1-two`]);
  expect(ws.drain().code).toBe(1);
});
