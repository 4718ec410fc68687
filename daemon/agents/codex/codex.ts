// Codex (`codex exec --json`): how it is found, started and read.
import { mkdirSync, writeFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { strictOf } from '../../task/strict.ts';
import { lookFor } from '../look.ts';
import type { Agent, AgentRequest, AgentSettings, Endpoint, Launch, Probe } from '../port.ts';
import { serversConfig } from './mcp.ts';
import { CodexReader } from './stream.ts';
import { toml } from './toml.ts';

/** Nothing but the model is contacted, and a lost connection ends: the daemon requeues by itself and keeps its own clocks. */
const QUIET = [
  ...['analytics.enabled=false', 'check_for_update_on_startup=false', 'feedback.enabled=false'],
  // By these keys, because `--disable` refuses features that a version does not know.
  ...['features.plugins=false', 'features.unbounded_connection_retries=false'],
];

/**
 * What its event stream leaves out and its own log has, a line each: the HTTP status and the usage of each model call, and how
 * long it will wait for the next.
 */
const LOG = [
  'error',
  'codex_otel.trace_safe[{http.response.status_code}]=info',
  'codex_otel.trace_safe[{input_token_count}]=info',
  'codex_core::responses_retry=warn',
].join(',');

const KEYS = ['CODEX_API_KEY', 'OPENAI_API_KEY'] as const;

/** Flags that belong to the adapter: with another value the run could not be followed, or would leave its worktree. */
const OWN_FLAGS = new Set([
  ...[
    '--json',
    '--ephemeral',
    '-C',
    '--cd',
    '--worktree',
    '--last',
    '--all',
    '--trust',
    '-',
    'resume',
    'fork',
    'review',
  ],
  ...['-s', '--sandbox', '--approve-for-me', '--dangerously-bypass-approvals-and-sandbox', '-m', '--model'],
]);

const PROGRAM = {
  ...{ name: 'codex', install: 'npm install -g @openai/codex', env: {}, help: ['exec', '--help'] },
  needs: [
    ...['--json', '--config', '--model', '--sandbox', '--dangerously-bypass-approvals-and-sandbox', 'resume'],
    '--skip-git-repo-check',
  ],
  likes: ['--ignore-rules', '--output-schema'],
};

export const codex: Agent = {
  name: 'codex',
  stagger_ms: 250,
  env: [
    ...KEYS,
    ...['CODEX_HOME', 'CODEX_ACCESS_TOKEN', 'CODEX_CA_CERTIFICATE', 'SSL_CERT_FILE', 'OPENAI_ORGANIZATION'],
    ...['OPENAI_PROJECT', 'HTTP_PROXY', 'HTTPS_PROXY', 'NO_PROXY'],
  ],
  // Which models an account may use depends on its plan: codex knows its own default.
  models: {},

  getCapabilities: () => ({
    ...{
      resume: true,
      chooses_session: false,
      tells_session: true,
      tells_cost: false,
      structured_output: true,
      mcp: true,
    },
    endpoints: ['responses'],
  }),

  // What it knows of its own skills is the same: a list of names and files, which it reads by its shell, in every sandbox.
  opensSkills: () => true,

  validateConfig(settings) {
    const own = settings.args.filter((arg) => OWN_FLAGS.has(arg.split('=')[0]!));
    const problems = own.map((arg) => `agents.codex.args: ${arg} is set by towpath: leave it out`);
    if ('RUST_LOG' in settings.env) problems.push('agents.codex.env: RUST_LOG is set by towpath: leave it out');
    return problems;
  },

  probe,
  launch,
  reader: () => new CodexReader(),
};

function launch(request: AgentRequest, settings: AgentSettings, lacks: readonly string[] = []): Launch {
  const servers = serversConfig(request.mcp);
  const env: Record<string, string> = { RUST_LOG: LOG, ...servers.env };
  const endpoint = request.endpoints.find((one) => one.api === 'responses' && one.base_url);
  const hidden = [...KEYS, 'CODEX_ACCESS_TOKEN', ...Object.keys(env), ...(endpoint?.key_env ? [endpoint.key_env] : [])];
  const config = [
    ...QUIET,
    // The model's own shell has no use for keys.
    `shell_environment_policy.exclude=${toml([...new Set(hidden)])}`,
    ...(endpoint ? provider(endpoint) : []),
    ...servers.config,
  ];
  const argv = [...settings.wrap, ...(settings.command ?? ['codex']), 'exec', '--json', '--skip-git-repo-check'];
  argv.push(...permissionFlags(settings.permissions, lacks));
  if (request.model) argv.push('--model', request.model);
  for (const one of config) argv.push('--config', one);
  // A server of one's own may refuse a schema, and the service refuses all but strict ones: the prompt holds it as well.
  const schema = endpoint || lacks.includes('--output-schema') ? null : request.output_schema;
  const strict = schema && strictOf(schema);
  if (strict) argv.push('--output-schema', write(request, 'schema.json', JSON.stringify(strict)));
  argv.push(...settings.args);
  if (request.session) argv.push('resume', request.session);
  argv.push('-');
  for (const [name, value] of Object.entries(settings.env)) if (value !== true) env[name] = value;
  return { argv, stdin: prompt(request), env };
}

function write(request: AgentRequest, name: string, text: string): string {
  const path = join(request.run_dir, name);
  mkdirSync(request.run_dir, { recursive: true });
  writeFileSync(path, text, { mode: 0o600 });
  return path;
}

/** There is no file from which codex would take a text in addition to its own, so the role speaks first in the conversation. */
function prompt({ session, system_prompt, prompt: asked }: AgentRequest): string {
  const role = system_prompt.trim();
  return session || !role ? asked : `${role}\n\n---\n\n${asked}`;
}

function permissionFlags(permissions: AgentSettings['permissions'], lacks: readonly string[]): string[] {
  switch (permissions) {
    case 'full':
      return ['--dangerously-bypass-approvals-and-sandbox'];
    case 'edits':
      return ['--sandbox', 'workspace-write'];
    case 'read':
      // Rules could let commands out of the sandbox.
      return ['--sandbox', 'read-only', ...(lacks.includes('--ignore-rules') ? [] : ['--ignore-rules'])];
  }
}

/** A model server of the settings in place of the service that codex is logged in to. */
function provider({ name, base_url = '', key_env }: Endpoint): string[] {
  const about = {
    ...{ name, base_url, wire_api: 'responses', request_max_retries: 1, stream_max_retries: 2 },
    supports_websockets: false,
    ...(key_env ? { env_key: key_env } : {}),
  };
  return [`model_provider=${toml(`towpath-${name}`)}`, `model_providers.towpath-${name}=${toml(about)}`];
}

async function probe(settings: AgentSettings, outside: NodeJS.ProcessEnv): Promise<Probe> {
  const { found, env } = await lookFor(PROGRAM, settings, outside);
  if (!found.ready || (await loggedIn(env))) return found;
  return { ...found, ready: false, why: 'codex is not logged in: run "codex login", or set CODEX_API_KEY' };
}

/**
 * A key, what a login leaves behind, or a provider of the user's own. Whether it still holds is known only by using it. An
 * OPENAI_API_KEY alone is not enough: codex does not send it unless such a provider names it.
 */
async function loggedIn(env: NodeJS.ProcessEnv): Promise<boolean> {
  if (env['CODEX_API_KEY'] || env['CODEX_ACCESS_TOKEN']) return true;
  const home = env['CODEX_HOME'] ?? join(env['HOME'] ?? homedir(), '.codex');
  const [login, config] = await Promise.all(
    ['auth.json', 'config.toml'].map((name) => readFile(join(home, name), 'utf8').catch(() => '')),
  );
  return login!.length > 2 || /^\s*model_provider\s*=/m.test(config!);
}
