// Workflows end to end: files compiled to tasks, values that go from step to step, conditions, lists, retry, cancel, kill -9.
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { type TestWorkspace, until, workspaces } from '../helpers/workspace.ts';

const open = workspaces();
/** A loaded machine takes ten times as long. */
const SLOW_MS = 180_000;
const SETTINGS =
  'agent: bot\nconcurrency: 4\ndurability: fast\nretry: {initial: 50ms, max_attempts: 1}\nagents: {bot: {command: [./.towpath/bot]}}\n';

/** Keeps what it was asked, then does what the test wrote for the step: a script, or an answer. */
const BOT = `#!/bin/sh
at="$TOWPATH_WORKSPACE/.towpath"
step=\${TOWPATH_TASK_ID#*.}
mkdir -p "$at/asked"
cat > "$at/asked/$TOWPATH_TASK_ID"
echo "$TOWPATH_TASK_ID" >> "$at/ran"
[ -x "$at/do-$step" ] && exec "$at/do-$step"
[ -e "$at/say-$step" ] && exec cat "$at/say-$step"
echo "answer of $step"
`;

interface Drawn {
  run: string;
  state: string;
  steps: {
    step: string;
    task: { id: string; queue: string; skipped: boolean; reason: string | null };
    items: { queue: string }[];
  }[];
}

function make(settings = SETTINGS): TestWorkspace {
  const ws = open(settings);
  ws.file('.towpath/bot', BOT, 0o755);
  return ws;
}
const says = (ws: TestWorkspace, step: string, result: object): string =>
  ws.file(`.towpath/say-${step}`, `${JSON.stringify({ type: 'result', ...result })}\n`);
const does = (ws: TestWorkspace, step: string, script: string): string =>
  ws.file(`.towpath/do-${step}`, `#!/bin/sh\n${script}\n`, 0o755);
const steps = (...all: [string, string, string][]): string =>
  all
    .map(([name, fields, text]) => `## ${name}\n\n* **Agent:** [I](../roles/implementer.md)\n${fields}\n${text}\n`)
    .join('\n');
const start = (ws: TestWorkspace, text: string, ...more: string[]): string =>
  ws.json<{ run: string }>(['workflow', 'run', ws.file('workflows/w.workflow.md', text), ...more]).run;
const asked = (ws: TestWorkspace, id: string): string =>
  (JSON.parse(readFileSync(ws.path('.towpath/asked', id), 'utf8')) as { prompt: string }).prompt;
const ran = (ws: TestWorkspace): string[] =>
  existsSync(ws.path('.towpath/ran')) ? readFileSync(ws.path('.towpath/ran'), 'utf8').trim().split('\n') : [];
const shown = (ws: TestWorkspace, run: string): Drawn => ws.json<Drawn>(['workflow', 'show', run]);
const states = (ws: TestWorkspace, run: string): Record<string, string> =>
  Object.fromEntries(shown(ws, run).steps.map(({ step, task }) => [step, task.skipped ? 'skipped' : task.queue]));
const filesOf = (ws: TestWorkspace, id: string): string[] =>
  ws.git('ls-tree', '-r', '--name-only', `towpath/${id}`).trim().split('\n');
const queued = (ws: TestWorkspace): string[] =>
  readdirSync(ws.path('queues'), { recursive: true, encoding: 'utf8' }).filter((name) => name.endsWith('.md'));

describe('the workflows that ship', () => {
  it(
    'go from their first step to their last',
    async () => {
      const ws = make();
      for (const step of ['3-implement', '4-test', '5-document', '1-reproduce', '3-fix'])
        does(
          ws,
          step,
          `grep -q CANNOT "$TOWPATH_PROMPT_FILE" && exit 3; echo ${step} > ${step}.txt; echo "done: ${step}"`,
        );
      says(ws, '1-find', { content: 'Two.\n```DEPENDENCIES\n["a from 1 to 2","b from 3 to 4"]\n```\n' });
      for (const n of [1, 2]) does(ws, `2-update-${n}`, `echo ${n} >> lock.txt; echo "note ${n}"`);
      const hero = ws.json<{ run: string; tasks: { step: string; id: string }[] }>([
        ...['workflow', 'run', 'zero-to-hero', '--var', 'GOAL=fly ${PLAN} high'],
      ]);
      expect(hero.tasks.map(({ step }) => step)).toEqual([
        'Analyse',
        'Plan',
        'Implement',
        'Test',
        'Document',
        'Sum up',
      ]);
      const update = ws.json<{ run: string }>(['workflow', 'run', 'dependency-update']).run;
      const [fixed, unclear] = ['it breaks', 'CANNOT be seen'].map(
        (issue) => ws.json<{ run: string }>(['workflow', 'run', 'bug-to-fix', '--var', `ISSUE=${issue}`]).run,
      ) as [string, string];
      // One failed, as it should: that is what the condition is about.
      const drained = ws.drain();
      expect(drained.code, drained.stdout).toBe(1);

      expect(new Set(Object.values(states(ws, hero.run)))).toEqual(new Set(['done']));
      const [analyse, plan, , test, , sum] = hero.tasks.map(({ id }) => id) as [
        string,
        string,
        string,
        string,
        string,
        string,
      ];
      expect(asked(ws, analyse)).toContain('fly ${PLAN} high');
      expect(asked(ws, plan)).toContain('What is known of the repository:\n\nanswer of 1-analyse');
      expect(asked(ws, test)).toContain('Its author says:\n\ndone: 3-implement');
      expect(filesOf(ws, sum)).toEqual(expect.arrayContaining(['3-implement.txt', '4-test.txt', '5-document.txt']));
      expect(filesOf(ws, test)).not.toContain('5-document.txt');

      const [, each] = shown(ws, update).steps;
      expect(each!.items.map(({ queue }) => queue)).toEqual(['done', 'done']);
      expect(asked(ws, `${update}.2-update-2`)).toContain('Make this one update and no other: b from 3 to 4');
      expect(asked(ws, `${update}.3-test`)).toContain('["note 1","note 2"]');
      // In turn: the second was made on the first, so they do not contradict each other.
      expect(ws.git('show', `towpath/${update}.3-test:lock.txt`)).toBe('1\n2\n');
      expect(ran(ws)).not.toContain(`${update}.2-update`);

      expect(states(ws, fixed)).toEqual({
        Reproduce: 'done',
        'Not reproduced': 'skipped',
        Fix: 'done',
        Verify: 'done',
      });
      expect(filesOf(ws, `${fixed}.4-verify`)).toEqual(expect.arrayContaining(['1-reproduce.txt', '3-fix.txt']));
      expect(states(ws, unclear)).toEqual({
        Reproduce: 'failed',
        'Not reproduced': 'done',
        Fix: 'skipped',
        Verify: 'skipped',
      });
      const skipped = ws.show(`${unclear}.4-verify`);
      expect(skipped).toMatchObject({ queue: 'done', outcome: null, attempts: 0 });
      expect(skipped.reason).toBe('skipped: it takes ${CAUSE} of "Fix", which was skipped');
      const text = ws.run(['workflow', 'show', unclear]).stdout;
      expect(text).toMatch(/✗ Reproduce +failed: failed/);
      expect(text).toMatch(/Fix +skipped/);
      expect(ws.run(['workflow', 'list']).stdout).toMatch(/workflows: bug-to-fix, dependency-update, w?/);
    },
    SLOW_MS,
  );
});

describe('values', () => {
  it(
    'come whole from files, outputs, blocks and final texts, and are in files alone',
    async () => {
      const ws = make();
      const large = `\${NAMED} $& \`x\` ${'é"\\ ${LARGE}\n'.repeat(80_000)}end`;
      expect(Buffer.byteLength(large)).toBeGreaterThan(1e6);
      const big = `${'${LARGE} '.repeat(120_000)}`;
      says(ws, '1-one', {
        outputs: { NAMED: big, DATA: { a: [1] } },
        content: 'x\n````BLOCK\n```sh\n${NAMED}\n```\n````\n',
      });
      says(ws, '2-two', { content: 'all of ${LARGE} it' });
      const run = start(
        ws,
        `---\npriority: P1\n---\n# Values\n\n${steps(
          ['One', '* **Input:** ${LARGE}\n* **Output:** ${NAMED}, ${DATA}, ${BLOCK}\n', 'One <${LARGE}>'],
          ['Two', '* **Input:** ${NAMED}\n* **Output:** ${TEXT}\n', 'Two <${NAMED}>'],
          [
            'Three',
            '* **Input:** ${DATA}, ${BLOCK}, ${TEXT}\n* **Input:** ${OTHER} = nothing, ${TEXT}\n',
            '<${DATA}|${BLOCK}|${TEXT}|${OTHER}|$${TEXT}>',
          ],
        )}`,
        ...['--var-file', `LARGE=${ws.file('drafts/large.txt', large)}`],
      );
      const [one, two, three] = shown(ws, run).steps.map(({ task }) => task.id) as [string, string, string];
      expect(readFileSync(ws.path('queues/incoming', `${one}.md`), 'utf8')).toContain('One <${LARGE}>');
      const drained = ws.drain();
      expect(drained.code, drained.stdout).toBe(0);
      expect(asked(ws, one).includes(`One <${large}>`)).toBe(true);
      expect(asked(ws, two).includes(`Two <${big}>`)).toBe(true);
      expect(asked(ws, three)).toContain(
        '<{"a":[1]}|```sh\n${NAMED}\n```|all of ${LARGE} it|nothing, ${TEXT}|${TEXT}>',
      );
      for (const id of [one, two, three])
        expect(statSync(ws.path('queues/done', `${id}.md`)).size).toBeLessThan(20_000);
      const kept = ws.path('.towpath/workflows', run, 'vars/LARGE');
      expect([statSync(kept).mode & 0o777, readFileSync(kept, 'utf8') === large]).toEqual([0o600, true]);
      const inputs = ws.path('.towpath/workflows', run, 'inputs', two);
      expect(statSync(join(inputs, 'NAMED')).mode & 0o777).toBe(0o600);
      expect(ws.show(one)).toMatchObject({
        data: { priority: 'P1', outputs: ['NAMED', 'DATA', 'BLOCK'], role: 'implementer' },
      });
    },
    SLOW_MS,
  );

  it(
    'are never commands of a shell step',
    async () => {
      const ws = make('agent: shell\ndurability: fast\nconcurrency: 3\n');
      const evil = `$(touch evil) "; touch evil; '\n\`touch evil\` \${A} \\`;
      const run = start(
        ws,
        `---\nagent: shell\n---\n${steps(
          [
            'One',
            '* **Input:** ${A}\n* **Output:** ${LINES}\n',
            '```sh\nx=1; printf %s "${A}" > a.txt\necho "$${x}" two; echo 3\n```',
          ],
          ['Each', '* **For each:** ${LINES} as ${L}\n', '```sh\necho "got ${L}" > out.txt\n```'],
          ['Given', '* **For each:** ${G} as ${L}\n', '```sh\necho "given ${L}" > out.txt\n```'],
          ['None', '* **For each:** ${EMPTY} as ${L}\n* **Output:** ${O}\n', '${L}'],
          ['Empty', '* **After:** Given\n* **Output:** ${EMPTY}\n', '```sh\necho\n```'],
          ['Last', '* **Input:** ${O}\n', '```sh\nprintf %s "${O}" > last.txt\n```'],
        )}`,
        ...['--var', `A=${evil}`, '--var', 'G=["x y"]'],
      );
      const drained = ws.drain();
      expect(drained.code, drained.stdout).toBe(0);
      expect(ws.git('show', `towpath/${run}.1-one:a.txt`)).toBe(evil);
      expect(filesOf(ws, `${run}.1-one`)).not.toContain('evil');
      expect(ws.git('show', `towpath/${run}.2-each-1:out.txt`)).toBe('got 1 two\n');
      expect(ws.git('show', `towpath/${run}.2-each-2:out.txt`)).toBe('got 3\n');
      expect(ws.git('show', `towpath/${run}.3-given-1:out.txt`)).toBe('given x y\n');
      expect(ws.git('show', `towpath/${run}.6-last:last.txt`)).toBe('[]');
      expect(ws.show(`${run}.2-each`)).toMatchObject({ queue: 'done', outcome: 'ok', attempts: 0 });
    },
    SLOW_MS,
  );
});

it(
  'has steps that run a pattern, with inputs that are checked before anything is filed',
  () => {
    const ws = make();
    const text = (inputs: string) =>
      `## Look\n\n* **Pattern:** automation_status\n* **With:** ${inputs}\n* **Output:** \${REPORT}\n\nLook.\n\n${steps(['Tell', '* **Input:** ${REPORT}\n', '<${REPORT}>'])}`;
    const path = ws.file('workflows/w.workflow.md', text('{"format": "never"}'));
    const refused = ws.run(['workflow', 'run', path]);
    expect(refused).toMatchObject({ code: 3, stderr: expect.stringContaining(':1:4: "Look": ') as string });
    expect(queued(ws)).toEqual([]);
    const run = start(ws, text('{"format": "json"}'));
    const drained = ws.drain();
    expect(drained.code, drained.stdout).toBe(0);
    expect(ws.show(`${run}.1-look`)).toMatchObject({ agent: 'pattern', outcome: 'ok' });
    expect(asked(ws, `${run}.2-tell`)).toContain('<0 of 10 areas are automated');
  },
  SLOW_MS,
);

describe('a run', () => {
  const CHAIN = steps(
    ['Begin', '* **Output:** ${B}\n', 'Begin.'],
    ['Break', '* **Input:** ${B}\n* **Output:** ${C}\n', 'Break ${B}.'],
    ['Beside', '* **After:** Begin\n', 'Beside.'],
    ['End', '* **Input:** ${C}\n* **After:** Beside\n', 'End ${C}.'],
    ['Mourn', '* **If:** Break failed\n', 'Mourn.'],
    ['Feast', '* **If:** Break ok\n', 'Feast.'],
  );

  it(
    'is held by a step that fails, survives kill -9, and goes on from a step without running again what is done',
    async () => {
      const ws = make();
      const gate = ws.path('.towpath/go');
      does(ws, '2-break', `while [ ! -e '${gate}' ]; do sleep 0.1; done; [ -e '${gate}2' ] || exit 3; echo mended`);
      const daemon = await ws.start();
      const run = start(ws, CHAIN);
      const ids = shown(ws, run).steps.map(({ task }) => task.id);
      await until(
        () => ran(ws).some((id) => id.endsWith('2-break')),
        'it is at work',
        SLOW_MS,
        () => ws.output,
      );
      await ws.reaches(`${run}.3-beside`, 'done', SLOW_MS);
      daemon.kill('SIGKILL');
      await until(() => daemon.signalCode !== null, 'the daemon is dead');
      expect(states(ws, run)).toMatchObject({ Begin: 'done', Break: 'claimed', End: 'blocked', Mourn: 'blocked' });
      await ws.start();
      ws.file('.towpath/go', '');
      await ws.reaches(`${run}.2-break`, 'failed', SLOW_MS);
      await ws.reaches(`${run}.5-mourn`, 'done', SLOW_MS);
      await ws.reaches(`${run}.6-feast`, 'done', SLOW_MS);
      await until(() => /2-break, which failed/.test(ws.show(`${run}.4-end`).reason ?? ''), 'the end is held', SLOW_MS);
      expect(states(ws, run)).toMatchObject({ End: 'blocked', Mourn: 'done', Feast: 'skipped' });
      expect(shown(ws, run).state).toBe('failed');
      expect(ran(ws).toSorted()).toEqual(ids.filter((id) => !/4-end|6-feast/.test(id)).toSorted());

      ws.file('.towpath/go2', '');
      const { retried } = ws.json<{ retried: string[] }>(['workflow', 'retry', run, 'break']);
      // The end never began: it goes on waiting.
      expect(retried).toEqual(['2-break', '5-mourn', '6-feast'].map((name) => `${run}.${name}`));
      await ws.reaches(`${run}.4-end`, 'done', SLOW_MS);
      await until(() => ran(ws).some((id) => id.endsWith('6-feast')), 'the skipped one is decided anew', SLOW_MS);
      await ws.reaches(`${run}.6-feast`, 'done', SLOW_MS);
      const times = (name: string) => ran(ws).filter((id) => id.endsWith(name)).length;
      expect(['1-begin', '2-break', '3-beside', '4-end', '5-mourn'].map(times)).toEqual([1, 2, 1, 1, 1]);
      expect(asked(ws, `${run}.4-end`)).toContain('End mended.');
      expect(shown(ws, run).state).toBe('done');
    },
    SLOW_MS,
  );

  it(
    'is cancelled as a whole, and nothing begins because of that',
    async () => {
      const ws = make();
      does(ws, '2-break', 'sleep 300');
      await ws.start();
      const run = start(ws, CHAIN);
      await until(
        () => ran(ws).some((id) => id.endsWith('2-break')),
        'it is at work',
        SLOW_MS,
        () => ws.output,
      );
      await ws.reaches(`${run}.3-beside`, 'done', SLOW_MS);
      const { cancelled } = ws.json<{ cancelled: string[] }>(['workflow', 'cancel', run]);
      expect(cancelled.toSorted()).toEqual(['2-break', '4-end', '5-mourn', '6-feast'].map((name) => `${run}.${name}`));
      expect(states(ws, run)).toMatchObject({ Begin: 'done', Break: 'failed', End: 'failed', Mourn: 'failed' });
      expect(ran(ws)).not.toContain(`${run}.5-mourn`);
      expect(ws.run(['workflow', 'cancel', run]).stdout).toBe('all of it is over\n');
      expect(ws.run(['workflow', 'show', 'nothing']).code).toBe(4);
      expect(ws.run(['workflow', 'cancel', 'nothing']).code).toBe(4);
      expect(ws.run(['workflow', 'retry', run, 'nobody']).code).toBe(4);
      expect(ws.run(['workflow', 'retry', run]).code).toBe(2);
    },
    SLOW_MS,
  );
});

it(
  'is refused with every mistake and its place, and nothing is filed',
  () => {
    const ws = make();
    const wrong = ws.file(
      'workflows/wrong.workflow.md',
      steps(
        ['A', '* **Input:** ${NO}\n* **Output:** ${X}\n* **After:** B\n', '${NO}'],
        ['B', '* **Input:** ${X}\n* **Foo:** 1\n', 'Nothing.'],
        ['B', '* **Output:** ${X}\n* **Seniority:** god\n', 'Do.'],
      ).replace('implementer', 'nobody'),
    );
    const text = ws.run(['workflow', 'run', wrong]);
    expect([text.code, text.stdout]).toEqual([3, '']);
    const lines = text.stderr.trim().split('\n');
    expect(lines.every((line) => line.startsWith(`towpath: ${wrong}:`))).toBe(true);
    for (const [place, what] of [
      ['1:4', 'the steps wait for each other: A → B → A'],
      ['3:27', 'the role "nobody" does not exist'],
      ['4:14', '${NO} is not defined'],
      ['13:14', '${X} is not used'],
      ['14:5', 'unknown key "Foo"'],
      ['18:4', 'the step "B" is there twice'],
      ['21:15', '${X} is put out twice'],
    ] as const)
      expect(
        lines.some((line) => line.startsWith(`towpath: ${wrong}:${place}: ${what}`)),
        `${place} ${what}\n${text.stderr}`,
      ).toBe(true);
    const json = ws.run(['workflow', 'run', 'wrong', '--json']);
    expect(json.code).toBe(3);
    const { error } = JSON.parse(json.stderr) as { error: { problems: object[] } };
    expect(error).toMatchObject({ code: 'workflow_refused', name: 'ValidationError', file: wrong, line: 1, column: 4 });
    expect(error.problems).toHaveLength(lines.length);

    const one = (fields: string, body: string) => ws.file('workflows/one.workflow.md', steps(['A', fields, body]));
    one('* **Seniority:** god\n', 'Do.');
    expect(ws.run(['workflow', 'run', 'one'])).toMatchObject({
      code: 3,
      stderr: expect.stringMatching(/:1:4: "A": seniority: "god"/) as string,
    });
    one('* **For each:** ${L} as ${I}\n', '${I}');
    expect(ws.run(['workflow', 'run', 'one', '--var', 'L=[]'])).toMatchObject({
      code: 3,
      stderr: expect.stringContaining('4:17: For each: ${L}: it is empty') as string,
    });
    one('', 'Do.');
    expect(ws.run(['workflow', 'run', 'one', '--var', 'Y=1'])).toMatchObject({
      code: 3,
      stderr: expect.stringContaining(':1:1: ${Y} is given') as string,
    });
    expect(ws.run(['workflow', 'run', 'one', '--var', 'Y']).code).toBe(2);
    expect(ws.run(['workflow', 'run', 'none']).code).toBe(4);
    expect(ws.run(['workflow', 'show', 'one']).code).toBe(0);
    expect(queued(ws)).toEqual([]);
    expect(existsSync(ws.path('.towpath/workflows'))).toBe(false);
  },
  SLOW_MS,
);
