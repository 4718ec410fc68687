// opencode's adapter without the CLI: what it starts, what it tells it, and what it says of its own state.
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { opencode } from '../../../daemon/agents/opencode/opencode.ts';
import { TowpathTell } from '../../../daemon/agents/opencode/tell.ts';
import type { AgentRequest, AgentSettings, Endpoint } from '../../../daemon/agents/port.ts';
import { blankRequest, SETTINGS } from '../../helpers/cli-run.ts';

let dir: string;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'towpath-opencode-'));
});
afterEach(() => rmSync(dir, { recursive: true, force: true }));

const settings = (over: Partial<AgentSettings> = {}): AgentSettings => ({ ...SETTINGS, ...over });
const request = (over: Partial<AgentRequest> = {}): AgentRequest =>
  blankRequest({
    ...{ task_id: 't1', prompt: 'the prompt', system_prompt: 'the role', model: 'p/m', worktree: dir },
    run_dir: join(dir, 'run'),
    ...over,
  });
const value = (argv: string[], flag: string) => argv[argv.indexOf(flag) + 1];
const configOf = (over: Partial<AgentRequest> = {}, own: Partial<AgentSettings> = {}) =>
  JSON.parse(opencode.launch(request(over), settings(own)).env['OPENCODE_CONFIG_CONTENT']!);

describe('launch', () => {
  test('prompts never stand in argv, whatever they begin with', () => {
    for (const text of ['-x', '--help', 'x'.repeat(300_000)]) {
      const { argv, stdin } = opencode.launch(request({ prompt: text, system_prompt: `role ${text}` }), settings());
      expect(stdin).toBe(text);
      expect(argv.some((arg) => arg.includes(text))).toBe(false);
      const [role] = configOf({ system_prompt: `role ${text}` }).instructions;
      expect(readFileSync(role, 'utf8')).toBe(`role ${text}`);
      expect(statSync(role).mode & 0o777).toBe(0o600);
    }
  });

  test('session, title, model, wrap, args, and flags that the version lacks', () => {
    const { argv } = opencode.launch(
      request(),
      settings({ wrap: ['nice'], command: ['/opt/oc'], args: ['--thinking'] }),
    );
    expect(argv).toEqual([
      ...[
        'nice',
        '/opt/oc',
        'run',
        '--format',
        'json',
        '--auto',
        '--model',
        'p/m',
        '--title',
        'towpath t1',
        '--thinking',
      ],
    ]);
    const old = opencode.launch(request({ session: 'ses_1', model: null }), settings({ permissions: 'read' })).argv;
    expect(old).toEqual(['opencode', 'run', '--format', 'json', '--session', 'ses_1']);
    const older = opencode.launch(request(), settings(), ['--auto', '--title']).argv;
    expect(older).toEqual(['opencode', 'run', '--format', 'json', '--model', 'p/m']);
  });

  test('the rules of the worktree are handed over, the rest of what it configures is not read', () => {
    const { env } = opencode.launch(request(), settings());
    expect(env).toMatchObject({ OPENCODE_DISABLE_PROJECT_CONFIG: '1', OPENCODE_DISABLE_AUTOUPDATE: '1' });
    expect(configOf({ system_prompt: ' ' }).instructions).toEqual([]);
    for (const name of ['CLAUDE.md', 'AGENTS.md']) writeFileSync(join(dir, name), '');
    expect(configOf().instructions).toEqual([join(dir, 'run', 'role.md'), join(dir, 'AGENTS.md')]);
    const [plugin] = configOf().plugin;
    expect(existsSync(fileURLToPath(plugin))).toBe(true);
  });

  test('permissions, turns and MCP servers', () => {
    expect(configOf({ max_turns: 7 })).toMatchObject({
      share: 'disabled',
      agent: { build: { steps: 7 } },
      permission: {},
    });
    expect(configOf({}, { permissions: 'edits' }).permission).toMatchObject({ edit: 'allow', bash: 'deny' });
    expect(configOf({}, { permissions: 'read' }).permission).toMatchObject({
      edit: 'deny',
      external_directory: 'deny',
    });
    const mcp = {
      git: { command: 'git-mcp', args: ['-v'], env: { TOKEN: 'secret' } },
      web: { url: 'http://127.0.0.1/mcp', headers: { a: 'secret' } },
      mine: null,
    };
    expect(configOf({ mcp }).mcp).toEqual({
      git: { type: 'local', command: ['git-mcp', '-v'], environment: { TOKEN: 'secret' }, enabled: true },
      web: { type: 'remote', url: 'http://127.0.0.1/mcp', headers: { a: 'secret' }, oauth: false, enabled: true },
      mine: { enabled: true },
    });
    expect(configOf({ mcp }, { permissions: 'read' }).permission).toMatchObject({ 'git_*': 'allow' });
    expect(opencode.launch(request({ mcp }), settings()).argv.join(' ')).not.toContain('secret');
  });

  test('an endpoint becomes a provider, its key is named and not told', () => {
    const lab: Endpoint = {
      name: 'lab',
      base_url: 'http://127.0.0.1:1/v1',
      api: 'openai',
      models: ['m', 'n'],
      slots: 1,
    };
    const at = (over: Partial<Endpoint>) => configOf({ endpoints: [{ ...lab, ...over }] }).provider['towpath-lab'];
    expect(at({})).toEqual({
      ...{ npm: '@ai-sdk/openai-compatible', name: 'lab' },
      options: { baseURL: 'http://127.0.0.1:1/v1', apiKey: 'none' },
      models: { m: {}, n: {} },
    });
    expect(at({ api: 'anthropic', key_env: 'K' })).toMatchObject({
      npm: '@ai-sdk/anthropic',
      options: { apiKey: '{env:K}' },
    });
    const { argv } = opencode.launch(request({ model: 'm', endpoints: [lab] }), settings());
    expect(value(argv, '--model')).toBe('towpath-lab/m');
    // A GPU of this machine is no address.
    expect(configOf({ endpoints: [{ name: 'gpu', api: 'openai', models: ['m'], slots: 1 }] }).provider).toBeUndefined();
  });

  test('settings that would break the run are refused', () => {
    expect(opencode.validateConfig(settings({ args: ['--thinking'], models: { senior: 'p/m' } }))).toEqual([]);
    const wrong = { args: ['--format=default'], env: { OPENCODE_CONFIG_CONTENT: '{}' }, models: { senior: 'm' } };
    expect(opencode.validateConfig(settings(wrong))).toHaveLength(3);
  });
});

test('probe: not installed, too old, without a provider, with a key, a login or a configuration', async () => {
  const env = { PATH: `${dir}:/usr/bin:/bin`, HOME: dir };
  const look = (over: Partial<AgentSettings> = {}) => opencode.probe(settings(over), env);
  const script = (text: string) => writeFileSync(join(dir, 'opencode'), `#!/bin/sh\n${text}\n`, { mode: 0o755 });
  const file = (path: string, text: string) => {
    mkdirSync(dirname(join(dir, path)), { recursive: true });
    writeFileSync(join(dir, path), text);
  };
  expect(await look()).toMatchObject({ installed: false, ready: false });
  script('echo 0.1.0 --session');
  expect(await look()).toMatchObject({
    installed: true,
    ready: false,
    why: 'opencode 0.1.0 has no --format: update it',
  });
  script('echo 1.18.33 --format --session --model --title');
  expect(await look()).toMatchObject({ ready: false, lacks: ['--auto'], why: expect.stringContaining('auth login') });
  expect(await look({ env: { OPENAI_API_KEY: 'k' } })).toMatchObject({ ready: true, why: null });
  file('.local/share/opencode/auth.json', '{}');
  expect(await look()).toMatchObject({ ready: false });
  file('.local/share/opencode/auth.json', '{"anthropic": {"type": "oauth"}}');
  expect(await look()).toMatchObject({ ready: true });
  rmSync(join(dir, '.local'), { recursive: true });
  file('.config/opencode/opencode.json', '{\n  "provider": {}\n}');
  expect(await look()).toMatchObject({ ready: true });
});

test('the plugin tells each call once, sessions, waits, and what helpers use', async () => {
  const told: unknown[] = [];
  const { write } = process.stdout;
  const { event } = await TowpathTell();
  const tell = (type: string, properties: object) => event({ event: { type, properties } as never });
  process.stdout.write = ((text: string) => told.push(JSON.parse(text)) > 0) as typeof write;
  try {
    await tell('session.created', { info: { id: 's' } });
    await tell('session.created', { info: { id: 'child', parentID: 's' } });
    await tell('session.status', { sessionID: 's', status: { type: 'busy' } });
    await tell('session.status', { sessionID: 'child', status: { type: 'idle' } });
    await tell('session.status', { sessionID: 's', status: { type: 'retry', next: 1 } });
    await tell('message.updated', { sessionID: 's', info: { role: 'assistant', providerID: 'p', modelID: 'm' } });
    const part = { type: 'tool', tool: 'bash', callID: 'c', sessionID: 's', state: { status: 'running', input: {} } };
    for (let n = 0; n < 3; n++) await tell('message.part.updated', { sessionID: 's', part });
    await tell('message.part.updated', { sessionID: 's', part: { type: 'step-finish' } });
    await tell('message.part.updated', { sessionID: 'child', part: { type: 'step-finish', cost: 1 } });
    await event({ event: { type: 'other' } as never });
  } finally {
    process.stdout.write = write;
  }
  expect(told).toEqual(
    [
      { session: 's' },
      { status: { type: 'retry', next: 1 } },
      { model: 'p/m' },
      { call: { id: 'c', tool: 'bash', input: {} } },
      { part: { type: 'step-finish', cost: 1 } },
    ].map((what) => ({ type: 'towpath', ...what })),
  );
});
