// Claude Code's adapter without the CLI: what it starts, and what it says of its own state.
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { claude } from '../../../daemon/agents/claude/claude.ts';
import { mcpServers } from '../../../daemon/agents/mcp.ts';
import type { AgentRequest, AgentSettings } from '../../../daemon/agents/port.ts';
import { blankRequest, SETTINGS } from '../../helpers/cli-run.ts';

let dir: string;
beforeAll(() => {
  dir = mkdtempSync(join(tmpdir(), 'towpath-claude-'));
});
afterAll(() => rmSync(dir, { recursive: true, force: true }));

const settings = (over: Partial<AgentSettings> = {}): AgentSettings => ({ ...SETTINGS, ...over });
const request = (over: Partial<AgentRequest> = {}): AgentRequest =>
  blankRequest({
    ...{ prompt: 'the prompt', system_prompt: 'the role', model: 'sonnet', new_session: 'a-uuid', worktree: dir },
    run_dir: join(dir, 'run'),
    ...over,
  });
const flagValue = (argv: string[], flag: string) => argv[argv.indexOf(flag) + 1];

describe('launch', () => {
  test('prompts never stand in argv, whatever they begin with', () => {
    for (const text of ['-x', '--help', '- a list', 'x'.repeat(300_000)]) {
      const { argv, stdin } = claude.launch(request({ prompt: text, system_prompt: `role ${text}` }), settings());
      expect(stdin).toBe(text);
      expect(argv.some((arg) => arg.includes(text))).toBe(false);
      const file = flagValue(argv, '--append-system-prompt-file')!;
      expect(readFileSync(file, 'utf8')).toBe(`role ${text}`);
      expect(statSync(file).mode & 0o777).toBe(0o600);
    }
  });

  test('a new session gets our id, an old one is resumed', () => {
    const fresh = claude.launch(request(), settings()).argv;
    expect(fresh.slice(0, 5)).toEqual(['claude', '-p', '--output-format', 'stream-json', '--verbose']);
    expect(flagValue(fresh, '--session-id')).toBe('a-uuid');
    const old = claude.launch(request({ session: 'old' }), settings()).argv;
    expect(flagValue(old, '--resume')).toBe('old');
    expect(old).not.toContain('--session-id');
  });

  test('wrap goes before the command, args after all else, limits and model as flags', () => {
    const { argv } = claude.launch(
      request({ max_turns: 7, budget_usd: 0.5, model: 'opus', system_prompt: ' ' }),
      settings({ wrap: ['bwrap', '--'], command: ['/opt/claude', '--bare'], args: ['--effort', 'low'] }),
    );
    expect(argv.slice(0, 5)).toEqual(['bwrap', '--', '/opt/claude', '--bare', '-p']);
    expect(argv.slice(-2)).toEqual(['--effort', 'low']);
    expect([flagValue(argv, '--max-turns'), flagValue(argv, '--max-budget-usd')]).toEqual(['7', '0.5']);
    expect(flagValue(argv, '--model')).toBe('opus');
    const lacks = ['--max-budget-usd', '--disallowedTools'];
    for (const flag of lacks) {
      expect(claude.launch(request({ budget_usd: 1 }), settings()).argv).toContain(flag);
      expect(claude.launch(request({ budget_usd: 1 }), settings(), lacks).argv).not.toContain(flag);
    }
    expect(argv).not.toContain('--append-system-prompt-file');
  });

  test('permissions', () => {
    const flags = (permissions: AgentSettings['permissions']) =>
      claude.launch(request(), settings({ permissions })).argv;
    expect(flags('full')).toContain('--dangerously-skip-permissions');
    expect(flagValue(flags('edits'), '--permission-mode')).toBe('acceptEdits');
    expect(flagValue(flags('read'), '--permission-mode')).toBe('dontAsk');
    expect(flagValue(flags('read'), '--tools')).not.toMatch(/Write|Edit/);
    for (const some of ['edits', 'read'] as const) expect(flags(some)).not.toContain('--dangerously-skip-permissions');
  });

  test('MCP servers go into a file, with or without their wrapper', () => {
    const servers = { git: { command: 'git-mcp', args: [], env: { TOKEN: 'secret' } } };
    for (const mcp of [servers, { mcpServers: servers }].map(mcpServers)) {
      const { argv } = claude.launch(request({ mcp }), settings({ permissions: 'edits' }));
      expect(JSON.parse(readFileSync(flagValue(argv, '--mcp-config')!, 'utf8'))).toEqual({ mcpServers: servers });
      expect(argv).toContain('--strict-mcp-config');
      expect(flagValue(argv, '--allowedTools')).toBe('mcp__git');
      expect(argv.join(' ')).not.toContain('secret');
    }
    for (const none of [null, {}, []])
      expect(claude.launch(request({ mcp: mcpServers(none) }), settings()).argv).not.toContain('--mcp-config');
    const named = claude.launch(request({ mcp: mcpServers(['mine']) }), settings({ permissions: 'edits' })).argv;
    expect([named.includes('--mcp-config'), flagValue(named, '--allowedTools')]).toEqual([false, 'mcp__mine']);
    expect(() => mcpServers('x')).toThrow('mcp: ');
  });

  test('the user has the last word on variables', () => {
    const env = claude.launch(
      request(),
      settings({ env: { CLAUDE_CODE_MAX_RETRIES: '7', DISABLE_TELEMETRY: true, MINE: 'x' } }),
    ).env;
    expect(env).toMatchObject({ CLAUDE_CODE_MAX_RETRIES: '7', MINE: 'x', DISABLE_AUTOUPDATER: '1' });
    expect(env).not.toHaveProperty('DISABLE_TELEMETRY');
    expect(env['IS_SANDBOX']).toBe(process.getuid?.() === 0 ? '1' : undefined);
  });

  test('flags that belong to the adapter are refused', () => {
    expect(claude.validateConfig(settings({ args: ['--effort', 'low'] }))).toEqual([]);
    expect(claude.validateConfig(settings({ args: ['--output-format=text', '-c'] }))).toHaveLength(2);
  });
});

describe('probe', () => {
  const script = (name: string, text: string) => {
    const path = join(dir, name);
    writeFileSync(path, `#!/bin/sh\n${text}\n`, { mode: 0o755 });
    return path;
  };

  test('not installed, broken, not logged in, ready', async () => {
    const env = { PATH: dir, HOME: dir };
    expect(await claude.probe(settings(), env)).toMatchObject({ installed: false, ready: false, path: null });
    const broken = await claude.probe(settings({ command: [script('broken', 'exit 3')] }), env);
    expect(broken).toMatchObject({ installed: true, ready: false, version: null });
    const flags =
      '-p, --print --output-format --verbose --session-id -r, --resume --model --permission-mode --dangerously-skip-permissions --allowedTools, --allowed-tools --tools --mcp-config --strict-mcp-config --setting-sources --disallowedTools';
    script('claude', `case $1 in --help) echo "${flags}";; *) echo "2.1.0 (Claude Code)";; esac`);
    const out = await claude.probe(settings(), env);
    expect(out).toMatchObject({ installed: true, version: '2.1.0', ready: false, path: join(dir, 'claude') });
    expect(out.why).toContain('ANTHROPIC_API_KEY');
    expect(out.lacks).toEqual(['--max-budget-usd', '--json-schema', '--plugin-dir']);
    // Without the flag the prompt holds the text of the skills.
    expect([claude.opensSkills!(out.lacks!), claude.opensSkills!([])]).toEqual([false, true]);
    const old = script('old', 'case $1 in --help) echo "--print --output-formats";; *) echo 1.0.3;; esac');
    expect(await claude.probe(settings({ command: [old], env: { ANTHROPIC_API_KEY: 'k' } }), env)).toMatchObject({
      ...{ installed: true, ready: false, lacks: ['--output-format'] },
      why: 'claude 1.0.3 has no --output-format: update it',
    });
    expect(await claude.probe(settings({ env: { ANTHROPIC_API_KEY: 'k' } }), env)).toMatchObject({ ready: true });
    writeFileSync(join(dir, '.claude.json'), JSON.stringify({ oauthAccount: { emailAddress: 'a@b' } }));
    expect(await claude.probe(settings(), env)).toMatchObject({ ready: true, why: null });
    expect(await claude.probe(settings(), { ...env, CLAUDE_CONFIG_DIR: join(dir, 'none') })).toMatchObject({
      ready: false,
    });
  });
});
