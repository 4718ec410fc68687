// An MCP server inside a run: it files subtasks with their origin, inside the limits, and asks; it answers and forges nothing.
import { existsSync, readFileSync, rmSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import type { RunRecord } from '../../daemon/attempt/record.ts';
import { Workspace } from '../../daemon/paths.ts';
import { Records } from '../../daemon/queue/files/records.ts';
import { filedBy, keepOrigin, originOf } from '../../daemon/queue/files/subtasks.ts';
import { mcpClients } from '../helpers/mcp-client.ts';
import { shellTask, type TestWorkspace, until, workspaces } from '../helpers/workspace.ts';

const open = workspaces();
const connect = mcpClients();
/** A loaded machine takes ten times as long. */
const SLOW_MS = 120_000;
const SETTINGS = 'agent: shell\nretry: {initial: 100ms}\nconcurrency: 3\n';
const block = (script: string) => `# A subtask\n\n\`\`\`sh\n${script}\n\`\`\`\n`;
/** Works until the test says that it is enough. */
const lasting = (id: string, frontmatter = '') =>
  shellTask(
    `echo x > ${id}.txt; while [ ! -e "$TOWPATH_WORKSPACE/.towpath/enough-${id}" ]; do sleep 0.1; done`,
    frontmatter,
  );
const enough = (ws: TestWorkspace, id: string) => ws.file(`.towpath/enough-${id}`, '');

/** The variables by which a server knows its run, once that is under way. */
async function runOf(ws: TestWorkspace, id: string, attempt = 1): Promise<Record<string, string>> {
  const path = ws.path(`.towpath/runs/${id}/${attempt}/run.json`);
  await until(
    () => existsSync(path.replace('run.json', 'pid')),
    `run ${attempt} of ${id} begins`,
    15_000,
    () => ws.output,
  );
  const { marker } = JSON.parse(readFileSync(path, 'utf8')) as RunRecord;
  return { TOWPATH_TASK_ID: id, TOWPATH_RUN: marker };
}

describe('inside a run', () => {
  it(
    'files subtasks that know their parent, in its place, so many and so deep',
    async () => {
      const ws = open(`${SETTINGS}subtasks: {depth: 1, number: 3}\nprojects: {app: {repo: .}}\n`);
      await ws.start();
      ws.drop('p', lasting('p', 'project: app\n'));
      const first = await runOf(ws, 'p');
      const client = await connect(ws, first);
      expect((await client.tools()).map(({ name }) => name)).toEqual([
        ...['enqueue_task', 'list_tasks', 'get_task', 'why_task', 'ask'],
      ]);
      expect((await client.call('answer_task', { id: 'p', message: 'x' })).isError).toBe(true);

      const filed = await client.call('enqueue_task', { title: 'One', body: block('echo 1 > one.txt') });
      expect(filed.value).toMatchObject({ id: 'one', parent: 'p' });
      await ws.reaches('one', 'done');
      expect(ws.json(['show', 'one'])).toMatchObject({ parent: 'p', data: { project: 'app' }, outcome: 'ok' });
      await client.call('enqueue_task', { id: 'two', repo: '.', body: lasting('two').replace(/^---.*?---\n/s, '') });
      for (const [key, value] of [
        ['on_accept', 'merge'],
        ['budget_usd', 500],
      ] as const) {
        const loose = await client.call('enqueue_task', { id: 'loose', [key]: value, body: block('true') });
        expect(loose.text).toContain(`${key} is for a person to say`);
      }
      const below = await connect(ws, await runOf(ws, 'two'));
      const deeper = await below.call('enqueue_task', { id: 'three', body: block('true') });
      expect(deeper).toMatchObject({ isError: true, value: { error: { code: 'task_refused' } } });
      expect(deeper.text).toContain('"two" may file no subtasks: subtasks.depth is 1');
      expect(ws.json(['show', 'two'])).toMatchObject({ parent: 'p' });
      expect(ws.show('two').data).not.toHaveProperty('project');

      // What is refused does not count.
      for (const bad of [{ id: 'x', priority: 'P9' }, { id: 'one' }, { id: '../x' }, { id: 'x', parent: 'nobody' }])
        expect((await client.call('enqueue_task', { ...bad, body: block('true') })).isError).toBe(true);
      const late = await client.call('enqueue_task', { id: 'late', not_before: '2099-01-01', body: block('true') });
      expect(late.isError).toBe(false);
      const more = await client.call('enqueue_task', { id: 'more', body: block('true') });
      expect(more.text).toBe('"p" has filed 3 subtasks: subtasks.number is 3: do the rest in this task');
      expect(ws.where('more')).toBe(null);
      expect(ws.json(['show', 'p'])).toMatchObject({
        parent: null,
        subtasks: [
          { id: 'one', queue: 'done' },
          { id: 'two', queue: 'claimed' },
          { id: 'late', queue: 'incoming' },
        ],
      });
      expect(ws.run(['show', 'one']).stdout).toMatch(/filed by\s+p\b/);
      expect((await client.call('get_task', { id: 'late' })).value).toMatchObject({ parent: 'p' });

      enough(ws, 'p');
      enough(ws, 'two');
      await ws.reaches('p', 'done');
      // The server went with its run; another with the same mark does nothing more.
      await expect(client.call('list_tasks')).rejects.toThrow();
      const over = await connect(ws, first);
      expect((await over.call('enqueue_task', { id: 'more', body: block('true') })).text).toBe(
        'this run of "p" is over: stop working',
      );
      expect((await over.call('ask', { question: 'Why?' })).text).toContain('is over');
      // Its limit holds in a later run as well, and what it filed is remembered.
      rmSync(ws.path('.towpath/enough-p'));
      expect(ws.run(['retry', 'p']).code).toBe(0);
      const again = await connect(ws, await runOf(ws, 'p', 2));
      expect((await again.call('enqueue_task', { id: 'more', body: block('true') })).text).toContain('has filed 3');
      enough(ws, 'p');
      await ws.reaches('p', 'done');
    },
    SLOW_MS,
  );

  it(
    'believes no run that is not the one at work',
    async () => {
      const ws = open(SETTINGS);
      await ws.start();
      ws.drop('p', lasting('p'));
      const { TOWPATH_RUN } = await runOf(ws, 'p');
      for (const env of [
        { TOWPATH_TASK_ID: 'p', TOWPATH_RUN: 'p/1/00000000-0000-0000-0000-000000000000' },
        { TOWPATH_TASK_ID: 'other', TOWPATH_RUN: TOWPATH_RUN! },
        { TOWPATH_TASK_ID: '../../p', TOWPATH_RUN: TOWPATH_RUN! },
      ]) {
        const client = await connect(ws, env);
        expect((await client.call('enqueue_task', { id: 'x', body: block('true') })).text).toContain('is over');
        expect((await client.call('list_tasks')).isError).toBe(false);
      }
      enough(ws, 'p');
      await ws.reaches('p', 'done');
    },
    SLOW_MS,
  );

  it(
    'puts questions: the task waits with all of them, and the answer comes with the next run',
    async () => {
      const ws = open(SETTINGS);
      const daemon = await ws.start();
      ws.drop('p', lasting('p'));
      const client = await connect(ws, await runOf(ws, 'p'));
      expect(await client.call('ask', { question: ' ' })).toMatchObject({ isError: true });
      expect((await client.call('ask', { question: 'x'.repeat(20_000) })).text).toContain('longer than 16 KiB');
      const said = await client.call('ask', { question: 'Which colour?' });
      expect(said).toMatchObject({ isError: false, value: { asked: true } });
      expect(said.text).toContain('Stop working now');
      await client.call('ask', { question: 'And which size?' });
      // The agent goes on under the next daemon, and what it asked is not lost.
      daemon.kill('SIGKILL');
      await new Promise((resolve) => daemon.once('exit', resolve));
      await ws.start();
      enough(ws, 'p');
      await ws.reaches('p', 'blocked');
      expect(ws.show('p')).toMatchObject({ attempts: 0, question: 'Which colour?\n\nAnd which size?' });
      expect(ws.run(['answer', 'p', '-m', 'blue, large']).code).toBe(0);
      await ws.reaches('p', 'done');
      expect(readFileSync(ws.path('.towpath/runs/p/2/prompt.md'), 'utf8')).toContain('The answer: blue, large');
    },
    SLOW_MS,
  );

  it(
    'lets an agent that may not run commands have none run for it',
    async () => {
      const ws = open(
        `agent: reader\nconcurrency: 2\nagents:\n  reader: {command: [./reader.sh], permissions: read}\n  writer: {command: [./reader.sh], permissions: edits}\n`,
      );
      ws.file(
        'reader.sh',
        `#!/bin/sh\ncat > /dev/null\nwhile [ ! -e "$TOWPATH_WORKSPACE/.towpath/enough-p" ]; do sleep 0.1; done\necho > x\n`,
        0o755,
      );
      await ws.start();
      ws.drop('p', 'Read it.');
      const client = await connect(ws, await runOf(ws, 'p'));
      const refused = async (args: object) =>
        (await client.call('enqueue_task', { id: 's', body: block('id'), ...args })).text;
      expect(await refused({ agent: 'shell' })).toContain('agent: "shell" may do more than you');
      expect(await refused({ agent: 'writer' })).toContain('agents.reader.permissions is read: name agent: reader');
      expect(await refused({ checks: ['id'] })).toContain('checks: a subtask may not name any');
      expect(await refused({ mcp: { x: { command: 'id' } } })).toContain('mcp: a subtask may not name any');
      expect(await refused({ review: 'agent' })).toContain('review, fix: a subtask may name no agents');
      expect(ws.where('s')).toBe(null);
      expect((await client.call('enqueue_task', { id: 's', body: 'Read on.' })).value).toMatchObject({ parent: 'p' });
      enough(ws, 'p');
      await ws.reaches('s', 'done');
    },
    SLOW_MS,
  );
});

it('an origin outlives a claim that is killed and done again, and is not another task’s', () => {
  const ws = open(SETTINGS);
  const workspace = new Workspace(ws.root);
  const records = new Records(workspace);
  records.begin('p', true);
  const { undo } = keepOrigin(workspace, 'full', 'gone', { parent: 'p', depth: 1 });
  undo();
  expect([originOf(workspace, 'gone'), filedBy(workspace, 'p')]).toEqual([null, []]);
  keepOrigin(workspace, 'full', 's', { parent: 'p', depth: 1 });
  keepOrigin(workspace, 'full', 's', { parent: 'p', depth: 1 });
  expect(filedBy(workspace, 'p')).toEqual(['s']);
  // Killed before its file was moved, the claim begins anew, as fresh as before.
  for (let n = 0; n < 3; n++) records.begin('s', true);
  expect(originOf(workspace, 's')).toEqual({ kind: 'subtask', parent: 'p', depth: 1 });
  records.settled('s');
  records.begin('s', false);
  expect(originOf(workspace, 's')).toEqual({ kind: 'subtask', parent: 'p', depth: 1 });
  // Much later somebody drops another task of that name.
  records.begin('s', true);
  expect(originOf(workspace, 's')).toBe(null);
});
