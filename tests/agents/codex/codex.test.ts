// Codex' adapter without the CLI: what it starts, and what it says of its own state.
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { codex } from '../../../daemon/agents/codex/codex.ts';
import { toml } from '../../../daemon/agents/codex/toml.ts';
import { missingFlags } from '../../../daemon/agents/flags.ts';
import { mcpServers } from '../../../daemon/agents/mcp.ts';
import type { AgentRequest, AgentSettings, Endpoint } from '../../../daemon/agents/port.ts';
import { blankRequest, SETTINGS } from '../../helpers/cli-run.ts';

let dir: string;
beforeAll(() => {
  dir = mkdtempSync(join(tmpdir(), 'towpath-codex-'));
});
afterAll(() => rmSync(dir, { recursive: true, force: true }));

const settings = (over: Partial<AgentSettings> = {}): AgentSettings => ({ ...SETTINGS, ...over });
const request = (over: Partial<AgentRequest> = {}): AgentRequest =>
  blankRequest({ prompt: 'the prompt', system_prompt: 'the role', worktree: dir, run_dir: join(dir, 'run'), ...over });
/** The values of all `--config key=…` with that key. */
const configured = (argv: string[], key: string) =>
  argv.flatMap((arg, n) =>
    argv[n - 1] === '--config' && arg.startsWith(`${key}=`) ? [arg.slice(key.length + 1)] : [],
  );
const endpoint: Endpoint = {
  name: 'gpu',
  base_url: 'http://127.0.0.1:1/v1',
  api: 'responses',
  models: ['m'],
  slots: 1,
};

describe('launch', () => {
  test('prompts never stand in argv, whatever they begin with; the role speaks first, once a session', () => {
    for (const text of ['-x', '--help', '- a list', 'x'.repeat(300_000)]) {
      const { argv, stdin } = codex.launch(request({ prompt: text, system_prompt: `role ${text}` }), settings());
      expect(stdin).toBe(`role ${text}\n\n---\n\n${text}`);
      expect(argv.some((arg) => arg.includes(text))).toBe(false);
      expect(argv.at(-1)).toBe('-');
    }
    expect(codex.launch(request({ session: 's' }), settings()).stdin).toBe('the prompt');
    expect(codex.launch(request({ system_prompt: ' \n' }), settings()).stdin).toBe('the prompt');
  });

  test('flags go before the session, wrap before the command, args after ours', () => {
    const { argv } = codex.launch(
      request({ session: 'old', model: 'm' }),
      settings({ wrap: ['nice', '--'], command: ['/opt/codex', '-v'], args: ['--search'] }),
    );
    expect(argv.slice(0, 7)).toEqual(['nice', '--', '/opt/codex', '-v', 'exec', '--json', '--skip-git-repo-check']);
    expect(argv.slice(-4)).toEqual(['--search', 'resume', 'old', '-']);
    expect(argv[argv.indexOf('--model') + 1]).toBe('m');
    expect(codex.launch(request(), settings()).argv).not.toContain('resume');
    expect(codex.launch(request(), settings()).argv).not.toContain('--model');
  });

  test('permissions', () => {
    const flags = (permissions: AgentSettings['permissions'], lacks?: string[]) =>
      codex.launch(request(), settings({ permissions }), lacks).argv.join(' ');
    expect(flags('full')).toContain(' --dangerously-bypass-approvals-and-sandbox ');
    expect(flags('edits')).toContain(' --sandbox workspace-write ');
    expect(flags('read')).toContain(' --sandbox read-only --ignore-rules ');
    expect(flags('read', ['--ignore-rules'])).not.toContain('--ignore-rules');
    for (const some of ['edits', 'read'] as const) expect(flags(some)).not.toContain('bypass');
  });

  test('a model server takes the place of the service; its key is hidden from the shell', () => {
    const { argv } = codex.launch(request({ endpoints: [{ ...endpoint, key_env: 'GPU_KEY' }] }), settings());
    expect(configured(argv, 'model_provider')).toEqual(['"towpath-gpu"']);
    const [provider] = configured(argv, 'model_providers.towpath-gpu');
    expect(provider).toContain('"base_url"="http://127.0.0.1:1/v1"');
    expect(provider).toContain('"env_key"="GPU_KEY"');
    const [hidden] = configured(argv, 'shell_environment_policy.exclude');
    for (const name of ['GPU_KEY', 'CODEX_API_KEY', 'OPENAI_API_KEY', 'RUST_LOG'])
      expect(hidden).toContain(`"${name}"`);
    for (const other of [
      { ...endpoint, api: 'openai' as const },
      { ...endpoint, base_url: undefined },
    ])
      expect(configured(codex.launch(request({ endpoints: [other] }), settings()).argv, 'model_provider')).toEqual([]);
  });

  test('MCP servers: secrets go by the environment', () => {
    const mcp = mcpServers({
      git: { command: 'git-mcp', args: ['-q', 'a "b"'], env: { TOKEN: 'secret-1' } },
      'the-web': { url: 'https://example.org/mcp', headers: { Authorization: 'Bearer secret-2' } },
      mine: null,
    });
    const { argv, env } = codex.launch(request({ mcp }), settings({ permissions: 'edits' }));
    expect(argv.join(' ')).not.toContain('secret');
    expect(env).toMatchObject({ TOKEN: 'secret-1', TOWPATH_MCP_the__web_0: 'Bearer secret-2' });
    expect(configured(argv, 'mcp_servers.git.command')).toEqual(['"git-mcp"']);
    expect(configured(argv, 'mcp_servers.git.args')).toEqual(['["-q","a \\"b\\""]']);
    expect(configured(argv, 'mcp_servers.git.env_vars')[0]).toMatch(/"TOWPATH_RUN".*"TOKEN"/);
    expect(configured(argv, 'mcp_servers.the-web.env_http_headers')).toEqual([
      '{"Authorization"="TOWPATH_MCP_the__web_0"}',
    ]);
    for (const name of ['git', 'the-web', 'mine'])
      expect(configured(argv, `mcp_servers.${name}.default_tools_approval_mode`)).toEqual(['"approve"']);
    const [hidden] = configured(argv, 'shell_environment_policy.exclude');
    for (const name of ['TOKEN', 'TOWPATH_MCP_the__web_0']) expect(hidden).toContain(`"${name}"`);
    const server = (env: Record<string, string>) => ({ command: 'x', args: [], env });
    const launch = (servers: object) => () => codex.launch(request({ mcp: mcpServers(servers) }), settings());
    expect(launch({ a: server({ CODEX_HOME: '/x' }) })).toThrow(
      'mcp: codex cannot give server a a CODEX_HOME of its own',
    );
    expect(launch({ a: server({ PATH: '/x' }) })).toThrow('cannot give server a a PATH of its own');
    const same = launch({ a: server({ PATH: process.env['PATH']!, TOWPATH_RUN: 'x' }) })();
    expect(configured(same.argv, 'mcp_servers.a.env_vars')[0]).toContain('"PATH"');
    expect(configured(same.argv, 'shell_environment_policy.exclude')[0]).not.toContain('"PATH"');
    expect(Object.keys(same.env)).toEqual(['RUST_LOG']);
    expect(launch({ a: server({ T: '1' }), b: server({ T: '2' }) })).toThrow('cannot give server b a T of its own');
    expect(launch({ a: server({ T: '1' }), b: server({ T: '1' }) })).not.toThrow();
  });

  test('the user has the last word on variables, and flags that belong to the adapter are refused', () => {
    expect(codex.launch(request(), settings({ env: { MINE: 'x', LET: true } })).env).toMatchObject({ MINE: 'x' });
    expect(codex.validateConfig(settings({ args: ['--search', '-c', 'x=1'] }))).toEqual([]);
    expect(codex.validateConfig(settings({ args: ['--sandbox=read-only', '--ephemeral'] }))).toHaveLength(2);
    expect(codex.validateConfig(settings({ env: { RUST_LOG: 'debug' } }))).toHaveLength(1);
  });

  test('values as TOML', () => {
    expect(toml('a "b" \\ \n ü')).toBe('"a \\"b\\" \\\\ \\n ü"');
    expect(toml({ a: [], 'b.c': { d: true, e: 1 } })).toBe('{"a"=[],"b.c"={"d"=true,"e"=1}}');
  });
});

describe('probe', () => {
  const NEEDS =
    '-c, --config --json -m, --model -s, --sandbox --skip-git-repo-check --dangerously-bypass-approvals-and-sandbox';
  function program(name: string, help: string): string {
    const path = join(dir, name);
    writeFileSync(path, `#!/bin/sh\ncase $1 in exec) echo "${help}";; *) echo "codex-cli 0.169.0";; esac\n`, {
      mode: 0o755,
    });
    return path;
  }

  test('not installed, too old, not logged in, ready', async () => {
    const env = { PATH: dir, HOME: dir };
    expect(await codex.probe(settings(), env)).toMatchObject({
      installed: false,
      why: expect.stringContaining('npm install'),
    });
    const old = await codex.probe(
      settings({ command: [program('old', `resume ${NEEDS.replace('--json ', '')}`)] }),
      env,
    );
    expect(old).toMatchObject({ installed: true, ready: false, lacks: ['--json'] });
    expect(old.why).toBe('codex 0.169.0 has no --json: update it');
    program('codex', `Commands: resume fork ${NEEDS}`);
    const out = await codex.probe(settings(), env);
    expect(out).toMatchObject({ version: '0.169.0', ready: false, lacks: ['--ignore-rules', '--output-schema'] });
    expect(out.why).toContain('codex login');
    expect(await codex.probe(settings(), { ...env, OPENAI_API_KEY: 'k' })).toMatchObject({ ready: false });
    expect(await codex.probe(settings({ env: { CODEX_API_KEY: 'k' } }), env)).toMatchObject({ ready: true, why: null });
    mkdirSync(join(dir, '.codex'));
    writeFileSync(join(dir, '.codex', 'auth.json'), '{"tokens":{}}');
    expect(await codex.probe(settings(), env)).toMatchObject({ ready: true });
    const own = join(dir, 'own');
    expect(await codex.probe(settings(), { ...env, CODEX_HOME: own })).toMatchObject({ ready: false });
    mkdirSync(own);
    writeFileSync(join(own, 'config.toml'), 'model = "x"\nmodel_provider = "azure"\n');
    expect(await codex.probe(settings(), { ...env, CODEX_HOME: own })).toMatchObject({ ready: true });
  });

  test('a flag is missing unless it stands there as a whole', () => {
    const help = 'Commands:\n  resume  go on\n  -m, --model <MODEL>\n  --json\n  [--tools=<x>]\n';
    expect(missingFlags(help, ['resume', '-m', '--model', '--json', '--tools'])).toEqual([]);
    expect(missingFlags(help, ['--mod', '--json-lines', 'sume'])).toEqual(['--mod', '--json-lines', 'sume']);
  });
});
