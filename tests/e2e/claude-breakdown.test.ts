// The real Claude Code CLI divides a task, does the parts, and what is joined passes the check; against one scripted model.
import { rmSync } from 'node:fs';
import { expect, test } from 'vitest';
import type { TaskJson } from '../../daemon/task/terms.ts';
import { startModelServer } from '../fakes/model-server.ts';
import { AgentScene } from '../helpers/agent-e2e.ts';
import { CLIS } from '../helpers/clis.ts';
import { TestWorkspace, tempDir } from '../helpers/workspace.ts';

const bash = (command: string) => ({ tools: [{ name: 'Bash', input: { command, description: 'a step' } }] });
const part = (id: string, depends_on: string[]) => ({
  ...{ id, title: `Write ${id}`, body: `Write ${id}.txt.`, role: null, seniority: null, priority: null },
  ...{ depends_on, checks: [`test -s ${id}.txt`] },
});
const plan = (summary: string, ...subtasks: unknown[]) => ({
  tools: [{ name: 'StructuredOutput', input: { summary, subtasks } }],
});

test('a circle is sent back, the second plan is carried out and joined', async () => {
  const ws = new TestWorkspace(
    `agents: {claude: {command: ${JSON.stringify([CLIS.claude])}}}\nagent: claude\nretry: {initial: 100ms, max: 1s}\nconcurrency: 1\n`,
  );
  const home = tempDir('towpath-home-');
  const model = await startModelServer([
    plan('round', part('one', ['two']), part('two', ['one'])),
    plan('straight', part('one', []), part('two', ['one'])),
    bash('echo 1 > one.txt'),
    { text: 'One is there.' },
    bash('cat one.txt > two.txt; echo 2 >> two.txt'),
    { text: 'Two is there.' },
  ]);
  const scene = new AgentScene(ws);
  try {
    ws.drop('t', '---\nrole: breakdown\nchecks: ["grep -q 1 two.txt && grep -q 2 two.txt"]\n---\n# Two files\n');
    await ws.start([], {
      ...{ ANTHROPIC_BASE_URL: model.url, HOME: home, ANTHROPIC_API_KEY: 'not-a-key' },
      ...{ HTTP_PROXY: model.url, HTTPS_PROXY: model.url, NO_PROXY: '127.0.0.1' },
    });
    await scene.reaches('t', 'done');
    const shown = ws.json<TaskJson & { subtasks: unknown }>(['show', 't']);
    expect(shown.subtasks).toEqual([
      { id: 't.1-one', queue: 'done' },
      { id: 't.2-two', queue: 'done' },
    ]);
    expect(ws.git('show', 'towpath/t:two.txt')).toBe('1\n2\n');
    const sent = (call: number) => JSON.stringify(model.main[call]?.body['messages'] ?? null);
    expect(JSON.stringify(model.main[0]?.body['system'])).toContain('You divide one large task');
    expect(sent(1)).toContain('depends_on goes in a circle');
    expect(sent(2)).toContain('Write one.txt.');
    expect(model.main).toHaveLength(6);
    expect(scene.sessionOf('t', 2)).toEqual([scene.sessionOf('t', 1)[0], true]);
  } finally {
    await ws.close();
    await model.close();
    rmSync(home, { recursive: true, force: true, maxRetries: 5 });
  }
}, 150_000);
