// Workflows end to end: files compiled to tasks, values that go from step to step, conditions, lists, retry, cancel, kill -9.
import { existsSync, readdirSync, readFileSync, statSync, unlinkSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { parseTask } from '../../daemon/task/file.ts';
import { cli, cliJson } from '../helpers/in-process.ts';
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
  steps: { step: string; items: { queue: string }[] }[];
}

/** Without git most of a run's cost is gone: for what is not about branches. */
function make(options: { repo?: boolean } = {}): TestWorkspace {
  const ws = open(SETTINGS, options);
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
const start = async (ws: TestWorkspace, text: string, ...more: string[]): Promise<string> =>
  (await cliJson<{ run: string }>(ws, 'workflow', 'run', ws.file('workflows/w.workflow.md', text), ...more)).run;
const asked = (ws: TestWorkspace, id: string): string =>
  (JSON.parse(readFileSync(ws.path('.towpath/asked', id), 'utf8')) as { prompt: string }).prompt;
const ran = (ws: TestWorkspace): string[] =>
  existsSync(ws.path('.towpath/ran')) ? readFileSync(ws.path('.towpath/ran'), 'utf8').trim().split('\n') : [];
const shown = (ws: TestWorkspace, run: string): Promise<Drawn> => cliJson<Drawn>(ws, 'workflow', 'show', run);
const stepsOf = (ws: TestWorkspace, run: string): { id: string; name: string }[] =>
  JSON.parse(readFileSync(ws.path('.towpath/workflows', run, 'plan.json'), 'utf8')).steps;
const task = (ws: TestWorkspace, id: string) =>
  parseTask(readFileSync(ws.path('queues', ws.where(id) ?? 'gone', `${id}.md`)));
const states = (ws: TestWorkspace, run: string): Record<string, string> =>
  Object.fromEntries(
    stepsOf(ws, run).map(({ id, name }) => [name, task(ws, id).state.skipped ? 'skipped' : ws.where(id)!]),
  );
const filesOf = (ws: TestWorkspace, id: string): string[] =>
  ws.git('ls-tree', '-r', '--name-only', `towpath/${id}`).trim().split('\n');
const queued = (ws: TestWorkspace): string[] =>
  readdirSync(ws.path('queues'), { recursive: true, encoding: 'utf8' }).filter((name) => name.endsWith('.md'));

it(
  'the workflows that ship go from their first step to their last',
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
    const run = (name: string, ...more: string[]) =>
      cliJson<{ run: string; tasks: { step: string; id: string }[] }>(ws, 'workflow', 'run', name, ...more);
    const { stdout } = ws.run(['workflow', 'run', 'zero-to-hero', '--var', 'GOAL=fly ${PLAN} high', '--json']);
    const hero = JSON.parse(stdout) as Awaited<ReturnType<typeof run>>;
    const names = ['Analyse', 'Plan', 'Implement', 'Test', 'Document', 'Sum up'];
    expect(hero).toEqual({
      run: expect.stringMatching(/^zero-to-hero-/) as string,
      tasks: names.map((step, at) => ({
        step,
        id: `${hero.run}.${at + 1}-${step.toLowerCase().replace(' ', '-')}`,
      })),
    });
    const update = (await run('dependency-update')).run;
    const fixed = (await run('bug-to-fix', '--var', 'ISSUE=it breaks')).run;
    const unclear = (await run('bug-to-fix', '--var', 'ISSUE=CANNOT be seen')).run;
    does(ws, '1-each-1', 'exit 3');
    does(ws, '1-each-2', 'sleep 1');
    const rescued = await start(
      ws,
      steps(
        ['Each', '* **For each:** ${L} as ${I}\n', 'Do ${I}.'],
        ['Rescue', '* **If:** Each failed\n', 'Help.'],
        ['Praise', '* **If:** Each ok\n', 'Fine.'],
        ['After', '* **After:** Each\n', 'Go on.'],
      ),
      ...['--var', 'L=["a","b"]'],
    );
    // Some failed, as they should: that is what the conditions are about.
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

    const [, each] = (await shown(ws, update)).steps;
    expect(each!.items.map(({ queue }) => queue)).toEqual(['done', 'done']);
    expect(asked(ws, `${update}.2-update-2`)).toContain('Make this one update and no other: b from 3 to 4');
    expect(asked(ws, `${update}.3-test`)).toContain('["note 1","note 2"]');
    // In turn: the second was made on the first, so they do not contradict each other.
    expect(ws.git('show', `towpath/${update}.3-test:lock.txt`)).toBe('1\n2\n');
    expect(ran(ws)).not.toContain(`${update}.2-update`);

    expect(states(ws, fixed)).toEqual({ Reproduce: 'done', 'Not reproduced': 'skipped', Fix: 'done', Verify: 'done' });
    expect(filesOf(ws, `${fixed}.4-verify`)).toEqual(expect.arrayContaining(['1-reproduce.txt', '3-fix.txt']));
    expect(states(ws, unclear)).toEqual({
      Reproduce: 'failed',
      'Not reproduced': 'done',
      Fix: 'skipped',
      Verify: 'skipped',
    });
    expect(states(ws, rescued)).toEqual({ Each: 'blocked', Rescue: 'done', Praise: 'skipped', After: 'blocked' });
    const skipped = await cliJson<object>(ws, 'show', `${unclear}.4-verify`);
    expect(skipped).toMatchObject({
      ...{ queue: 'done', outcome: null, attempts: 0 },
      reason: 'skipped: it takes ${CAUSE} of "Fix", which was skipped',
      workflow: { run: unclear, step: 'Verify', item: null },
      data: { role: 'tester' },
    });
    expect((await cli(ws, 'show', `${update}.2-update-2`)).stdout).toMatch(
      new RegExp(`workflow +${update}, step "Update", item 2\n`),
    );
    const text = (await cli(ws, 'workflow', 'show', unclear)).stdout;
    expect(text).toMatch(/✗ Reproduce +failed: failed/);
    expect(text).toMatch(/Fix +skipped/);
    expect((await cli(ws, 'workflow', 'list')).stdout).toMatch(/workflows: bug-to-fix, dependency-update, w?/);
  },
  SLOW_MS,
);

it(
  'values come whole from files, outputs, blocks and final texts, are in files alone, and are never commands',
  async () => {
    const ws = make({ repo: false });
    const large = `\${NAMED} $& \`x\` ${'é"\\ ${LARGE}\n'.repeat(80_000)}end`;
    expect(Buffer.byteLength(large)).toBeGreaterThan(1e6);
    const big = `${'${LARGE} '.repeat(120_000)}`;
    says(ws, '1-one', {
      outputs: { NAMED: big, DATA: { a: [1] } },
      content: 'x\n````BLOCK\n```sh\n${NAMED}\n```\n````\n',
    });
    says(ws, '2-two', { content: 'all of ${LARGE} it' });
    const run = await start(
      ws,
      `---\npriority: P1\ncomplexity: minor\n---\n# Values\n\n${steps(
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
    const [one, two, three] = stepsOf(ws, run).map(({ id }) => id) as [string, string, string];
    expect(readFileSync(ws.path('queues/incoming', `${one}.md`), 'utf8')).toContain('One <${LARGE}>');
    const evil = `$(touch evil) "; touch evil; '\n\`touch evil\` \${A} \\`;
    const shell = await start(
      ws,
      `---\nagent: shell\ncomplexity: minor\n---\n${steps(
        [
          'First',
          '* **Input:** ${A}\n* **Output:** ${LINES}\n',
          '```sh\nx=1; printf %s "${A}" > a.txt\necho "$${x}" two; echo 3\n```',
        ],
        ['Each', '* **For each:** ${LINES} as ${L}, in turn\n', '```sh\necho "got ${L}" >> got.txt\n```'],
        ['Given', '* **For each:** ${G} as ${L}\n', '```sh\necho "given ${L}" > given.txt\n```'],
        ['None', '* **For each:** ${EMPTY} as ${L}\n* **Output:** ${O}\n', '${L}'],
        ['Empty', '* **After:** Given\n* **Output:** ${EMPTY}\n', '```sh\necho\n```'],
        ['Last', '* **Input:** ${O}\n', '```sh\nprintf %s "${O}" > last.txt\n```'],
      )}`,
      ...['--var', `A=${evil}`, '--var', 'G=["x y"]'],
    );
    const drained = ws.drain();
    expect(drained.code, drained.stdout).toBe(0);

    expect(asked(ws, one).includes(`One <${large}>`)).toBe(true);
    expect(asked(ws, two).includes(`Two <${big}>`)).toBe(true);
    expect(asked(ws, three)).toContain('<{"a":[1]}|```sh\n${NAMED}\n```|all of ${LARGE} it|nothing, ${TEXT}|${TEXT}>');
    for (const id of [one, two, three]) expect(statSync(ws.path('queues/done', `${id}.md`)).size).toBeLessThan(20_000);
    const kept = ws.path('.towpath/workflows', run, 'vars/LARGE');
    expect([statSync(kept).mode & 0o777, readFileSync(kept, 'utf8') === large]).toEqual([0o600, true]);
    const inputs = ws.path('.towpath/workflows', run, 'inputs', two);
    expect(statSync(join(inputs, 'NAMED')).mode & 0o777).toBe(0o600);
    expect(task(ws, one).data).toMatchObject({
      ...{ priority: 'P1', outputs: ['NAMED', 'DATA', 'BLOCK'], role: 'implementer' },
    });

    const made = (name: string) => readFileSync(ws.path(name), 'utf8');
    expect([made('a.txt'), made('got.txt'), made('given.txt'), made('last.txt')]).toEqual([
      evil,
      'got 1 two\ngot 3\n',
      'given x y\n',
      '[]',
    ]);
    expect(existsSync(ws.path('evil'))).toBe(false);
    expect(task(ws, `${shell}.2-each`).state).toMatchObject({ queue: 'done', outcome: 'ok' });
    expect(task(ws, `${shell}.2-each`).state.runs).toBe(undefined);
  },
  SLOW_MS,
);

it(
  'a retry that was killed while it cancelled what is at work is carried on by the next start',
  async () => {
    const ws = make();
    does(ws, '2-after', `[ -e '${ws.path('go')}' ] || sleep 1000`);
    const daemon = await ws.start();
    const run = await start(ws, steps(['First', '', 'First.'], ['After', '* **After:** First\n', 'After.']));
    const [first, after] = [`${run}.1-first`, `${run}.2-after`];
    await until(
      () => ran(ws).includes(after),
      'it is at work',
      SLOW_MS / 2,
      () => ws.output,
    );
    daemon.kill('SIGKILL');
    await until(() => daemon.signalCode !== null, 'the daemon is dead');
    ws.file('go', '');
    const kept = { step: 0, clears: true, tasks: [{ id: first, how: 'anew' }] };
    ws.file(`.towpath/workflows/${run}/rerun.json`, JSON.stringify(kept));
    await ws.start();
    await until(
      () => ran(ws).length === 4,
      'both run again',
      SLOW_MS / 2,
      () => ws.output,
    );
    expect(ran(ws)).toEqual([first, after, first, after]);
    await ws.reaches(after, 'done', SLOW_MS);
  },
  SLOW_MS,
);

/** `Break` fails at first, and then says the list of `Each`. */
const CHAIN = steps(
  ['Begin', '* **Output:** ${B}\n', 'Begin.'],
  ['Break', '* **Input:** ${B}\n* **Output:** ${C}\n', 'Break ${B}.'],
  ['Beside', '* **After:** Begin\n', 'Beside.'],
  ['Each', '* **For each:** ${C} as ${I}\n* **Output:** ${O}\n', 'Each ${I}.'],
  ['End', '* **Input:** ${O}\n* **After:** Beside\n', 'End ${O}.'],
  ['Mourn', '* **If:** Break failed\n', 'Mourn.'],
  ['Feast', '* **If:** Break ok\n', 'Feast.'],
);

it(
  'a run is held by a step that fails, survives kill -9, goes on from a step, and runs again all that comes after one',
  async () => {
    const ws = make();
    const at = (name: string) => ws.path('.towpath', name);
    const until_ = (name: string) => `while [ ! -e '${at(name)}' ]; do sleep 0.1; done`;
    does(ws, '2-break', `${until_('go')}; cat '${at('list')}'`);
    does(ws, '5-end', `echo end > end.txt; ${until_('end')}; echo over`);
    for (const n of [1, 2, 3])
      does(ws, `4-each-${n}`, `sed -n 's/^Each \\(.*\\)\\.$/\\1/p' "$TOWPATH_PROMPT_FILE" | tee "item-${n}.txt"`);
    const daemon = await ws.start();
    const run = await start(ws, CHAIN);
    const id = (name: string) => `${run}.${name}`;
    const times = (name: string) => ran(ws).filter((one) => one === id(name)).length;
    const runs = (name: string, n: number) =>
      until(
        () => times(name) === n,
        `${name} runs, time ${n}`,
        SLOW_MS,
        () => ws.output,
      );
    const are = (wanted: Record<string, string>) =>
      until(
        () => Object.entries(wanted).every(([step, state]) => states(ws, run)[step] === state),
        `steps are ${JSON.stringify(wanted)}`,
        SLOW_MS,
        () => `${JSON.stringify(states(ws, run))}\n${ws.output}`,
      );
    const retry = (step: string) => cliJson<{ retried: string[] }>(ws, 'workflow', 'retry', run, step);
    const names = (...all: string[]) => ({ run, retried: all.map(id) });

    await runs('2-break', 1);
    await ws.reaches(id('3-beside'), 'done', SLOW_MS);
    daemon.kill('SIGKILL');
    await until(() => daemon.signalCode !== null, 'the daemon is dead');
    expect(states(ws, run)).toMatchObject({ Begin: 'done', Break: 'claimed', End: 'blocked', Mourn: 'blocked' });
    const rerun = (step: number, name: string) =>
      ws.file(`.towpath/workflows/${run}/rerun.json`, JSON.stringify({ step, tasks: [{ id: id(name), how: 'anew' }] }));
    // A retry that was killed before it had moved all of its tasks is finished by the next start.
    rerun(2, '3-beside');
    await ws.start();
    await runs('3-beside', 2);
    expect(existsSync(ws.path('.towpath/workflows', run, 'rerun.json'))).toBe(false);
    // There is no list: it fails.
    ws.file('.towpath/go', '');
    await are({ Break: 'failed', Each: 'blocked', End: 'blocked', Mourn: 'done', Feast: 'skipped' });
    await until(() => /2-break, which failed/.test(task(ws, id('4-each')).state.reason ?? ''), 'it is held', SLOW_MS);
    expect((await shown(ws, run)).state).toBe('failed');
    expect(ran(ws).toSorted()).toEqual(['1-begin', '2-break', '3-beside', '3-beside', '6-mourn'].map(id));

    ws.file('.towpath/list', 'a\nb\nc\n');
    // What never began goes on waiting.
    expect(await retry('break')).toEqual(names('2-break', '6-mourn', '7-feast'));
    await runs('5-end', 1);
    await are({ Begin: 'done', Break: 'done', Each: 'done', Mourn: 'skipped', Feast: 'done' });
    expect(asked(ws, id('5-end'))).toContain('End ["a","b","c"].');

    ws.file('.towpath/list', 'x\na\n');
    const busy = await cli(ws, 'workflow', 'retry', run, 'end');
    expect(busy).toMatchObject({ code: 1, stderr: expect.stringContaining('"End" is in claimed/') as string });
    // It is at work on the old values: it is ended, and its work kept.
    const again = JSON.parse(ws.run(['workflow', 'retry', run, '2', '--json']).stdout) as unknown;
    expect(again).toEqual(names('2-break', '4-each', '6-mourn', '7-feast', '5-end'));
    await runs('5-end', 2);
    ws.file('.towpath/end', '');
    await are({ Break: 'done', Each: 'done', End: 'done', Mourn: 'skipped', Feast: 'done' });
    expect(asked(ws, id('5-end'))).toContain('End ["x","a"].');
    const all = ['1-begin', '2-break', '3-beside', '4-each-1', '4-each-2', '4-each-3', '5-end', '6-mourn', '7-feast'];
    expect(all.map(times)).toEqual([1, 3, 2, 2, 2, 1, 2, 1, 2]);
    // The third item is of the old list: nothing of it is in what came after.
    expect(task(ws, id('4-each-3')).state).toMatchObject({ skipped: true, reason: 'its list is made anew' });
    expect(filesOf(ws, id('5-end'))).toEqual(['README.md', 'end.txt', 'item-1.txt', 'item-2.txt']);
    expect(ws.git('show', `towpath/${id('5-end')}:item-1.txt`)).toBe('x\n');
    const { state, steps: drawn } = await shown(ws, run);
    expect([state, drawn.find(({ step }) => step === 'Each')!.items.length]).toEqual(['done', 2]);
    // Nothing of what was done before is lost.
    expect(ws.git('show', `refs/towpath/salvage/${id('4-each-1')}/1:item-1.txt`)).toBe('a\n');
    expect(ws.git('show', `refs/towpath/salvage/${id('5-end')}/1:end.txt`)).toBe('end\n');

    // The same command finishes it too, and does no more.
    rerun(3, '5-end');
    expect(await retry('Each')).toEqual(names('5-end'));
    await runs('5-end', 3);
    await ws.reaches(id('5-end'), 'done', SLOW_MS);
    expect([existsSync(ws.path('.towpath/workflows', run, 'rerun.json')), times('4-each-1')]).toEqual([false, 2]);

    // Another run is cancelled as a whole, and nothing begins because of that.
    unlinkSync(at('go'));
    const other = await start(ws, CHAIN);
    await until(() => ran(ws).includes(`${other}.2-break`), 'it is at work', SLOW_MS);
    await ws.reaches(`${other}.3-beside`, 'done', SLOW_MS);
    const { cancelled } = await cliJson<{ cancelled: string[] }>(ws, 'workflow', 'cancel', other);
    expect(cancelled.toSorted()).toEqual(
      ['2-break', '4-each', '5-end', '6-mourn', '7-feast'].map((name) => `${other}.${name}`),
    );
    expect(states(ws, other)).toMatchObject({ Begin: 'done', Break: 'failed', End: 'failed', Mourn: 'failed' });
    expect(ran(ws)).not.toContain(`${other}.6-mourn`);
    expect((await cli(ws, 'workflow', 'cancel', other)).stdout).toBe('all of it is over\n');
    expect((await cli(ws, 'workflow', 'show', 'nothing')).code).toBe(4);
    expect((await cli(ws, 'workflow', 'cancel', 'nothing')).code).toBe(4);
    expect((await cli(ws, 'workflow', 'retry', other, 'nobody')).code).toBe(4);
    expect((await cli(ws, 'workflow', 'retry', other)).code).toBe(2);
  },
  SLOW_MS,
);

it(
  'a workflow is refused with every mistake and its place, and nothing is filed',
  async () => {
    const ws = make({ repo: false });
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
    const json = await cli(ws, 'workflow', 'run', 'wrong', '--json');
    expect(json).toMatchObject({ code: 3, stdout: '' });
    const { error } = JSON.parse(json.stderr) as { error: { problems: object[] } };
    expect(error).toMatchObject({ code: 'workflow_refused', name: 'ValidationError', file: wrong, line: 1, column: 4 });
    expect(error.problems).toHaveLength(lines.length);

    const one = (fields: string, body: string, head = '') =>
      ws.file('workflows/one.workflow.md', head + steps(['A', fields, body]));
    const told = async (...more: string[]) => (await cli(ws, 'workflow', 'run', 'one', ...more)).stderr;
    one('* **Seniority:** god\n', 'Do.');
    expect(await told()).toMatch(/:1:4: "A": seniority: "god"/);
    one('', 'Do.', '---\npriority: P9\n---\n');
    expect(await told()).toMatch(/:1:1: priority: "P9" is not allowed/);
    one('* **For each:** ${L} as ${I}\n', '${I}');
    expect(await told('--var', 'L=[]')).toContain('4:17: For each: ${L}: it is empty');
    one('', 'Do.');
    expect(await told('--var', 'Y=1')).toContain(':1:1: ${Y} is given');
    expect((await cli(ws, 'workflow', 'run', 'one', '--var', 'Y')).code).toBe(2);
    expect((await cli(ws, 'workflow', 'run', 'none')).code).toBe(4);
    expect((await cli(ws, 'workflow', 'show', 'one')).code).toBe(0);
    expect(queued(ws)).toEqual([]);
    expect(existsSync(ws.path('.towpath/workflows'))).toBe(false);

    // The same without running it: what must be given is no mistake then.
    ws.file('roles/odd.md', '---\nagent: nobody\n---\nOdd.\n');
    ws.file('patterns/odd/pattern.yaml', 'inputs: 3\n');
    const needs = ws.file('workflows/needs.workflow.md', steps(['A', '* **Input:** ${X}\n', '${X}']));
    const all = [wrong, needs, 'roles/odd.md', 'patterns/odd/pattern.yaml'].map((path) =>
      join(ws.root, path.replace(ws.root, '')),
    );
    const looked = await cli(ws, 'validate', ...all);
    expect(looked.code).toBe(3);
    const rows = looked.stdout.trim().split('\n');
    // Only what was not given is no mistake.
    expect(rows.filter((row) => row.startsWith(wrong))).toHaveLength(lines.length - 1);
    expect(rows).toContain(`${wrong}:3:27: the role "nobody" does not exist: write roles/nobody.md`);
    expect(rows).toContain(`${needs}: ok`);
    expect(rows.at(-2)).toContain('agent: "nobody" does not exist: one of ');
    expect(rows.at(-1)).toContain('inputs: ');
    const found = (await cli(ws, 'validate', '--json', wrong)).stdout;
    expect(JSON.parse(found)).toMatchObject({ file: wrong, ok: false, line: 1, column: 4, hints: [] });
  },
  SLOW_MS,
);
