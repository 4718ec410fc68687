// The real Codex CLI under the real daemon, against a scripted model on loopback: the whole way of a task.
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import type { RunRecord, RunVerdict } from '../../daemon/attempt/record.ts';
import { isAlive } from '../../daemon/process/identity.ts';
import type { Lock } from '../../daemon/queue/port.ts';
import { type ModelServer, startModelServer } from '../fakes/model-server.ts';
import { responses } from '../fakes/openai-responses.ts';
import { CLIS } from '../helpers/clis.ts';
import { TestWorkspace, tempDir, until } from '../helpers/workspace.ts';

vi.setConfig({ testTimeout: 180_000, hookTimeout: 60_000 });
const usage = { input: 1000, output: 50 };
const sh = (cmd: string) => ({ tools: [{ name: 'exec_command', input: { cmd } }] });
const task = (matter = '', body = 'Write hello.txt.') => `---\nagent: codex\n${matter}---\n# A task\n\n${body}\n`;

describe('a daemon with the real Codex CLI', () => {
  let ws: TestWorkspace;
  let home: string;
  let model: ModelServer;

  beforeEach(async () => {
    const command = JSON.stringify([CLIS.codex]);
    ws = new TestWorkspace(
      `agents: {codex: {command: ${command}}}\nretry: {initial: 100ms, max: 1s}\nconcurrency: 1\n`,
    );
    home = tempDir('towpath-home-');
    model = await startModelServer([], [responses]);
    mkdirSync(join(home, '.codex'));
    const provider = `{name="fake", base_url="${model.url}/v1", env_key="CODEX_API_KEY", wire_api="responses"}`;
    const config = `model = "gpt-5.5"\nmodel_provider = "fake"\nmodel_providers.fake = ${provider}\n`;
    writeFileSync(join(home, '.codex', 'config.toml'), config);
  });
  afterEach(async () => {
    await ws.close();
    await model.close();
    rmSync(home, { recursive: true, force: true, maxRetries: 5 });
  });

  /** Whatever would leave this machine runs into the scripted model, which tunnels nothing. */
  const start = () =>
    ws.start([], {
      ...{ CODEX_API_KEY: 'not-a-key', HOME: home },
      ...{ HTTP_PROXY: model.url, HTTPS_PROXY: model.url, NO_PROXY: '127.0.0.1' },
    });
  const sent = (call: number) => JSON.stringify(model.main.at(call)?.body['input'] ?? null);
  const eventually = (what: string, ready: () => boolean) => until(ready, what, 60_000, () => ws.output.slice(-3000));
  const read = (id: string, attempt: number, name: string): unknown =>
    JSON.parse(readFileSync(ws.path(`.towpath/runs/${id}/${attempt}/${name}`), 'utf8'));
  /** The session that a run began with, and the one that it had. */
  const sessions = (id: string, attempt: number): [string | null, string | null] => [
    (read(id, attempt, 'run.json') as RunRecord).session,
    (read(id, attempt, 'verdict.json') as RunVerdict).verdict.session,
  ];
  /** The living processes of a task's runs: other workspaces on this machine may have a task of that name. */
  const processesOf = (id: string): string[] =>
    readdirSync('/proc').filter((pid) => {
      const environ = /^\d+$/.test(pid) ? proc(pid, 'environ').split('\0') : [];
      return (
        environ.includes(`TOWPATH_WORKSPACE=${ws.root}`) && environ.some((one) => one.startsWith(`TOWPATH_RUN=${id}/`))
      );
    });
  const lockOf = (id: string): Lock | null => {
    try {
      return JSON.parse(readFileSync(ws.path(`queues/claimed/${id}.lock.json`), 'utf8')) as Lock;
    } catch {
      return null;
    }
  };

  test('edits a file in its worktree, and tells what it used; nothing of the prompt stands in an argument', async () => {
    const word = 'pomegranate-7';
    const patch = '*** Begin Patch\n*** Add File: hello.txt\n+hello\n*** End Patch\n';
    model.play([
      { tools: [{ name: 'apply_patch', input: { input: patch } }], usage, delay_ms: 1000 },
      { text: 'I wrote it.', usage },
    ]);
    ws.drop('t', task('seniority: principal\n', `Write hello.txt. The word is ${word}.`));
    await start();
    await eventually('the model is asked', () => model.main.length > 0);
    const running = processesOf('t').map((pid) => proc(pid, 'cmdline'));
    expect(running.some((line) => line.includes('--json'))).toBe(true);
    for (const line of running) {
      expect(line).not.toContain(word);
      expect(line).not.toContain('not-a-key');
    }
    await ws.reaches('t', 'done', 60_000);
    expect(sent(0)).toContain(word);
    expect(sent(0)).toContain('You implement one task');
    const shown = ws.show('t');
    expect(shown).toMatchObject({
      outcome: 'ok',
      attempts: 1,
      agent: 'codex',
      result: 'I wrote it.',
      model: 'gpt-5.5',
    });
    expect(shown.tokens).toMatchObject({ input: 2000, output: 100 });
    expect(shown.cost_usd).toBeNull();
    expect(ws.git('show', 'towpath/t:hello.txt')).toBe('hello\n');
    expect(ws.git('log', '-1', '--format=%an', 'towpath/t').trim()).toBe('codex');
    expect(processesOf('t')).toEqual([]);
  });

  test('a failed check goes back into the same session, and the second attempt passes', async () => {
    model.play([
      { ...sh('echo turnip > answer.txt'), usage },
      { text: 'It is good.', usage },
      { ...sh('echo good > answer.txt'), usage },
      { text: 'Now it is.', usage },
    ]);
    ws.drop('t', task('checks: ["cat answer.txt; grep -q good answer.txt"]\n', 'Write answer.txt.'));
    await start();
    await ws.reaches('t', 'done', 60_000);
    const shown = ws.show('t');
    expect(shown).toMatchObject({ outcome: 'ok', attempts: 2, result: 'Now it is.', feedback: [{ from: 'check' }] });
    expect(model.main).toHaveLength(4);
    for (const part of ['Write answer.txt.', 'echo turnip', 'It is good.', 'failed with exit code 1'])
      expect(sent(2)).toContain(part);
    expect(sessions('t', 1)).toEqual([null, shown.session]);
    expect(sessions('t', 2)).toEqual([shown.session, shown.session]);
    // Each run counts once, though the CLI tells a resumed session's totals.
    expect(shown.tokens).toMatchObject({ input: 4000, output: 200 });
    expect(ws.git('show', 'towpath/t:answer.txt')).toBe('good\n');
  });

  test('a session that is gone is begun anew, and no attempt is spent on that', async () => {
    model.play([sh('echo turnip > answer.txt'), { text: 'It is good.' }]);
    ws.drop('t', task('checks: ["grep -q good answer.txt"]\n'));
    ws.hook('post_task', `#!/bin/sh\nrm -rf "${home}/.codex/sessions"\n`);
    await start();
    await eventually('the first attempt ends', () => model.main.length >= 2);
    model.play([sh('echo good > answer.txt'), { text: 'Now it is.' }]);
    await ws.reaches('t', 'done', 60_000);
    expect(ws.show('t')).toMatchObject({ outcome: 'ok', attempts: 2 });
    const [first, second, third] = [1, 2, 3].map((n) => sessions('t', n));
    expect(first![1]).not.toBeNull();
    expect(second).toEqual([first![1], null]);
    expect(third).toEqual([null, expect.any(String)]);
  });

  test('a long rate limit is not waited out: the agent is closed until it ends, and the session goes on', async () => {
    const begun = Date.now();
    model.play([
      { ...sh('echo hello > hello.txt'), usage },
      { fault: { status: 429, headers: { 'retry-after': '3600' } }, times: 99 },
    ]);
    ws.drop('t', task());
    ws.drop('u', task());
    await start();
    await eventually('why says so', () =>
      /agent codex is closed by its limit until 2/.test(ws.run(['why', 'u']).stdout),
    );
    const { codex } = JSON.parse(readFileSync(ws.path('.towpath/limits.json'), 'utf8')) as Record<
      string,
      { until: string }
    >;
    expect(Date.parse(codex!.until)).toBeGreaterThan(begun + 3_590_000);
    expect(Date.parse(codex!.until)).toBeLessThan(Date.now() + 3_600_000);
    await ws.reaches('t', 'incoming', 60_000);
    expect(ws.show('t')).toMatchObject({ outcome: 'rate_limited', attempts: 0, tokens: { input: 1000 } });
    expect(processesOf('t')).toEqual([]);
    const before = model.main.length;
    await sleep(500);
    expect(model.main.length).toBe(before);

    model.play((call) => {
      const answered = JSON.stringify(call.body['input']).includes('_output"');
      return answered ? { text: 'Done.' } : sh('echo hello > hello.txt');
    });
    expect(ws.run(['resume', 'codex']).code).toBe(0);
    for (const id of ['t', 'u']) await ws.reaches(id, 'done', 60_000);
    expect([ws.show('t').attempts, ws.show('u').attempts]).toEqual([1, 1]);
    const [, session] = sessions('t', 1);
    expect(sessions('t', 2)).toEqual([session, session]);
  });

  test('daemon and agent are killed in the middle of a tool: the session goes on in the same worktree', async () => {
    model.play([{ ...sh('echo one > one.txt'), usage }, sh('sleep 279')]);
    ws.drop('t', task());
    const first = await start();
    await eventually('the tool runs', () => processesOf('t').some((pid) => proc(pid, 'cmdline').includes('279')));
    await eventually('the session is known', () => lockOf('t')?.agent?.session != null);
    const { agent } = lockOf('t')!;
    first.kill('SIGKILL');
    await new Promise((resolve) => first.once('exit', resolve));
    for (const who of [agent!.shim!, agent!]) process.kill(who.pid, 'SIGKILL');
    await eventually('they are dead', () => !isAlive(agent!) && !isAlive(agent!.shim!));
    model.play([
      { ...sh('echo two > two.txt'), usage },
      { text: 'Both.', usage },
    ]);
    await start();
    await ws.reaches('t', 'done', 60_000);
    expect(ws.show('t')).toMatchObject({ outcome: 'ok', attempts: 1, result: 'Both.', session: agent!.session });
    expect(sent(-1)).toContain('echo one > one.txt');
    expect(sessions('t', 2)).toEqual([agent!.session, agent!.session]);
    for (const file of ['one', 'two']) expect(ws.git('show', `towpath/t:${file}.txt`)).toBe(`${file}\n`);
    expect(processesOf('t')).toEqual([]);
  });
});

function proc(pid: string, file: 'environ' | 'cmdline'): string {
  try {
    return readFileSync(`/proc/${pid}/${file}`, 'utf8');
  } catch {
    return '';
  }
}
