// opencode (`opencode run`): how it is found, started and read.
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { lookFor } from '../look.ts';
import type { Agent, AgentRequest, AgentSettings, Launch, Probe } from '../port.ts';
import { configOf, providerOf } from './config.ts';
import { OpencodeReader } from './stream.ts';

const QUIET = {
  OPENCODE_DISABLE_AUTOUPDATE: '1',
  OPENCODE_DISABLE_MODELS_FETCH: '1',
  OPENCODE_DISABLE_LSP_DOWNLOAD: '1',
  OPENCODE_DISABLE_SHARE: '1',
  OPENCODE_DISABLE_TERMINAL_TITLE: '1',
  // It asks the npm registry at its start: one that is out of reach was tried again for more than a minute, in silence.
  npm_config_fetch_retries: '0',
  // Servers and commands that the worktree names would be run; its rules are handed over as instructions.
  OPENCODE_DISABLE_PROJECT_CONFIG: '1',
};

/** Keys of the providers that opencode knows from the environment. */
const KEYS = [
  ...['ANTHROPIC_API_KEY', 'OPENAI_API_KEY', 'GEMINI_API_KEY', 'GOOGLE_GENERATIVE_AI_API_KEY', 'OPENROUTER_API_KEY'],
  ...['OPENCODE_API_KEY', 'XAI_API_KEY', 'MISTRAL_API_KEY', 'GROQ_API_KEY', 'DEEPSEEK_API_KEY', 'CEREBRAS_API_KEY'],
  ...['TOGETHER_API_KEY', 'FIREWORKS_API_KEY', 'MOONSHOT_API_KEY', 'ZHIPU_API_KEY', 'DASHSCOPE_API_KEY'],
  ...['AZURE_API_KEY', 'AWS_BEARER_TOKEN_BEDROCK', 'COHERE_API_KEY', 'PERPLEXITY_API_KEY'],
];

/** Flags that belong to the adapter: with another value the run could not be followed. */
const OWN_FLAGS = new Set([
  ...[
    '--format',
    '--session',
    '-s',
    '--continue',
    '-c',
    '--fork',
    '--attach',
    '--dir',
    '--command',
    '--interactive',
    '-i',
  ],
  ...['--share', '--title', '--auto', '--pure'],
]);

export const opencode: Agent = {
  stagger_ms: 500,
  name: 'opencode',
  env: [
    ...KEYS,
    ...[
      'XDG_CONFIG_HOME',
      'XDG_DATA_HOME',
      'XDG_CACHE_HOME',
      'XDG_STATE_HOME',
      'OPENCODE_CONFIG',
      'OPENCODE_CONFIG_DIR',
    ],
    ...['AZURE_RESOURCE_NAME', 'AWS_PROFILE', 'AWS_REGION', 'GOOGLE_CLOUD_PROJECT', 'GOOGLE_VERTEX_LOCATION'],
    ...['GOOGLE_APPLICATION_CREDENTIALS', 'HTTP_PROXY', 'HTTPS_PROXY', 'NO_PROXY', 'NODE_EXTRA_CA_CERTS'],
  ],
  models: {},

  getCapabilities: () => ({
    ...{ resume: true, chooses_session: false, tells_cost: true, structured_output: false, mcp: true },
    endpoints: ['openai', 'responses', 'anthropic'],
  }),

  // Its own tool for skills wants a ripgrep that it downloads, and reads the worktree's skills beside ours.
  opensSkills: () => true,

  validateConfig(settings) {
    const flags = settings.args.filter((arg) => OWN_FLAGS.has(arg.split('=')[0]!));
    const models = Object.values(settings.models).filter((model) => !model.includes('/'));
    return [
      ...flags.map((arg) => `agents.opencode.args: ${arg} is set by towpath: leave it out`),
      ...('OPENCODE_CONFIG_CONTENT' in settings.env
        ? ['agents.opencode.env: OPENCODE_CONFIG_CONTENT is set by towpath: use a file and OPENCODE_CONFIG']
        : []),
      ...models.map((model) => `agents.opencode.models: ${model} names no provider: write provider/model`),
    ];
  },

  probe,
  launch,
  reader: () => new OpencodeReader(),
};

function launch(request: AgentRequest, settings: AgentSettings, lacks: readonly string[] = []): Launch {
  const argv = [...settings.wrap, ...(settings.command ?? ['opencode'])];
  const add = (flag: string, ...values: string[]) => lacks.includes(flag) || argv.push(flag, ...values);
  argv.push('run', '--format', 'json');
  if (settings.permissions === 'full') add('--auto');
  const [endpoint] = request.endpoints;
  if (request.model)
    argv.push('--model', endpoint?.base_url ? `${providerOf(endpoint)}/${request.model}` : request.model);
  if (request.session) argv.push('--session', request.session);
  // With a title of ours the model is not asked for one.
  else add('--title', `towpath ${request.task_id}`);
  argv.push(...settings.args);
  const config = configOf(request, settings.permissions, role(request));
  const env: Record<string, string> = { ...QUIET, OPENCODE_CONFIG_CONTENT: JSON.stringify(config) };
  for (const [name, value] of Object.entries(settings.env))
    if (value === true) delete env[name];
    else env[name] = value;
  return { argv, stdin: request.prompt, env };
}

function role(request: AgentRequest): string | null {
  if (!request.system_prompt.trim()) return null;
  const path = join(request.run_dir, 'role.md');
  mkdirSync(request.run_dir, { recursive: true });
  writeFileSync(path, request.system_prompt, { mode: 0o600 });
  return path;
}

async function probe(settings: AgentSettings, outside: NodeJS.ProcessEnv): Promise<Probe> {
  const { found, env } = await lookFor(
    {
      ...{ name: 'opencode', install: 'npm install -g opencode-ai', env: QUIET, help: ['run', '--help'] },
      needs: ['--format', '--session', '--model'],
      likes: ['--auto', '--title'],
    },
    settings,
    outside,
  );
  if (!found.ready || hasProvider(env)) return found;
  const why = 'opencode has no provider: run "opencode auth login", or set the key of one, such as ANTHROPIC_API_KEY';
  return { ...found, ready: false, why };
}

/** A key, a login, or a provider that the user has described. Whether it still holds is known only by using it. */
function hasProvider(env: NodeJS.ProcessEnv): boolean {
  if (KEYS.some((name) => env[name])) return true;
  const home = env['HOME'] ?? homedir();
  const data = join(env['XDG_DATA_HOME'] ?? join(home, '.local', 'share'), 'opencode');
  if (/"type"\s*:/.test(text(join(data, 'auth.json')))) return true;
  const dir = env['OPENCODE_CONFIG_DIR'] ?? join(env['XDG_CONFIG_HOME'] ?? join(home, '.config'), 'opencode');
  const files = [
    env['OPENCODE_CONFIG'],
    ...['opencode.json', 'opencode.jsonc', 'config.json'].map((f) => join(dir, f)),
  ];
  return files.some((path) => path !== undefined && /^\s*"provider"\s*:/m.test(text(path)));
}

const text = (path: string): string => (existsSync(path) ? readFileSync(path, 'utf8') : '');
