// Aider's stand-in under the real daemon: what it prints and exits with, against what git, checks and limits make of it.
import { existsSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { expect, test, vi } from 'vitest';
import { until, workspaces } from '../helpers/workspace.ts';

const FAKE = fileURLToPath(new URL('../fakes/aider.ts', import.meta.url));
vi.setConfig({ testTimeout: 120_000 });
const make = workspaces();
const open = (plan: string, more = '') => {
  const command = JSON.stringify([process.execPath, '--disable-warning=ExperimentalWarning', FAKE]);
  return make(
    `agent: aider\nagents: {aider: {command: ${command}, env: {FAKE_AIDER: "${plan}"}${more}}}\nretry: {initial: 50ms, max: 100ms}\n`,
  );
};
const task = (matter = '') => `---\n${matter}title: A task\n---\nWrite hello.txt.\n`;

test('a failed check goes back into the same conversation', () => {
  const ws = open('bad ok');
  ws.drop('t', task('checks: ["grep hello hello.txt"]\n'));
  expect(ws.drain().code).toBe(0);
  const shown = ws.show('t');
  expect(shown).toMatchObject({ queue: 'done', outcome: 'ok', attempts: 2, agent: 'aider', cost_usd: 0.02 });
  expect(shown).toMatchObject({ model: 'gpt-4o', tokens: { input: 2400, output: 100 }, session: 'aider.chat.md' });
  expect(shown.result).toBe('I write it. I remember 1 earlier runs.');
  expect(ws.git('show', 'towpath/t:hello.txt')).toBe('hello 1\n');
  expect(ws.git('diff', '--stat', 'main..towpath/t').match(/\|/g)).toHaveLength(1);
  const chat = readFileSync(ws.path('.towpath/runs/t/aider.chat.md'), 'utf8');
  expect(chat).toContain('failed with exit code 1');
});

test('an exit of 0 hides no limit: the agent is closed, and the conversation goes on', async () => {
  const ws = open('limited ok');
  ws.drop('t', task());
  await ws.start();
  const why = () => ws.run(['why', 't']).stdout;
  await until(() => why().includes('agent aider is closed by its limit'), 'why says so', 60_000, why);
  expect(ws.show('t')).toMatchObject({ queue: 'incoming', outcome: 'rate_limited', attempts: 0 });
  expect(ws.run(['resume', 'aider']).code).toBe(0);
  await ws.reaches('t', 'done', 60_000);
  expect(ws.show('t')).toMatchObject({ attempts: 1, result: 'I write it. I remember 1 earlier runs.' });
});

test('an exit of 0 hides no refused key and no missing change', () => {
  const auth = open('auth');
  auth.drop('t', task());
  auth.drain();
  expect(auth.show('t')).toMatchObject({ queue: 'blocked', outcome: 'auth', attempts: 0 });

  const silent = open('silent');
  silent.drop('t', task('max_attempts: 1\n'));
  silent.drain();
  expect(silent.show('t')).toMatchObject({ queue: 'failed', outcome: 'no_changes' });
});

test('a worktree that could configure it is refused where not all is permitted, and the task waits', () => {
  const ws = open('ok', ', permissions: edits');
  ws.file('.aider.conf.yml', 'lint: true\nlint-cmd: touch evil\n');
  ws.git('add', '.aider.conf.yml');
  ws.git('commit', '-q', '-m', 'configure');
  ws.drop('t', task());
  ws.drain();
  expect(ws.show('t')).toMatchObject({
    queue: 'blocked',
    reason: expect.stringContaining('.aider.conf.yml in the worktree'),
  });
  expect(existsSync(ws.path('.towpath/runs/t/1/stdout'))).toBe(false);
});
