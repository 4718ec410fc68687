// Gemini CLI's adapter without the CLI: what it starts, the home that it makes, and what it says of its own state.
import {
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  realpathSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { gemini } from '../../../daemon/agents/gemini/gemini.ts';
import type { AgentRequest, AgentSettings } from '../../../daemon/agents/port.ts';
import { blankRequest, SETTINGS } from '../../helpers/cli-run.ts';

let dir: string;
beforeEach(() => {
  dir = realpathSync(mkdtempSync(join(tmpdir(), 'towpath-gemini-')));
});
afterEach(() => rmSync(dir, { recursive: true, force: true }));

const settings = (over: Partial<AgentSettings> = {}): AgentSettings => ({ ...SETTINGS, env: { HOME: dir }, ...over });
const request = (over: Partial<AgentRequest> = {}): AgentRequest =>
  blankRequest({
    ...{ prompt: 'the prompt', system_prompt: 'the role', model: 'gemini-2.5-pro', new_session: 'a-uuid' },
    ...{ worktree: dir, run_dir: join(dir, 'run') },
    ...over,
  });
const value = (argv: string[], flag: string) => argv[argv.indexOf(flag) + 1];
const own = (name: string) => join(dir, 'run', 'home', '.gemini', name);
const written = () => JSON.parse(readFileSync(own('settings.json'), 'utf8'));
const user = (text: string) => {
  mkdirSync(join(dir, '.gemini'), { recursive: true });
  writeFileSync(join(dir, '.gemini', 'settings.json'), text);
};

describe('launch', () => {
  test('prompts never stand in argv, whatever they begin with', () => {
    for (const text of ['-x', '--help', 'x'.repeat(300_000)]) {
      const { argv, stdin } = gemini.launch(request({ prompt: text, system_prompt: `role ${text}` }), settings());
      expect(stdin).toBe(text);
      expect(argv.some((arg) => arg.includes(text))).toBe(false);
      expect(readFileSync(own('TOWPATH-ROLE.md'), 'utf8')).toBe(`role ${text}`);
      expect(statSync(own('TOWPATH-ROLE.md')).mode & 0o777).toBe(0o600);
    }
    expect(written().context.fileName).toEqual(['GEMINI.md', 'TOWPATH-ROLE.md']);
  });

  test('a new session gets our id, an old one is resumed; permissions, model, wrap and args', () => {
    const { argv } = gemini.launch(
      request(),
      settings({ wrap: ['nice'], command: ['/opt/gemini', '--x'], args: ['--debug'] }),
    );
    expect(argv.slice(0, 3)).toEqual(['nice', '/opt/gemini', '--x']);
    expect(argv.at(-1)).toBe('--debug');
    expect([value(argv, '--session-id'), value(argv, '--model')]).toEqual(['a-uuid', 'gemini-2.5-pro']);
    const old = gemini.launch(request({ session: 'old' }), settings()).argv;
    expect([value(old, '--resume'), old.includes('--session-id')]).toEqual(['old', false]);
    const mode = (permissions: AgentSettings['permissions']) =>
      value(gemini.launch(request(), settings({ permissions })).argv, '--approval-mode');
    expect([mode('full'), mode('edits'), mode('read')]).toEqual(['yolo', 'auto_edit', 'default']);
  });

  test('the settings of the worktree are read untrusted; a version without the flag for that trusts it all', () => {
    const { argv, env } = gemini.launch(request(), settings());
    expect([argv.includes('--skip-trust'), env['GEMINI_CLI_TRUST_WORKSPACE']]).toEqual([true, 'false']);
    const older = gemini.launch(request(), settings(), ['--skip-trust']);
    expect([older.argv.includes('--skip-trust'), older.env['GEMINI_CLI_TRUST_WORKSPACE']]).toEqual([false, 'true']);
  });

  test('the home is the user’s but for its settings, in which the user’s stay where they do not matter to us', () => {
    user(`{ // mine
      "general": {"vimMode": true, "maxAttempts": 5, "enableAutoUpdate": true}, "ui": {"theme": "a // b"},
      "context": {"fileName": ["AGENTS.md"]}, "mcpServers": {"mine": {"command": "m"}, "other": {"command": "o"}},
      "security": {"auth": {"selectedType": "oauth-personal"}} /* end */ }`);
    writeFileSync(join(dir, '.gemini', 'oauth_creds.json'), '{}');
    const { env } = gemini.launch(request({ max_turns: 7 }), settings());
    expect(env['GEMINI_CLI_HOME']).toBe(join(dir, 'run', 'home'));
    expect(written()).toMatchObject({
      general: { vimMode: true, maxAttempts: 5, enableAutoUpdate: false, plan: { enabled: false } },
      ui: { theme: 'a // b' },
      context: { fileName: ['AGENTS.md', 'TOWPATH-ROLE.md'] },
      security: { auth: { selectedType: 'oauth-personal' } },
      model: { maxSessionTurns: 7 },
      mcpServers: { mine: { command: 'm' }, other: { command: 'o' } },
      privacy: { usageStatisticsEnabled: false },
    });
    expect(written().mcp).toBeUndefined();
    expect(lstatSync(own('settings.json')).mode & 0o777).toBe(0o600);
    expect(lstatSync(own('oauth_creds.json')).isSymbolicLink()).toBe(true);
    writeFileSync(join(own('tmp'), 'kept'), '');
    // Entered again, and what is the user's is still there.
    gemini.launch(request(), settings());
    expect(existsSync(join(dir, '.gemini', 'tmp', 'kept'))).toBe(true);
    expect(existsSync(join(dir, '.gemini', 'oauth_creds.json'))).toBe(true);
    user('{');
    expect(() => gemini.launch(request(), settings())).toThrow(/settings\.json is no JSON object/);
  });

  test('MCP servers are those that are asked for, and their keys stay out of argv', () => {
    user('{"mcpServers": {"mine": {"command": "m"}, "other": {"command": "o"}}}');
    const mcp = {
      git: { command: 'git-mcp', args: ['-v'], env: { TOKEN: 'secret' } },
      web: { url: 'http://127.0.0.1/mcp', headers: { a: 'secret' } },
      old: { url: 'http://127.0.0.1/sse', headers: {} },
      mine: null,
      nobody: null,
    };
    const { argv } = gemini.launch(request({ mcp }), settings());
    expect(argv.join(' ')).not.toContain('secret');
    const { mcpServers, mcp: filter } = written();
    expect(filter.allowed).toEqual(['git', 'web', 'old', 'mine', 'nobody']);
    expect(mcpServers).toEqual({
      git: { command: 'git-mcp', args: ['-v'], env: { TOKEN: 'secret' }, trust: true },
      web: { httpUrl: 'http://127.0.0.1/mcp', headers: { a: 'secret' }, trust: true },
      old: { url: 'http://127.0.0.1/sse', headers: {}, trust: true },
      mine: { command: 'm', trust: true },
      other: { command: 'o' },
    });
  });

  test('the user has the last word on variables, but for those that the run depends on', () => {
    const { env } = gemini.launch(request(), settings({ env: { HOME: dir, GEMINI_CLI_X: 'x', PASSED: true } }));
    expect(env).toMatchObject({ GEMINI_CLI_X: 'x', GEMINI_CLI_NO_RELAUNCH: '1' });
    expect(env).not.toHaveProperty('PASSED');
    expect(gemini.validateConfig(settings({ args: ['--debug'] }))).toEqual([]);
    expect(
      gemini.validateConfig(settings({ args: ['-o=text', '--yolo'], env: { GEMINI_CLI_HOME: 'x' } })),
    ).toHaveLength(3);
  });
});

describe('probe', () => {
  const FLAGS = '--output-format --approval-mode --session-id --resume --model --skip-trust --include-directories';
  const script = (text: string) => writeFileSync(join(dir, 'gemini'), `#!/bin/sh\n${text}\n`, { mode: 0o755 });

  test('not installed, broken, too old, without a key, logged in', async () => {
    const env = { PATH: `${dir}:/usr/bin:/bin`, HOME: dir };
    const look = (over: Partial<AgentSettings> = {}) => gemini.probe(settings({ env: {}, ...over }), env);
    expect(await look()).toMatchObject({ installed: false, ready: false, path: null });
    script('exit 3');
    expect(await look()).toMatchObject({ installed: true, ready: false, version: null });
    script(`echo 0.1.0 --output-format --model`);
    expect((await look()).why).toMatch(/^gemini 0\.1\.0 has no --approval-mode: update it$/);
    script(`echo 0.61.0 ${FLAGS}`);
    expect(await look()).toMatchObject({ version: '0.61.0', ready: false, lacks: [] });
    expect((await look()).why).toContain('GEMINI_API_KEY');
    expect(await look({ env: { GEMINI_API_KEY: 'k' } })).toMatchObject({ ready: true, why: null });
    mkdirSync(join(dir, '.gemini'));
    writeFileSync(join(dir, '.gemini', '.env'), 'GEMINI_API_KEY="k"\n');
    expect(await look()).toMatchObject({ ready: true });
    rmSync(join(dir, '.gemini', '.env'));
    const vertex = { GOOGLE_GENAI_USE_VERTEXAI: 'true' };
    expect((await look({ env: vertex })).why).toContain('GOOGLE_CLOUD_PROJECT');
    expect(await look({ env: { ...vertex, GOOGLE_API_KEY: 'k' } })).toMatchObject({ ready: true });
    user('{"security": {"auth": {"selectedType": "oauth-personal"}}}');
    expect((await look({ env: { GEMINI_API_KEY: 'k' } })).why).toContain('not logged in');
    writeFileSync(join(dir, '.gemini', 'oauth_creds.json'), '{}');
    expect(await look()).toMatchObject({ ready: true, why: null });
    user('{');
    expect((await look()).why).toContain('is no JSON object');
  });
});
