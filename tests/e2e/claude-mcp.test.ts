// The real Claude Code CLI with our own MCP server: a scripted model files a subtask and asks a person.
import { existsSync, readFileSync, rmSync } from 'node:fs';
import { afterEach, beforeEach, expect, test } from 'vitest';
import type { RunRecord } from '../../daemon/attempt/record.ts';
import { type ModelServer, type Step, startModelServer } from '../fakes/model-server.ts';
import { CLIS } from '../helpers/clis.ts';
import { TestWorkspace, tempDir } from '../helpers/workspace.ts';

let ws: TestWorkspace;
let home: string;
let model: ModelServer;

beforeEach(async () => {
  const command = JSON.stringify([CLIS.claude]);
  ws = new TestWorkspace(`agents: {claude: {command: ${command}}}\nretry: {initial: 100ms, max: 1s}\n`);
  home = tempDir('towpath-home-');
  model = await startModelServer([]);
});
afterEach(async () => {
  await ws.close();
  await model.close();
  rmSync(home, { recursive: true, force: true, maxRetries: 5 });
});

const start = () =>
  ws.start([], {
    ...{ ANTHROPIC_BASE_URL: model.url, ANTHROPIC_API_KEY: 'not-a-key', HOME: home },
    ...{ HTTP_PROXY: model.url, HTTPS_PROXY: model.url, NO_PROXY: '127.0.0.1' },
  });
const tool = (name: string, input: object): Step => ({ tools: [{ name: `mcp__towpath__${name}`, input }] }) as Step;
const bash = (command: string): Step => ({ tools: [{ name: 'Bash', input: { command, description: 'a step' } }] });
const sent = (call: number) => JSON.stringify(model.main[call]?.body['messages'] ?? null);
const task = (mcp: string) => `---\nagent: claude\n${mcp}\n---\n# A task\n\nDo it, and file the rest.\n`;

test('the model files a subtask, which is run; one too many is refused and told', async () => {
  ws.file('towpath.yaml', `${readFileSync(ws.path('towpath.yaml'), 'utf8')}subtasks: {number: 1}\n`);
  const body = 'Write it.\n\n```sh\necho 1 > sub.txt\n```\n';
  model.play([
    tool('enqueue_task', { id: 'sub', agent: 'shell', title: 'The rest', body }),
    tool('enqueue_task', { id: 'more', agent: 'shell', body }),
    bash('echo own > own.txt'),
    { text: 'I filed the rest.' },
  ]);
  ws.drop('t', task('mcp: [towpath]'));
  await start();
  await ws.reaches('t', 'done', 60_000);
  await ws.reaches('sub', 'done', 30_000);
  // The text of the answer, quoted twice over.
  expect(sent(1)).toMatch(/parent[\\":]+t\\/);
  expect(sent(2)).toContain('subtasks.number is 1');
  expect(ws.where('more')).toBe(null);
  expect(ws.json(['show', 'sub'])).toMatchObject({ parent: 't', outcome: 'ok' });
  expect(ws.json(['show', 't'])).toMatchObject({ subtasks: [{ id: 'sub', queue: 'done' }] });
  expect(ws.git('show', 'towpath/sub:sub.txt')).toBe('1\n');
  // All that the server was told is in the record, and no key is.
  const { request } = JSON.parse(readFileSync(ws.path('.towpath/runs/t/1/run.json'), 'utf8')) as RunRecord;
  expect(request?.mcp['towpath']).toMatchObject({ args: [expect.stringMatching(/towpath\.js$/), 'mcp'] });
  expect(JSON.stringify(request)).not.toContain('not-a-key');
}, 120_000);

test('the model opens a skill and asks a person, and goes on in its session with the answer', async () => {
  ws.file('skills/tidy/SKILL.md', '---\ndescription: how to tidy\n---\nSweep first.\n');
  const skill = { tools: [{ name: 'Skill', input: { skill: 'towpath:tidy' } }] } as Step;
  const half = bash('echo half > half.txt');
  model.play([skill, half, tool('ask', { question: 'Which colour?' }), { text: 'I wait.' }]);
  ws.drop('t', task('mcp: {towpath: null}\nskills: [tidy]'));
  await start();
  await ws.reaches('t', 'blocked', 60_000);
  expect(ws.show('t')).toMatchObject({ outcome: 'needs_input', attempts: 0, question: 'Which colour?' });
  expect(sent(3)).toContain('Stop working now');
  expect(sent(0)).toContain('/runs/t/1/skills/tidy/SKILL.md): how to tidy');
  expect(sent(0)).not.toContain('Sweep first.');
  expect(sent(1)).toContain('Sweep first.');
  expect(existsSync(ws.path('.worktrees/task-t/half.txt'))).toBe(true);
  const { session } = ws.show('t');
  model.play([skill, bash('echo blue > colour.txt'), { text: 'Done.' }]);
  const calls = model.main.length;
  expect(ws.run(['answer', 't', '-m', 'blue']).code).toBe(0);
  await ws.reaches('t', 'done', 60_000);
  expect(ws.show('t')).toMatchObject({ attempts: 1, session, result: 'Done.' });
  for (const part of ['The answer: blue', 'echo half', 'Which colour?']) expect(sent(calls)).toContain(part);
  expect(sent(calls + 1)).toContain('/runs/t/2/');
  expect(ws.git('show', 'towpath/t:colour.txt')).toBe('blue\n');
}, 120_000);

test('a map that cannot be understood is refused at the door, with no value of it told', () => {
  ws.drop('bad', task('mcp: {db: {comand: x, env: {TOKEN: hush-hush}}}'));
  ws.drop('odd', task('mcp: 7'));
  ws.drop('name', task('mcp: ["a b"]'));
  ws.drain();
  expect(ws.show('bad')).toMatchObject({ queue: 'failed', outcome: 'refused' });
  expect(ws.show('bad').reason).toBe(
    'mcp.db: {comand, env} is not allowed: {command: …, args: […], env: {…}} or {url: …, headers: {…}} (line 3)',
  );
  expect(ws.show('odd').reason).toMatch(/^mcp: 7 is not allowed: a map/);
  expect(ws.show('name').reason).toMatch(/^mcp: "a b" is not allowed: a name/);
}, 120_000);
