// The real Gemini CLI under the real daemon, against a scripted model on loopback: the whole way of a task.
import { existsSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { google } from '../fakes/google-generate.ts';
import { type ModelServer, startModelServer } from '../fakes/model-server.ts';
import { AgentScene, proc, processesOf } from '../helpers/agent-e2e.ts';
import { CLIS } from '../helpers/clis.ts';
import { TestWorkspace, tempDir } from '../helpers/workspace.ts';

const usage = { input: 1000, output: 50 };
const bash = (command: string) => ({
  tools: [{ name: 'run_shell_command', input: { command, description: 'a step' } }],
});
const task = (matter = '', body = 'Write hello.txt.') => `---\nagent: gemini\n${matter}---\n# A task\n\n${body}\n`;

describe('a daemon with the real Gemini CLI', () => {
  let ws: TestWorkspace;
  let home: string;
  let model: ModelServer;
  let scene: AgentScene;

  beforeEach(async () => {
    const command = JSON.stringify([CLIS.gemini]);
    ws = new TestWorkspace(
      `agents: {gemini: {command: ${command}}}\nretry: {initial: 100ms, max: 1s}\nconcurrency: 1\n`,
    );
    scene = new AgentScene(ws);
    home = tempDir('towpath-home-');
    model = await startModelServer([], [google]);
  });
  afterEach(async () => {
    await ws.close();
    await model.close();
    rmSync(home, { recursive: true, force: true, maxRetries: 5 });
  });

  const start = () => ws.start([], { GEMINI_API_KEY: 'not-a-key', GOOGLE_GEMINI_BASE_URL: model.url, HOME: home });
  const sent = (call: number) => JSON.stringify(model.main[call]?.body['contents'] ?? null);

  test('edits a file; a failed check goes back into the same session, and the second attempt passes', async () => {
    const word = 'pomegranate-7';
    model.play([
      { ...bash('echo turnip > answer.txt'), usage, delay_ms: 500 },
      { text: 'It is good.', usage },
      { ...bash('echo good > answer.txt'), usage },
      { text: 'Now it is.', usage },
    ]);
    const check = 'checks: ["cat answer.txt; grep -q good answer.txt"]\n';
    ws.drop('t', task(check, `Write answer.txt. The word is ${word}.`));
    await start();
    await scene.holds(() => model.main.length > 0, 'the model is asked');
    const running = processesOf('t');
    expect(running.some((pid) => proc(pid, 'cmdline').includes('stream-json'))).toBe(true);
    for (const pid of running) expect(proc(pid, 'cmdline')).not.toContain(word);
    await scene.reaches('t', 'done');
    const shown = ws.show('t');
    expect(shown).toMatchObject({ outcome: 'ok', attempts: 2, agent: 'gemini', result: 'Now it is.' });
    expect(shown).toMatchObject({ model: 'gemini-2.5-pro', tokens: { input: 4000, output: 200 } });
    expect(model.main).toHaveLength(4);
    expect(JSON.stringify(model.main[0]?.body['systemInstruction'])).toContain('You implement one task');
    for (const part of [word, 'echo turnip', 'It is good.', 'failed with exit code 1']) expect(sent(2)).toContain(part);
    expect(scene.sessionOf('t', 1)).toEqual([shown.session, false]);
    expect(scene.sessionOf('t', 2)).toEqual([shown.session, true]);
    expect(ws.git('show', 'towpath/t:answer.txt')).toBe('good\n');
    expect(ws.git('diff', '--name-only', 'main', 'towpath/t').trim()).toBe('answer.txt');
    await scene.holds(() => processesOf('t').length === 0, 'nothing of it is left');
  }, 240_000);

  test('killed with its daemon amid a tool it goes on by its session, and nothing of it is left', async () => {
    model.play([{ text: 'I wait.', ...bash('echo one > hello.txt; sleep 277') }, { text: 'Done.' }]);
    ws.drop('t', task());
    const first = await start();
    const waits = () => processesOf('t').filter((pid) => proc(pid, 'cmdline').startsWith('sleep'));
    await scene.holds(() => waits().length > 0, 'the tool runs');
    await scene.holds(() => stored(home).includes('I wait.'), 'the session is stored');
    const pid = scene.agentPid('t');
    first.kill('SIGKILL');
    await new Promise((resolve) => first.once('exit', resolve));
    process.kill(pid, 'SIGKILL');
    await start();
    await scene.reaches('t', 'done');
    expect(ws.show('t')).toMatchObject({ outcome: 'ok', result: 'Done.' });
    expect(scene.sessionOf('t', Math.max(...scene.runs('t')))).toEqual([scene.sessionOf('t', 1)[0], true]);
    expect(sent(model.main.length - 1)).toContain('I wait.');
    expect(ws.git('show', 'towpath/t:hello.txt')).toBe('one\n');
    await scene.holds(() => processesOf('t').length === 0, 'nothing of it is left');
  }, 240_000);

  test('a rate limit closes the agent and spends nothing; after resume the session goes on', async () => {
    const details = [{ '@type': 'type.googleapis.com/google.rpc.RetryInfo', retryDelay: '3600s' }];
    const body = { error: { code: 429, message: 'too much', status: 'RESOURCE_EXHAUSTED', details } };
    model.play([{ fault: { status: 429, body }, times: 99 }]);
    ws.drop('t', task());
    await start();
    const why = () => ws.run(['why', 't']).stdout.trim();
    await scene.holds(() => /agent gemini is closed by its limit until 2/.test(why()), 'why says so');
    expect(ws.show('t')).toMatchObject({ queue: 'incoming', outcome: 'rate_limited', attempts: 0 });
    expect(Math.abs(Date.parse(scene.limitOf('gemini')!) - Date.now() - 3_600_000)).toBeLessThan(120_000);
    model.play([bash('echo hello > hello.txt'), { text: 'Done.' }]);
    expect(ws.run(['resume', 'gemini']).code).toBe(0);
    await scene.reaches('t', 'done');
    expect(ws.show('t')).toMatchObject({ attempts: 1, result: 'Done.' });
    expect(scene.sessionOf('t', 2)).toEqual([scene.sessionOf('t', 1)[0], true]);
  }, 240_000);
});

/** The stored sessions of a home, as one text. */
function stored(home: string): string {
  const tmp = `${home}/.gemini/tmp`;
  if (!existsSync(tmp)) return '';
  const files = readdirSync(tmp, { recursive: true, encoding: 'utf8' }).filter((name) => name.endsWith('.jsonl'));
  return files.map((name) => readFileSync(`${tmp}/${name}`, 'utf8')).join('');
}
