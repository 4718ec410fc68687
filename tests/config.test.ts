// Bad settings are told by file, line and key, and by the variable where one of those says it.
import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { loadSettings } from '../daemon/config.ts';
import { findWorkspace, Workspace } from '../daemon/paths.ts';
import { tempDir } from './helpers/workspace.ts';

let workspace: Workspace;
beforeAll(() => {
  workspace = new Workspace(tempDir());
});
afterAll(() => rmSync(workspace.root, { recursive: true }));

it.each([
  ['agent: claude\nretry:\n  max_attempts: many\n', {}, ' line 3: "retry.max_attempts": '],
  ['hooks:\n  timeout: 3s\n\n  time: 4\n', {}, ' line 4: unknown key "hooks.time"'],
  ['checks:\n - npm test\n - 7\n', {}, ' line 3: "checks.1": a command: a text, or a list of words'],
  ['agents:\n  bot:\n    command: x\n    env: [A=1]\n', {}, ' line 4: "agents.bot.env": a list of names of variables'],
  ['env: ["*"]\n', {}, ' line 1: "env.0": the name of a variable'],
  ['agent: [\n', {}, ' line 2: '],
  ['just text\n', {}, ' holds no keys'],
  ['concurrency: 0', {}, ' line 1: "concurrency": a whole number above 0'],
  ['review: [a b]', {}, ' line 1: "review.0": none, human, agent or the name of a role'],
  ['agent: shell\n---\nagent: claude', {}, ' line 2'],
  ['agent: !!js/function "x"', {}, ' line 1'],
  [`a: &a [${'x,'.repeat(20)}]\nb: &b [${'*a,'.repeat(20)}]\nc: [${'*b,'.repeat(20)}]`, {}, ' cannot be read'],
  ['concurrency: 1\n', { TOWPATH_CONCURRENCY: 'x' }, 'TOWPATH_CONCURRENCY: "concurrency"'],
])('%j with %j', (text, env, told) => {
  writeFileSync(workspace.settings, text);
  const where = 'TOWPATH_CONCURRENCY' in env ? '' : workspace.settings;
  expect(() => loadSettings(workspace, env)).toThrow(`${where}${told}`);
});

const load = (text: string, env: Record<string, string> = {}) => {
  writeFileSync(workspace.settings, text);
  return loadSettings(workspace, env).settings;
};

it('takes a key with nothing behind it for one that was not written', () => {
  const settings = load('checks:\nhooks:\n#  timeout: 5s\nagents:\n  claude:\nbudget: {day_usd: }\n');
  expect(settings).toMatchObject({ checks: [], hooks: { timeout: 30_000 }, agents: {}, budget: { day_usd: 50 } });
});

it('takes a variable of nothing but digits for a text where the key holds one', () => {
  const digits = { TOWPATH_BASE: '2026', TOWPATH_REPO: '7', TOWPATH_SERVER_API_KEY: '12345', TOWPATH_CONCURRENCY: '3' };
  const settings = load('', digits);
  expect(settings).toMatchObject({ base: '2026', repo: '7', server: { api_key: '12345' }, concurrency: { total: 3 } });
});

it('finds the checkout as a workspace from any folder in it', () => {
  const checkout = join(import.meta.dirname, '..');
  expect(findWorkspace(undefined, join(checkout, 'docs'), {}).root).toBe(checkout);
  expect(loadSettings(new Workspace(checkout), {}).settings.agent).toBe('auto');
});
