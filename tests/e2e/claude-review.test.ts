// The real Claude Code CLI as worker, as reviewer and as tester, against one scripted model: rejected, mended, accepted; tested.
import { rmSync } from 'node:fs';
import { expect, test } from 'vitest';
import type { Opinion } from '../../daemon/gate/helpers/opinions.ts';
import type { TaskJson } from '../../daemon/task/terms.ts';
import { startModelServer } from '../fakes/model-server.ts';
import { AgentScene } from '../helpers/agent-e2e.ts';
import { CLIS } from '../helpers/clis.ts';
import { shellTask, TestWorkspace, tempDir } from '../helpers/workspace.ts';

const bash = (command: string) => ({ tools: [{ name: 'Bash', input: { command, description: 'a step' } }] });
const finding = { file: 'fruit.txt', line: 1, severity: 'major', message: 'a turnip is no fruit' };
const says = (verdict: string, findings: unknown[] = []) => ({
  tools: [{ name: 'StructuredOutput', input: { verdict, summary: `I ${verdict} it`, findings } }],
  usage: { input: 100, output: 10 },
});

/** A workspace whose agent is Claude, with what its model says. */
async function withClaude(
  says: Parameters<typeof startModelServer>[0],
  play: (
    ws: TestWorkspace,
    model: Awaited<ReturnType<typeof startModelServer>>,
    start: () => Promise<AgentScene>,
  ) => Promise<void>,
): Promise<void> {
  const ws = new TestWorkspace(
    `agents: {claude: {command: ${JSON.stringify([CLIS.claude])}}}\nagent: claude\nretry: {initial: 100ms, max: 1s}\nconcurrency: 1\n`,
  );
  const home = tempDir('towpath-home-');
  const model = await startModelServer(says);
  try {
    await play(ws, model, async () => {
      await ws.start([], {
        ...{ ANTHROPIC_BASE_URL: model.url, HOME: home, ANTHROPIC_API_KEY: 'not-a-key' },
        ...{ HTTP_PROXY: model.url, HTTPS_PROXY: model.url, NO_PROXY: '127.0.0.1' },
      });
      return new AgentScene(ws);
    });
  } finally {
    await ws.close();
    await model.close();
    rmSync(home, { recursive: true, force: true, maxRetries: 5 });
  }
}

test('a reviewer that is another Claude sends the work back once, and takes it then', async () => {
  const said = [
    bash('echo turnip > fruit.txt'),
    { text: 'I wrote it.' },
    bash('cat fruit.txt; echo sly > sly.txt'),
    says('reject', [finding]),
    bash('echo apple > fruit.txt'),
    { text: 'Now it is one.' },
    says('accept'),
  ];
  await withClaude(said, async (ws, model, start) => {
    ws.drop('t', '---\nreview: agent\n---\n# A fruit\n\nWrite fruit.txt.\n');
    const scene = await start();
    await scene.reaches('t', 'done');
    const shown = ws.json<TaskJson & { reviews: Opinion[] }>(['show', 't']);
    expect(shown).toMatchObject({ attempts: 2, outcome: 'ok', feedback: [{ from: 'review', attempt: 1 }] });
    expect(shown.reviews).toMatchObject([
      { id: 't.review-1', verdict: 'reject', summary: 'I reject it', findings: [finding], discarded: ['sly.txt'] },
      { id: 't.review-2', verdict: 'accept', findings: [], discarded: [] },
    ]);
    expect(ws.git('show', 'towpath/t:fruit.txt')).toBe('apple\n');
    const sent = (call: number) => JSON.stringify(model.main[call]?.body['messages'] ?? null);
    // The reviewer begins with nothing of what the worker said, and sees what it made; the worker goes on and is told why.
    expect(sent(2)).toContain('+turnip');
    expect(sent(2)).not.toContain('I wrote it.');
    expect(JSON.stringify(model.main[2]?.body['system'])).toContain('You review one change');
    expect(sent(4)).toContain('I wrote it.');
    expect(sent(4)).toContain('major, fruit.txt:1: a turnip is no fruit');
    const sessions = [scene.sessionOf('t', 1), scene.sessionOf('t.review-1', 1), scene.sessionOf('t.review-2', 1)];
    expect(new Set(sessions.map(([session]) => session)).size).toBe(3);
    expect(sessions.map(([, resumed]) => resumed)).toEqual([false, false, false]);
    expect(scene.sessionOf('t', 2)).toEqual([sessions[0]![0], true]);
  });
}, 150_000);

test('a tester that is Claude leaves a test, and what that shows counts', async () => {
  const commands = [['sh', 'fruit.test']];
  const said = [
    bash('echo "grep -q apple fruit.txt" > fruit.test; sh fruit.test'),
    { tools: [{ name: 'StructuredOutput', input: { summary: 'one test', commands, findings: [] } }] },
  ];
  await withClaude(said, async (ws, model, start) => {
    ws.drop('t', shellTask('echo apple > fruit.txt', 'review: tester\n'));
    const scene = await start();
    await scene.reaches('t', 'done');
    expect(ws.json<{ reviews: Opinion[] }>(['show', 't']).reviews).toMatchObject([
      { id: 't.test-1', kind: 'test', verdict: 'accept', summary: 'one test', files: ['fruit.test'] },
    ]);
    expect(ws.git('log', '--format=%an', 'main..towpath/t').trim().split('\n')).toEqual(['tester', 'shell']);
    const sent = JSON.stringify(model.main[0]?.body);
    for (const part of ['## Your evidence', '+apple', 'You find out whether something works'])
      expect(sent).toContain(part);
  });
}, 150_000);
