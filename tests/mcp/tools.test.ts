// `towpath mcp` at a real client: the tools do what the commands do, with and without a daemon, and say no in the same words.
import { spawn, spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { taskKeys } from '../../daemon/cli/mcp/tools.ts';
import { mcpClients } from '../helpers/mcp-client.ts';
import { BIN, shellTask, until, workspaces } from '../helpers/workspace.ts';

const open = workspaces();
const connect = mcpClients();
/** A loaded machine takes ten times as long. */
const SLOW_MS = 120_000;
const SETTINGS = 'agent: shell\nretry: {initial: 100ms}\n';
const block = (script: string) => `# A task\n\n\`\`\`sh\n${script}\n\`\`\`\n`;
const asks = shellTask('[ "$TOWPATH_ATTEMPT" = 1 ] && echo "Which?" > QUESTION.md; echo > x.txt');

describe('towpath mcp', () => {
  it(
    'offers what a person may do, each tool described',
    async () => {
      const client = await connect(open(SETTINGS));
      const tools = await client.tools();
      expect(tools.map(({ name }) => name)).toEqual([
        ...['enqueue_task', 'list_tasks', 'get_task', 'why_task', 'answer_task'],
      ]);
      for (const tool of tools)
        expect(tool).toMatchObject({ description: expect.stringMatching(/\w{3}/), inputSchema: { type: 'object' } });
    },
    SLOW_MS,
  );

  it(
    'takes every key of a task',
    () => {
      const source = readFileSync(new URL('../../daemon/task/schema.ts', import.meta.url), 'utf8');
      const shape = source.slice(source.indexOf('const schema = z.looseObject({'), source.indexOf('const KEYS'));
      const keys = [...shape.matchAll(/^ {2}(\w+):/gm)].map((found) => found[1]);
      expect(keys.length).toBeGreaterThan(20);
      expect(Object.keys(taskKeys).sort()).toEqual(keys.sort());
    },
    SLOW_MS,
  );

  it(
    'enqueues what the daemon then runs, and tells what came of it',
    async () => {
      const ws = open(SETTINGS);
      const client = await connect(ws);
      const first = await client.call('enqueue_task', { id: 'first', body: block('echo 1 > one.txt') });
      expect(first.value).toEqual({ id: 'first', path: ws.path('queues/incoming/first.md'), parent: null });
      expect((await client.call('why_task', { id: 'first' })).value['reason']).toBe(
        'no daemon runs: "towpath start" takes it up',
      );
      await ws.start();
      await ws.reaches('first', 'done');
      const title = 'Größe: "quoted" & more';
      const checks = ['test -s two.txt', ['grep', '2', 'two.txt']];
      const args = { title, priority: 'P0', checks, depends_on: ['first'], body: block('echo 2 > two.txt') };
      const { id } = (await client.call('enqueue_task', args)).value as { id: string };
      expect(id).toBe('gro-e-quoted-more');
      await ws.reaches(id, 'done');
      const { value } = await client.call('get_task', { id });
      expect(value).toMatchObject({
        title,
        priority: 'P0',
        outcome: 'ok',
        data: { checks },
        parent: null,
        subtasks: [],
      });
      expect(value).toEqual(ws.json(['show', id]));
      const tasks = (await client.call('list_tasks', { queue: 'done' })).value['tasks'] as { id: string }[];
      expect(tasks.map((task) => task.id).sort()).toEqual(['first', id].sort());
      expect((await client.call('list_tasks', { limit: 1 })).value['tasks']).toHaveLength(1);
      expect((await client.call('why_task', { id })).value['reason']).toMatch(/^it is done/);
    },
    SLOW_MS,
  );

  it(
    'refuses in the words of the command line, and goes on',
    async () => {
      const ws = open(SETTINGS);
      const client = await connect(ws);
      ws.drop('taken', shellTask('true'));
      const cases: [Record<string, unknown>, string][] = [
        [{ id: 'x', priority: 'P9', body: 'b' }, '---\nid: x\npriority: P9\n---\nb'],
        [{ id: 'x', timeout: 'soon', body: 'b' }, '---\nid: x\ntimeout: soon\n---\nb'],
        [{ id: '../x', body: 'b' }, '---\nid: ../x\n---\nb'],
        [{ id: 'taken', body: 'b' }, '---\nid: taken\n---\nb'],
        [{ id: 'x', body: ' \n' }, '---\nid: x\n---\n \n'],
      ];
      for (const [args, file] of cases) {
        const cli = ws.run(['enqueue', '-'], { input: file });
        expect(cli.code).toBe(3);
        const said = await client.call('enqueue_task', args);
        const rest = (text: string) => text.replace(/^(towpath: )?[^ ]*\.md: /, '').trim();
        expect(said.isError).toBe(true);
        expect(rest(said.text)).toBe(rest(cli.stderr));
        expect(said.value).toMatchObject({ error: { code: 'task_refused' } });
      }
      for (const name of ['get_task', 'why_task'])
        expect(await client.call(name, { id: 'nobody' })).toMatchObject({
          isError: true,
          text: expect.stringMatching(/no task "nobody"/),
        });
      for (const args of [{ id: 'taken', body: 'b', towpath: {} }, { body: 7 }, {}])
        expect((await client.call('enqueue_task', args)).isError).toBe(true);
      expect((await client.call('nothing')).isError).toBe(true);
      ws.file('towpath.yaml', 'nonsense: 1\n');
      expect(await client.call('list_tasks')).toMatchObject({ isError: true, text: expect.stringMatching(/nonsense/) });
      ws.file('towpath.yaml', SETTINGS);
      expect((await client.call('list_tasks')).isError).toBe(false);
    },
    SLOW_MS,
  );

  it.each([false, true])(
    'answers a question, with a daemon: %s',
    async (daemon) => {
      const ws = open(SETTINGS);
      ws.drop('q', asks);
      if (daemon) await ws.start();
      else ws.drain();
      await ws.reaches('q', 'blocked');
      const client = await connect(ws);
      const [task] = (await client.call('list_tasks', { queue: 'blocked' })).value['tasks'] as object[];
      expect(task).toMatchObject({ id: 'q', question: 'Which?' });
      expect(await client.call('answer_task', { id: 'q', message: ' ' })).toMatchObject({
        isError: true,
        text: expect.stringMatching(/empty/),
      });
      expect((await client.call('answer_task', { id: 'q', message: 'that' })).value).toMatchObject({ id: 'q' });
      if (!daemon) ws.drain();
      await ws.reaches('q', 'done');
      expect(ws.show('q').feedback[0]?.message).toContain('The answer: that');
      expect(await client.call('answer_task', { id: 'q', message: 'x' })).toMatchObject({
        isError: true,
        text: expect.stringMatching(/in done/),
      });
    },
    SLOW_MS,
  );

  it(
    'gives many that come at once a name each',
    async () => {
      const ws = open(SETTINGS);
      const client = await connect(ws);
      const made = await Promise.all(
        Array.from({ length: 12 }, () => client.call('enqueue_task', { title: 'Same', body: block('true') })),
      );
      expect(new Set(made.map(({ value }) => value['id'])).size).toBe(12);
    },
    SLOW_MS,
  );
});

describe('over bare stdio', () => {
  const message = (id: number, method: string, params: object = {}) =>
    JSON.stringify({ jsonrpc: '2.0', id, method, params });
  const hello = message(1, 'initialize', {
    ...{ protocolVersion: '2025-06-18', capabilities: {}, clientInfo: { name: 'bare', version: '1' } },
  });
  const list = (id: number) => message(id, 'tools/call', { name: 'list_tasks', arguments: {} });

  it(
    'outlives what is no message, prints nothing but answers, and ends with its input',
    () => {
      const ws = open(SETTINGS);
      const junk = ['{', 'not json', '', '[]', '{"jsonrpc":"2.0"}', '\0\xff', 'x'.repeat(12_000_000)];
      const wrong = message(2, 'tools/call', { name: 7 });
      const input = [...junk, hello, ...junk, wrong, message(3, 'nothing/there'), list(4), list(5)].join('\n');
      const env = { ...process.env, TOWPATH_WORKSPACE: ws.root };
      const { status, stdout } = spawnSync(BIN, ['mcp'], { input, env, encoding: 'utf8', timeout: 30_000 });
      expect(status).toBe(0);
      const answers = stdout
        .trim()
        .split('\n')
        .map((line) => JSON.parse(line) as { id: number; result?: object });
      expect(answers.map(({ id }) => id).sort()).toEqual([1, 2, 3, 4, 5]);
      expect(answers.filter(({ result }) => result).map(({ id }) => id)).toEqual([1, 4, 5]);
    },
    SLOW_MS,
  );

  it(
    'says so where there is no workspace',
    () => {
      const { status, stdout, stderr } = spawnSync(BIN, ['mcp', '-w', '/nowhere'], { input: hello, encoding: 'utf8' });
      expect([status, stdout]).toEqual([4, '']);
      expect(stderr).toContain('no workspace at /nowhere');
    },
    SLOW_MS,
  );

  it(
    'goes with its client',
    async () => {
      const ws = open(SETTINGS);
      const child = spawn(BIN, ['mcp', '-w', ws.root], { stdio: ['pipe', 'pipe', 'ignore'] });
      child.stdin.write(`${hello}\n`);
      let out = '';
      child.stdout.on('data', (chunk: Buffer) => (out += chunk.toString()));
      await until(() => out.includes('serverInfo'), 'it answers');
      child.stdin.destroy();
      await until(() => child.exitCode !== null, 'it ends');
      expect(child.exitCode).toBe(0);
    },
    SLOW_MS,
  );
});
