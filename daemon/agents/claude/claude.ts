// Claude Code (`claude -p`): how it is found, started and read.
import { existsSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { lookFor } from '../look.ts';
import type { Agent, AgentRequest, AgentSettings, Launch, Probe } from '../port.ts';
import { ClaudeReader } from './stream.ts';

/** Nothing but the model is contacted, and few retries: the daemon requeues by itself and keeps its own clocks. */
const QUIET = {
  CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC: '1',
  DISABLE_TELEMETRY: '1',
  DISABLE_AUTOUPDATER: '1',
  DISABLE_ERROR_REPORTING: '1',
  // A shell in the background would keep the process alive after its answer.
  CLAUDE_CODE_DISABLE_BACKGROUND_TASKS: '1',
  CLAUDE_CODE_MAX_RETRIES: '2',
};

const KEYS = ['ANTHROPIC_API_KEY', 'ANTHROPIC_AUTH_TOKEN', 'CLAUDE_CODE_OAUTH_TOKEN'] as const;
const CLOUDS = ['CLAUDE_CODE_USE_BEDROCK', 'CLAUDE_CODE_USE_VERTEX', 'CLAUDE_CODE_USE_FOUNDRY'] as const;

const SCHEMA_CHARS = 32_000;

/** Tools that lead the work out of the worktree or out of this run. */
const NEVER = 'EnterWorktree,CronCreate,ScheduleWakeup,Monitor,RemoteTrigger';

/** Flags that belong to the adapter: with another value the run could not be followed. */
const OWN_FLAGS = new Set([
  ...['--output-format', '--input-format', '--session-id', '--resume', '-r', '--continue', '-c', '--from-pr'],
  ...['--worktree', '-w', '--bg', '--background', '--cloud', '--teleport', '--no-session-persistence', '--tmux'],
]);

/** What it is asked about itself. Flags that its help does not show (`--max-turns`) are left out here. */
const PROGRAM = {
  ...{ name: 'claude', install: 'npm install -g @anthropic-ai/claude-code', env: QUIET, help: ['--help'] },
  needs: [
    ...['--print', '--output-format', '--verbose', '--session-id', '--resume', '--model', '--permission-mode'],
    ...['--dangerously-skip-permissions', '--allowedTools', '--tools', '--mcp-config', '--strict-mcp-config'],
    '--setting-sources',
  ],
  likes: ['--disallowedTools', '--max-budget-usd', '--json-schema', '--plugin-dir'],
};

export const claude: Agent = {
  stagger_ms: 250,
  // As measured of one that waits for a dead connection; see docs/decisions/2026-11-21-stuck.md.
  idle: { cpu_ms: 2, io_bytes: 15, switches: 13 },
  name: 'claude',
  env: [
    ...KEYS,
    ...CLOUDS,
    ...['ANTHROPIC_BASE_URL', 'ANTHROPIC_CUSTOM_HEADERS', 'CLAUDE_CONFIG_DIR', 'ANTHROPIC_VERTEX_PROJECT_ID'],
    ...['ANTHROPIC_BEDROCK_BASE_URL', 'ANTHROPIC_VERTEX_BASE_URL', 'ANTHROPIC_FOUNDRY_RESOURCE'],
    ...['ANTHROPIC_FOUNDRY_API_KEY', 'AWS_BEARER_TOKEN_BEDROCK', 'AWS_PROFILE', 'AWS_REGION', 'CLOUD_ML_REGION'],
    ...['ANTHROPIC_DEFAULT_OPUS_MODEL', 'ANTHROPIC_DEFAULT_SONNET_MODEL', 'ANTHROPIC_DEFAULT_HAIKU_MODEL'],
    ...['HTTP_PROXY', 'HTTPS_PROXY', 'NO_PROXY', 'NODE_EXTRA_CA_CERTS'],
  ],
  models: { junior: 'sonnet', senior: 'sonnet', principal: 'opus' },

  getCapabilities: () => ({
    resume: true,
    chooses_session: true,
    tells_cost: true,
    structured_output: true,
    mcp: true,
  }),

  opensSkills: (lacks) => !lacks.includes('--plugin-dir'),

  validateConfig(settings) {
    const own = settings.args.filter((arg) => OWN_FLAGS.has(arg.split('=')[0]!));
    return own.map((arg) => `agents.claude.args: ${arg} is set by towpath: leave it out`);
  },

  probe,
  launch,
  reader: () => new ClaudeReader(),
};

function launch(request: AgentRequest, settings: AgentSettings, lacks: readonly string[] = []): Launch {
  const argv = [...settings.wrap, ...(settings.command ?? ['claude'])];
  argv.push('-p', '--output-format', 'stream-json', '--verbose');
  if (request.model) argv.push('--model', request.model);
  argv.push(...(request.session ? ['--resume', request.session] : ['--session-id', request.new_session]));
  if (request.system_prompt.trim())
    argv.push('--append-system-prompt-file', write(request, 'system-prompt.md', request.system_prompt));
  // Those without a description are servers that the user's Claude has: they are only allowed.
  const mcpServers = Object.fromEntries(Object.entries(request.mcp).filter(([, server]) => server !== null));
  if (Object.keys(mcpServers).length > 0)
    argv.push('--mcp-config', write(request, 'mcp.json', JSON.stringify({ mcpServers })), '--strict-mcp-config');
  const skills = request.skills.length > 0 && !lacks.includes('--plugin-dir');
  if (skills) argv.push('--plugin-dir', plugin(request));
  argv.push(...permissionFlags(settings.permissions, toolsOf(request, skills), skills, lacks));
  if (request.max_turns !== null) argv.push('--max-turns', String(request.max_turns));
  if (request.budget_usd !== null && !lacks.includes('--max-budget-usd'))
    argv.push('--max-budget-usd', String(request.budget_usd));
  const schema = request.output_schema && JSON.stringify(request.output_schema);
  // A longer one would not fit into an argument: the prompt holds it as well.
  if (schema && schema.length <= SCHEMA_CHARS && !lacks.includes('--json-schema')) argv.push('--json-schema', schema);
  argv.push(...settings.args);
  return { argv, stdin: request.prompt, env: environment(settings) };
}

/** The skills of the run as a plugin of this run alone: its tool `Skill` then has them as `towpath:<name>`. */
function plugin(request: AgentRequest): string {
  const dir = join(request.run_dir, 'plugin');
  mkdirSync(join(dir, '.claude-plugin'), { recursive: true });
  const about = { name: 'towpath', version: '1.0.0', description: 'The skills of this task' };
  writeFileSync(join(dir, '.claude-plugin', 'plugin.json'), JSON.stringify(about), { mode: 0o600 });
  if (!existsSync(join(dir, 'skills'))) symlinkSync(join('..', 'skills'), join(dir, 'skills'));
  return dir;
}

/** What needs no leave: the servers of the run, and reading what its skills name. */
const toolsOf = ({ mcp, run_dir }: AgentRequest, skills: boolean): string[] => [
  ...Object.keys(mcp).map((name) => `mcp__${name}`),
  ...(skills ? ['skills', 'plugin/skills'].map((dir) => `Read(/${join(run_dir, dir)}/**)`) : []),
];

function permissionFlags(
  permissions: AgentSettings['permissions'],
  tools: string[],
  skills: boolean,
  lacks: readonly string[],
): string[] {
  const never = lacks.includes('--disallowedTools') ? [] : ['--disallowedTools', NEVER];
  const allowed = tools.length ? ['--allowedTools', tools.join(',')] : [];
  switch (permissions) {
    case 'full':
      return ['--dangerously-skip-permissions', ...never];
    case 'edits':
      return ['--permission-mode', 'acceptEdits', ...allowed, ...never];
    case 'read':
      // Shell commands that only read pass in this mode. What the worktree says of permissions must not widen it.
      return [
        '--permission-mode',
        'dontAsk',
        '--tools',
        `Bash,Read,Grep,Glob${skills ? ',Skill' : ''}`,
        ...allowed,
        '--setting-sources',
        'user',
      ];
  }
}

/** Our defaults, then the user's values; a name that the user lets through keeps the value it has outside. */
function environment(settings: AgentSettings): Record<string, string> {
  const env: Record<string, string> = { ...QUIET };
  // As root the CLI refuses to skip permissions unless it is told that this is a sandbox.
  if (settings.permissions === 'full' && process.getuid?.() === 0) env['IS_SANDBOX'] = '1';
  for (const [name, value] of Object.entries(settings.env))
    if (value === true) delete env[name];
    else env[name] = value;
  return env;
}

function write(request: AgentRequest, name: string, text: string): string {
  const path = join(request.run_dir, name);
  mkdirSync(request.run_dir, { recursive: true });
  writeFileSync(path, text, { mode: 0o600 });
  return path;
}

async function probe(settings: AgentSettings, outside: NodeJS.ProcessEnv): Promise<Probe> {
  const { found, env } = await lookFor(PROGRAM, settings, outside);
  if (!found.ready || (await loggedIn(env))) return found;
  return { ...found, ready: false, why: 'claude is not logged in: run "claude" and log in, or set ANTHROPIC_API_KEY' };
}

/** A key, a cloud's switch, or what a login leaves behind. Whether it still holds is known only by using it. */
async function loggedIn(env: NodeJS.ProcessEnv): Promise<boolean> {
  if ([...KEYS, ...CLOUDS].some((name) => env[name])) return true;
  const home = env['HOME'] ?? homedir();
  const own = env['CLAUDE_CONFIG_DIR'];
  const dir = own ?? join(home, '.claude');
  const [credentials, account, settings] = await Promise.all([
    readJson(join(dir, '.credentials.json')),
    readJson(join(own ?? home, '.claude.json')),
    readJson(join(dir, 'settings.json')),
  ]);
  const keys = settings['env'];
  const inSettings = typeof keys === 'object' && keys !== null && [...KEYS, ...CLOUDS].some((name) => name in keys);
  return Boolean(
    credentials['claudeAiOauth'] ||
      account['oauthAccount'] ||
      account['primaryApiKey'] ||
      settings['apiKeyHelper'] ||
      inSettings,
  );
}

async function readJson(path: string): Promise<Record<string, unknown>> {
  try {
    const value: unknown = JSON.parse(await readFile(path, 'utf8'));
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {};
  } catch {
    return {};
  }
}
