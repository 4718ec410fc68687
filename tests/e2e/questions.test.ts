// An agent asks a person: by an event, by QUESTION.md, by the tool ask; the slot is free meanwhile, and the answer brings it back.
import {
  existsSync,
  lstatSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { QUESTION_BYTES } from '../../daemon/attempt/question.ts';
import { shellTask, type TestWorkspace, until, workspaces } from '../helpers/workspace.ts';

const open = workspaces();
/** A loaded machine takes ten times as long. */
const SLOW_MS = 120_000;
const SETTINGS = 'agent: shell\nretry: {initial: 100ms}\nconcurrency: 1\n';

/** Asks by file in its first run, and does what the answer says in the next. */
const asking = (asks = 'printf "Which colour?\\n" > QUESTION.md', frontmatter = '') =>
  shellTask(
    `if printf '%s' "$TOWPATH_PROMPT" | grep -q '^The answer: blue$'
then echo blue > colour.txt
else echo part > part.txt; ${asks}
fi`,
    frontmatter,
  );
/** All in one call of the command line. */
function drop(ws: TestWorkspace, tasks: Record<string, string>): void {
  const files = Object.entries(tasks).map(([id, content]) => ws.file(`drafts/${id}.md`, content));
  expect(ws.run(['enqueue', ...files])).toMatchObject({ code: 0 });
  rmSync(ws.path('drafts'), { recursive: true });
}
const inBranch = (ws: TestWorkspace, id: string) =>
  ws.git('ls-tree', '-r', '--name-only', `towpath/${id}`).trim().split('\n');
const asked = (ws: TestWorkspace, id: string, attempt = 1) => ws.path(`.towpath/runs/${id}/${attempt}/QUESTION.md`);

describe('QUESTION.md', () => {
  it(
    'is taken for a question: the work stays on the branch, the answer goes on, no attempt is spent',
    () => {
      const ws = open(SETTINGS);
      ws.drop('t', asking());
      expect(ws.drain().code).toBe(1);
      expect(ws.show('t')).toMatchObject({
        ...{
          queue: 'blocked',
          outcome: 'needs_input',
          attempts: 0,
          question: 'Which colour?',
          reason: 'Which colour?',
        },
      });
      expect(inBranch(ws, 't')).toEqual(['README.md', 'part.txt']);
      expect(existsSync(ws.path('.worktrees/task-t/QUESTION.md'))).toBe(false);
      expect(readFileSync(asked(ws, 't'), 'utf8')).toBe('Which colour?\n');
      expect(readFileSync(ws.path('.towpath/runs/t/1/prompt.md'), 'utf8')).toContain('QUESTION.md at the top');

      expect(ws.run(['why', 't']).stdout).toBe('it asks: Which colour?\nanswer with: towpath answer t -m "…"\n');
      const { needs_you } = ws.json<{ needs_you: object[] }>(['status']);
      expect(needs_you).toMatchObject([{ id: 't', why: 'asks: Which colour?', next: 'towpath answer t -m "…"' }]);
      expect(ws.run(['list']).stdout).toContain('asks: Which colour?');
      for (const empty of ['', ' \n '])
        expect(ws.run(['answer', 't', '-m', empty])).toMatchObject({
          code: 2,
          stderr: expect.stringMatching(/is empty/),
        });
      expect(ws.run(['answer', 't', '-m', 'x'.repeat(6001)]).stderr).toContain('put it into a file');

      expect(ws.run(['answer', 't', '-m', 'blue']).code).toBe(0);
      expect(ws.show('t')).toMatchObject({ queue: 'incoming', question: null, reason: null });
      expect(ws.run(['answer', 't', '-m', 'again']).stderr).toContain('is in incoming/');
      expect(ws.drain().code).toBe(0);
      expect(ws.show('t')).toMatchObject({ queue: 'done', attempts: 1, feedback: [{ from: 'answer' }] });
      expect(inBranch(ws, 't')).toEqual(['README.md', 'colour.txt', 'part.txt']);
    },
    SLOW_MS,
  );

  it(
    'works in the tree itself, where there is no git, and when the agent has committed it',
    () => {
      const ws = open(SETTINGS);
      drop(ws, {
        tree: asking(undefined, 'complexity: minor\n'),
        kept: asking('echo "Which colour?" > QUESTION.md; git add -A; git commit -qm mine'),
      });
      expect(ws.drain().code).toBe(1);
      for (const id of ['tree', 'kept']) expect(ws.show(id)).toMatchObject({ outcome: 'needs_input' });
      expect(existsSync(ws.path('QUESTION.md'))).toBe(false);
      expect(inBranch(ws, 'kept')).toEqual(['README.md', 'part.txt']);
      for (const id of ['tree', 'kept']) ws.run(['answer', id, '-m', 'blue']);
      expect(ws.drain().code).toBe(0);
      expect(readFileSync(ws.path('colour.txt'), 'utf8')).toBe('blue\n');
      expect(ws.git('status', '--porcelain', '-uno')).toBe('');

      const bare = open(SETTINGS, { repo: false });
      bare.drop('folder', asking(undefined, 'complexity: minor\n'));
      bare.drain();
      expect(bare.show('folder')).toMatchObject({ queue: 'blocked', question: 'Which colour?' });
      expect(existsSync(bare.path('QUESTION.md'))).toBe(false);
      bare.run(['answer', 'folder', '-m', 'blue']);
      expect(bare.drain().code).toBe(0);
    },
    SLOW_MS,
  );

  it(
    'does not count when it is a link or empty; a long one is cut',
    () => {
      const ws = open(SETTINGS);
      drop(ws, {
        link: shellTask('echo > a.txt; ln -s README.md QUESTION.md'),
        empty: shellTask('echo > a.txt; echo > QUESTION.md'),
        long: shellTask(`printf 'x%.0s' $(seq 1 ${QUESTION_BYTES + 100}) > QUESTION.md`),
      });
      expect(ws.drain().code).toBe(1);
      expect(ws.show('link')).toMatchObject({ queue: 'done' });
      expect(ws.git('cat-file', '-p', 'towpath/link:QUESTION.md')).toBe('README.md');
      expect(ws.show('empty')).toMatchObject({ queue: 'done' });
      expect(inBranch(ws, 'empty')).toEqual(['README.md', 'a.txt']);
      expect(ws.show('long').question).toBe(`${'x'.repeat(QUESTION_BYTES)} …`);
      // What is told with the answer is short, so that the answer is told whole.
      ws.run(['answer', 'long', '-m', 'blue']);
      expect(ws.show('long').feedback[0]?.message).toMatch(/x …\n\nThe answer: blue$/);
    },
    SLOW_MS,
  );

  it(
    'does not count when it is of the project',
    () => {
      const ws = open(SETTINGS);
      writeFileSync(ws.path('QUESTION.md'), 'of the project\n');
      ws.git('add', '-A', 'QUESTION.md');
      ws.git('commit', '-qm', 'a question of its own');
      ws.drop('tracked', shellTask('echo "Which?" >> QUESTION.md'));
      ws.drain();
      expect(ws.show('tracked')).toMatchObject({ queue: 'done', question: null });
      expect(ws.git('show', 'towpath/tracked:QUESTION.md')).toBe('of the project\nWhich?\n');

      const mine = open(SETTINGS);
      symlinkSync('elsewhere', mine.path('QUESTION.md'));
      mine.drop('minor', asking(undefined, 'complexity: minor\n'));
      mine.drain();
      expect(lstatSync(mine.path('QUESTION.md')).isSymbolicLink()).toBe(true);
    },
    SLOW_MS,
  );

  it(
    'whose task is moved by hand goes on without an answer, or is done',
    () => {
      const ws = open(SETTINGS);
      drop(ws, { again: asking(), enough: asking() });
      ws.drain();
      renameSync(ws.path('queues/blocked/again.md'), ws.path('queues/incoming/again.md'));
      renameSync(ws.path('queues/blocked/enough.md'), ws.path('queues/done/enough.md'));
      expect(ws.run(['answer', 'enough', '-m', 'blue']).stderr).toContain('is in done/');
      expect(ws.drain().code).toBe(1);
      expect(ws.show('enough')).toMatchObject({ queue: 'done', outcome: 'ok', question: null });
      expect(ws.show('again')).toMatchObject({
        queue: 'blocked',
        attempts: 0,
        question: 'Which colour?',
        feedback: [],
      });
      expect(existsSync(asked(ws, 'again', 2))).toBe(true);
    },
    SLOW_MS,
  );

  it(
    'counts whatever else the agent says, and a limit that it met as well holds',
    () => {
      const say = (event: object) => `printf '%s\\n' '${JSON.stringify(event)}'`;
      const ws = open(`${SETTINGS}agents:\n  bot: {command: [./bot.sh]}\n  full: {command: [./full.sh]}\n`);
      ws.file(
        'bot.sh',
        `#!/bin/sh\ncat > /dev/null; echo "Which?" > QUESTION.md; ${say({ type: 'result', success: false })}; exit 3\n`,
        0o755,
      );
      const limit = { type: 'error', outcome: 'rate_limited', content: 'full', retry_after: '1h' };
      ws.file('full.sh', `#!/bin/sh\ncat > /dev/null; echo "Which?" > QUESTION.md; ${say(limit)}; exit 1\n`, 0o755);
      drop(ws, { t: '---\nagent: bot\n---\nDo it.\n', u: '---\nagent: full\n---\nDo it.\n' });
      ws.drain();
      for (const id of ['t', 'u'])
        expect(ws.show(id)).toMatchObject({
          queue: 'blocked',
          outcome: 'needs_input',
          attempts: 0,
          question: 'Which?',
        });
      expect(ws.json<{ limits: { agent: string }[] }>(['status']).limits).toMatchObject([{ agent: 'full' }]);
    },
    SLOW_MS,
  );
});

describe('a daemon', () => {
  it(
    'frees the slot of whoever asks, tells the notify hook, and takes an answer',
    async () => {
      const ws = open(SETTINGS);
      ws.hook('notify', `#!/bin/sh\ncat >> ${ws.path('told.ndjson')}\necho >> ${ws.path('told.ndjson')}\n`);
      await ws.start();
      ws.drop('t', asking());
      await ws.reaches('t', 'blocked');
      ws.drop('other', shellTask('echo > other.txt'));
      await ws.reaches('other', 'done');
      const told = () =>
        readFileSync(ws.path('told.ndjson'), 'utf8')
          .split('\n')
          .filter(Boolean)
          .map((line) => JSON.parse(line) as { to: string; reason: string; task: { id: string; question: string } });
      await until(() => told().some(({ to }) => to === 'blocked'), 'the hook is told');
      const notice = told().find(({ to }) => to === 'blocked')!;
      expect(notice).toMatchObject({ reason: 'Which colour?', task: { id: 't', question: 'Which colour?' } });
      expect(ws.run(['answer', 't', '-m', ' '])).toMatchObject({ code: 2, stderr: expect.stringMatching(/is empty/) });
      expect(ws.run(['answer', 'other', '-m', 'blue']).stderr).toContain('is in done/');
      await until(
        () => ws.json<{ needs_you: { id: string }[] }>(['status']).needs_you[0]?.id === 't',
        'status tells the question',
      );
      expect(ws.run(['answer', 't', '-m', 'blue']).code).toBe(0);
      await ws.reaches('t', 'done');
      expect(ws.show('t')).toMatchObject({ attempts: 1 });
    },
    SLOW_MS,
  );

  it(
    'that is killed after the question was taken still knows it',
    async () => {
      const ws = open(SETTINGS);
      ws.hook(
        'post_task',
        `#!/bin/sh\necho >> ${ws.path('.towpath/post')}\n[ -e ${ws.path('.towpath/go')} ] || sleep 20\n`,
      );
      const first = await ws.start();
      ws.drop('t', asking(undefined, 'complexity: minor\n'));
      await until(() => existsSync(ws.path('.towpath/post')), 'the hook after the work runs');
      expect(existsSync(asked(ws, 't'))).toBe(true);
      first.kill('SIGKILL');
      await new Promise((resolve) => first.once('exit', resolve));
      ws.file('.towpath/go', '');
      await ws.start();
      await ws.reaches('t', 'blocked');
      expect(ws.show('t')).toMatchObject({ outcome: 'needs_input', question: 'Which colour?', attempts: 0 });
    },
    SLOW_MS,
  );

  it(
    'that is killed while an agent asks by an event hears it later',
    async () => {
      const ws = open(`${SETTINGS}agents: {bot: {command: [./bot.sh]}}\n`);
      const say = `printf '%s\\n' '${JSON.stringify({ type: 'question', content: 'Which?' })}'`;
      ws.file(
        'bot.sh',
        `#!/bin/sh\ncat > /dev/null\n${say}\nwhile [ ! -e ${ws.path('.towpath/go')} ]; do sleep 0.1; done\n`,
        0o755,
      );
      const first = await ws.start();
      ws.drop('t', '---\nagent: bot\n---\nDo it.\n');
      await until(() => existsSync(ws.path('.towpath/runs/t/1/pid')), 'it runs');
      first.kill('SIGKILL');
      await new Promise((resolve) => first.once('exit', resolve));
      ws.file('.towpath/go', '');
      await ws.start();
      await ws.reaches('t', 'blocked');
      expect(ws.show('t')).toMatchObject({ outcome: 'needs_input', question: 'Which?', attempts: 0 });
    },
    SLOW_MS,
  );

  it(
    'tells of a question among many that wait for others',
    async () => {
      const ws = open(SETTINGS);
      ws.drop('q', asking());
      ws.drain();
      const other = '---\ndepends_on: [no]\ntowpath:\n  queue: blocked\n  waits_for: dependencies\n---\nx\n';
      for (let n = 0; n < 3000; n++) writeFileSync(ws.path(`queues/blocked/d${n}.md`), other);
      // Without its line in the ledger nothing but the daemon knows where to look.
      for (const name of readdirSync(ws.path('.towpath')).filter((one) => one.startsWith('ledger.db')))
        rmSync(ws.path('.towpath', name));
      await ws.start();
      let first: { id: string; why: string } | undefined;
      await until(() => {
        first = ws.json<{ needs_you: (typeof first)[] }>(['status']).needs_you[0];
        return first !== undefined;
      }, 'status tells it');
      expect(first).toMatchObject({ id: 'q', why: 'asks: Which colour?' });
    },
    SLOW_MS,
  );

  it(
    'that is stopped while the agent that has asked lingers keeps the question',
    async () => {
      const ws = open(SETTINGS);
      await ws.start();
      ws.drop('t', asking('echo "Which colour?" > QUESTION.md; sleep 60'));
      await until(() => existsSync(ws.path('.worktrees/task-t/QUESTION.md')), 'it asks');
      ws.run(['stop', '--now']);
      await ws.reaches('t', 'blocked');
      expect(ws.show('t')).toMatchObject({ question: 'Which colour?', attempts: 0 });
    },
    SLOW_MS,
  );
});

describe('the default answer', () => {
  const within = (time: string) => `${SETTINGS}questions: {default_answer: blue, after: ${time}}\n`;

  it(
    'is given in time, also to one who asked before a restart, and by hand before',
    async () => {
      const ws = open(within('1h'));
      drop(ws, { t: asking(), u: asking() });
      const first = await ws.start();
      await ws.reaches('t', 'blocked');
      await ws.reaches('u', 'blocked');
      first.kill('SIGKILL');
      await new Promise((resolve) => first.once('exit', resolve));
      const file = ws.path('queues/blocked/t.md');
      const before = readFileSync(file, 'utf8');
      expect(before).toMatch(/asked_at: /);
      // As if it had asked an hour ago, less eight seconds.
      const then = new Date(Date.now() - 3_592_000).toISOString();
      writeFileSync(file, before.replace(/asked_at: .*/, `asked_at: "${then}"`));
      await ws.start();
      await sleep(500);
      expect(ws.where('t')).toBe('blocked');
      await ws.reaches('t', 'done');
      expect(ws.show('t').feedback).toMatchObject([
        { from: 'default', message: expect.stringMatching(/Nobody answered in time, .*\nThe answer: blue$/) },
      ]);
      expect(ws.output).toContain('nobody answered within 1h');
      expect(ws.where('u')).toBe('blocked');
      expect(ws.run(['answer', 'u', '-m', 'blue']).code).toBe(0);
      await ws.reaches('u', 'done');
    },
    SLOW_MS,
  );

  it(
    'is given three times: who asks again needs a person',
    () => {
      const ws = open(within('100ms'));
      ws.drop('t', shellTask('echo "Which?" > QUESTION.md'));
      expect(ws.drain().code).toBe(1);
      const { queue, attempts, feedback, question } = ws.show('t');
      expect({ queue, attempts, question }).toEqual({ queue: 'blocked', attempts: 0, question: 'Which?' });
      expect(feedback.map(({ from }) => from)).toEqual(['default', 'default', 'default']);
    },
    SLOW_MS,
  );
});
