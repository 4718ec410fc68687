// Agent pattern: a deterministic program with the contract of a hook, run as a task, tried with --dry-run, refused before anything is touched.
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import type { TaskJson } from '../../daemon/task/terms.ts';
import { cli, cliJson } from '../helpers/in-process.ts';
import { type TestWorkspace, workspaces } from '../helpers/workspace.ts';

const make = workspaces();
const SETTINGS = 'retry: {initial: 100ms, max_attempts: 2}\n';
const YAML = `description: Writes one file.
inputs:
  type: object
  additionalProperties: false
  required: [path]
  properties:
    path: {type: string}
    times: {type: integer, minimum: 1, default: 2}
`;
/** Keeps what it read, writes the file, and ends as the task's title says. */
const RUN = `#!/bin/sh
cat > "$TOWPATH_WORKSPACE/call.json"
echo '{"not": "the last line"}'
echo "a message"
pwd > made.txt
case "$(cat "$TOWPATH_WORKSPACE/call.json")" in
  *'"title":"later"'*) [ -e "$TOWPATH_WORKSPACE/waited" ] || { touch "$TOWPATH_WORKSPACE/waited"; exit 75; };;
  *'"title":"breaks"'*) echo "it broke" >&2; exit 3;;
  *'"title":"says no"'*) echo '{"success": false, "output": "not today"}'; exit 0;;
esac
echo '{"success": true, "output": "all made", "outputs": {"n": 2}}'
`;
function withPattern(settings = SETTINGS): TestWorkspace {
  const ws = make(settings);
  ws.file('patterns/writer/pattern.yaml', YAML);
  ws.file('patterns/writer/run', RUN, 0o755);
  return ws;
}
const task = (title: string, matter = '') =>
  `---\nagent: pattern\npattern: writer\ninputs: {path: a}\ntitle: ${title}\n${matter}---\nRun it.\n`;
const call = (ws: TestWorkspace) => JSON.parse(readFileSync(ws.path('call.json'), 'utf8')) as Record<string, unknown>;

it('runs as a task: the call, the result, the commit, the checks', () => {
  const ws = withPattern();
  ws.drop('good', task('good', 'checks: [test -s made.txt]\n'));
  expect(ws.drain().code).toBe(0);
  const worktree = ws.path('.worktrees/task-good');
  expect(call(ws)).toMatchObject({
    ...{ version: 1, event: 'pattern', inputs: { path: 'a', times: 2 }, dry_run: false },
    ...{ workspace: ws.root, repo: ws.root, worktree, branch: 'towpath/good' },
    task: { id: 'good', queue: 'claimed', data: { pattern: 'writer' } },
  });
  expect(ws.show('good')).toMatchObject({
    queue: 'done',
    agent: 'pattern',
    attempts: 1,
    result: 'all made',
  });
  expect(ws.git('show', 'towpath/good:made.txt')).toBe(`${worktree}\n`);
  const verdict = JSON.parse(readFileSync(ws.path('.towpath/runs/good/1/verdict.json'), 'utf8'));
  expect(verdict.verdict.outputs).toEqual({ n: 2 });
  expect(ws.run(['logs', 'good']).stdout).toContain('a message');
});

it('tries later at 75, fails by its exit code with its last words, or when it says so itself', () => {
  const ws = withPattern();
  ws.drop('later', task('later'));
  ws.drop('breaks', task('breaks', 'max_attempts: 1\n'));
  ws.drop('no', task('says no', 'max_attempts: 1\n'));
  expect(ws.drain().code).toBe(1);
  expect(ws.show('later')).toMatchObject({ queue: 'done', attempts: 1 });
  expect(ws.show('breaks')).toMatchObject({
    queue: 'failed',
    outcome: 'failed',
    reason: expect.stringContaining('it broke'),
  });
  expect(ws.show('no')).toMatchObject({ queue: 'failed', reason: expect.stringContaining('not today') });
});

it('its last line may be a decision, as that of a hook', () => {
  const ws = withPattern();
  ws.file(
    'patterns/decide/pattern.yaml',
    'type: object\ndescription: Decides.\nrequired: [say]\nproperties: {say: {type: string}}\n',
  );
  ws.file(
    'patterns/decide/run',
    `#!/bin/sh
[ "$TOWPATH_EVENT" = pattern ] && [ "$TOWPATH_BRANCH" = "towpath/$TOWPATH_TASK_ID" ] && [ "$TOWPATH_REPO" = "$TOWPATH_WORKSPACE" ] || exit 3
if [ "$TOWPATH_ATTEMPT" = 1 ]; then say=$TOWPATH_TASK_ID; else say=continue; fi
echo "{\\"decision\\": \\"$say\\", \\"reason\\": \\"for a reason\\", \\"retry_after\\": \\"1s\\"}"
`,
    0o755,
  );
  const says = ['continue', 'block', 'retry', 'skip'];
  for (const say of says) ws.drop(say, `---\nagent: pattern\npattern: decide\ninputs: {say: ${say}}\n---\nDecide.\n`);
  ws.drop('mute', '---\nagent: pattern\npattern: decide\n---\nDecide.\n');
  expect(ws.drain().code).toBe(1);
  const ends = [...says, 'mute'].map((id) => [ws.show(id).queue, ws.show(id).outcome]);
  expect(ends).toEqual([
    ['done', 'ok'],
    ['blocked', 'needs_input'],
    ['done', 'ok'],
    ['failed', 'cancelled'],
    ['failed', 'refused'],
  ]);
  expect([ws.show('block').reason, ws.show('skip').reason]).toEqual(['for a reason', 'for a reason']);
  expect(ws.show('mute').reason).toContain('inputs.say: nothing is not allowed: it must be there');
});

it('refuses what does not fit before anything is touched', () => {
  const ws = withPattern();
  const bad: [string, string, string][] = [
    ['wrong', 'pattern: writer\ninputs: {path: a, times: 0}', 'inputs.times: 0 is not allowed: must be >= 1'],
    ['missing', 'pattern: writer', 'inputs.path: nothing is not allowed: it must be there'],
    [
      'odd',
      'pattern: writer\ninputs: {path: a, tmes: 3}',
      'inputs.tmes: 3 is not allowed: there is no such key (pattern writer takes: path, times)',
    ],
    ['unknown', 'pattern: nobody', 'pattern: "nobody" does not exist: one of automation_status, cleanup, '],
    ['outside', 'pattern: ..', 'pattern: ".." is not allowed'],
    ['none', 'title: none', 'pattern: missing with agent: pattern: one of '],
  ];
  for (const [id, matter] of bad) ws.file(`queues/incoming/${id}.md`, `---\nagent: pattern\n${matter}\n---\nRun it.\n`);
  ws.file('queues/incoming/other.md', '---\nagent: shell\npattern: writer\n---\nRun it.\n');
  expect(ws.drain().code).toBe(1);
  const failed = new Map(ws.json<TaskJson[]>(['list', 'failed']).map((one) => [one.id, one]));
  for (const [id, , reason] of bad) {
    expect(failed.get(id)).toMatchObject({ outcome: 'refused', attempts: 0 });
    expect(failed.get(id)!.reason).toContain(reason);
  }
  expect(failed.get('other')!.reason).toContain(
    'pattern: "writer" is not allowed with agent: shell: write agent: pattern',
  );
  expect(existsSync(ws.path('call.json'))).toBe(false);
  expect(ws.git('branch', '--list', 'towpath/*')).toBe('');
  const { code, stdout } = ws.run(['validate', ws.path('queues/failed/wrong.md')]);
  expect(code).toBe(3);
  expect(stdout).toContain('inputs.times: 0 is not allowed');
});

it('a pattern that cannot be used says why', async () => {
  const ws = withPattern();
  ws.file('patterns/writer/run', RUN, 0o644);
  expect(await cli(ws, 'pattern', 'show', 'writer')).toMatchObject({
    code: 3,
    stderr: expect.stringContaining('chmod +x'),
  });
  ws.file('patterns/writer/run', RUN, 0o755);
  ws.file('patterns/writer/pattern.yaml', 'inputs: 3\n');
  expect((await cli(ws, 'pattern', 'show', 'writer')).code).toBe(3);
  ws.file('patterns/writer/pattern.yaml', 'description: x\ninputs: {type: nothing}\n');
  expect((await cli(ws, 'pattern', 'run', 'writer')).stderr).toContain('writer: inputs: schema is invalid');
  expect(
    (await cliJson<{ name: string; problem: string | null }[]>(ws, 'pattern', 'list')).map(({ name }) => name),
  ).toContain('writer');
  expect((await cli(ws, 'pattern', 'show', 'nobody')).code).toBe(4);
});

it('--dry-run shows the change as a diff, and changes nothing', () => {
  const ws = withPattern();
  const before = () => [
    ws.git('status', '--porcelain'),
    ws.git('for-each-ref'),
    ws.git('worktree', 'list'),
    ws.git('count-objects', '-v'),
  ];
  const was = before();
  const temp = mkdtempSync(join(tmpdir(), 'towpath-test-'));
  const tried = ws.run(['pattern', 'run', 'writer', '-i', 'path=a', '-i', 'times=3', '--dry-run'], {
    env: { TMPDIR: temp },
  });
  expect(tried).toMatchObject({ code: 0, stdout: expect.stringContaining('+++ b/made.txt\n@@ -0,0 +1 @@\n+') });
  expect(tried.stderr).toContain('a message');
  expect(call(ws)).toMatchObject({ task: null, dry_run: true, inputs: { path: 'a', times: 3 }, branch: null });
  const told = ws.json<Record<string, unknown>>(['pattern', 'run', 'writer', '-i', 'path=a', '--dry-run']);
  expect(told).toMatchObject({ pattern: 'writer', ok: true, reason: null, output: 'all made', outputs: { n: 2 } });
  expect(before().map((one) => one.replace(/\?\? call.json\n/, ''))).toEqual(was);
  expect(readdirSync(temp).filter((name) => name.startsWith('towpath'))).toEqual([]);
  rmSync(temp, { recursive: true });
  expect(readdirSync(ws.path('queues/incoming'))).toEqual([]);
});

it('without it a task is filed; wrong inputs are refused there', async () => {
  const ws = make(`${SETTINGS}projects: {site: {repo: .}}\n`);
  ws.file('src/a.js', 'a();  \n');
  ws.git('add', 'src');
  ws.git('commit', '-q', '-m', 'a');
  expect(await cli(ws, 'pattern', 'run', 'cleanup', '-i', 'whitespace=perhaps')).toMatchObject({
    code: 3,
    stderr: expect.stringContaining('inputs.whitespace: "perhaps" is not allowed: must be boolean'),
  });
  expect((await cli(ws, 'pattern', 'run', 'cleanup', '--project', 'nowhere')).code).toBe(2);
  ws.file('in.json', '{"whitespace": false}');
  const filed = await cli(
    ws,
    'pattern',
    'run',
    'cleanup',
    '--inputs',
    ws.path('in.json'),
    '-i',
    'whitespace=true',
    '-i',
    'listed=old',
    '--project',
    'site',
  );
  expect(filed).toMatchObject({ code: 0, stdout: 'cleanup\n' });
  expect((await cliJson<TaskJson>(ws, 'show', 'cleanup')).data).toMatchObject({
    project: 'site',
    inputs: { whitespace: true, listed: ['old'] },
  });
  expect((await cli(ws, 'pattern', 'run', 'cleanup')).stdout).toBe('cleanup-2\n');
  expect(ws.drain().code).toBe(0);
  expect(ws.git('show', 'towpath/cleanup:src/a.js')).toBe('a();\n');
  expect((await cliJson<TaskJson>(ws, 'show', 'cleanup')).result).toBe('0 files removed, 1 trimmed');
});

it('a step of a workflow runs one, and its variables stand in the texts of the inputs', async () => {
  const ws = withPattern();
  ws.file('roles/maker.md', '---\nagent: pattern\n---\nMakes.\n');
  const flow = (inputs: string, more = '') =>
    ws.file(
      'workflows/make.workflow.md',
      `# Make\n\n## Make it\n\n* **Agent:** [Maker](../roles/maker.md)\n* **Pattern:** writer\n* **With:** ${inputs}\n* **Input:** \${WHERE}, \${N}\n* **Output:** \${n}\n${more}`,
    );
  const vars = (n: string) => ['--var', 'WHERE=at "home",\n ${N} {"times": 9}', '--var', `N=${n}`];
  const refused = async (inputs: string) => (await cli(ws, 'workflow', 'run', flow(inputs), ...vars('3'))).stderr;
  // What is wrong whatever the variables stand for is told now.
  expect(await refused('{"path": "${WHERE}", "times": 0, "tmes": "${N}"}')).toMatch(
    /:3:4: "Make it": inputs\.tmes: "\$\{N\}" is not allowed: there is no such key; inputs\.times: 0 is not allowed: must be >= 1 \(pattern writer/,
  );
  expect(await refused('{"path": "${WHERE}"}')).toContain(':8:24: ${N} is not used');
  expect(await refused('{"path": "${HERE}", "times": "${N} ${WHERE}"}')).toContain(':7:23: ${HERE} is not defined');
  expect(readdirSync(ws.path('queues/incoming'))).toEqual([]);
  // What another step makes of the result is what the program called it.
  const path = flow(
    '{"path": "in ${WHERE} $${N}", "times": "${N}"}',
    '\n## Tell\n\n* **Agent:** [T](../roles/tester.md)\n* **Input:** ${n}\n\n~~~sh\necho "n is ${n}" > told.txt\n~~~\n',
  );
  ws.file('towpath.yaml', `agent: shell\n${SETTINGS}`);
  const run = async (n: string) =>
    (await cliJson<{ tasks: { id: string }[] }>(ws, 'workflow', 'run', path, ...vars(n))).tasks.map(({ id }) => id) as [
      string,
      string,
    ];
  const [three, told] = await run('3');
  const [many] = await run('many');
  expect(ws.drain().code).toBe(1);
  const inputs = { path: 'in at "home",\n ${N} {"times": 9} ${N}', times: 3 };
  expect(call(ws)).toMatchObject({ inputs, task: { id: three } });
  expect(ws.show(three)).toMatchObject({ queue: 'done', agent: 'pattern', result: 'all made' });
  expect(ws.git('show', `towpath/${told}:told.txt`)).toBe('n is 2\n');
  expect(await cliJson(ws, 'show', many)).toMatchObject({
    ...{ queue: 'failed', outcome: 'refused' },
    reason: expect.stringContaining('inputs.times: "many"') as string,
  });
});
