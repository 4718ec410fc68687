// Bad settings are told by file, line and key, and by the variable where one of those says it.
import { rmSync, writeFileSync } from 'node:fs';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { loadSettings } from '../daemon/config.ts';
import { Workspace } from '../daemon/paths.ts';
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
  ['concurrency: 1\n', { TOWPATH_CONCURRENCY: 'x' }, 'TOWPATH_CONCURRENCY: "concurrency"'],
])('%j with %j', (text, env, told) => {
  writeFileSync(workspace.settings, text);
  const where = 'TOWPATH_CONCURRENCY' in env ? '' : workspace.settings;
  expect(() => loadSettings(workspace, env)).toThrow(`${where}${told}`);
});
