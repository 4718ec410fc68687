// Gemini CLI (`gemini -o stream-json`): how it is found, started and read.
import { existsSync, readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { messageOf } from '../../errors.ts';
import { lookFor } from '../look.ts';
import type { Agent, AgentRequest, AgentSettings, Launch, Probe } from '../port.ts';
import { chosenLogin, makeHome } from './home.ts';
import { GeminiReader } from './stream.ts';

const QUIET = {
  // One process instead of two, which signals reach.
  GEMINI_CLI_NO_RELAUNCH: '1',
};

/** A `.gemini/.env` in the worktree is read whatever is set, but never over a value: these would lead keys elsewhere, or run code. */
const PINNED = Object.fromEntries(
  [
    ...['GOOGLE_GEMINI_BASE_URL', 'GOOGLE_VERTEX_BASE_URL', 'HTTP_PROXY', 'HTTPS_PROXY', 'http_proxy', 'https_proxy'],
    ...['NODE_OPTIONS', 'NODE_TLS_REJECT_UNAUTHORIZED', 'LD_PRELOAD', 'BASH_ENV'],
  ].map((name) => [name, '']),
);

const APPROVAL = { full: 'yolo', edits: 'auto_edit', read: 'default' } as const;

/** Flags that belong to the adapter: with another value the run could not be followed. */
const OWN_FLAGS = new Set([
  ...['--output-format', '-o', '--session-id', '--resume', '-r', '--session-file', '--prompt', '-p', '--skip-trust'],
  ...[
    '--prompt-interactive',
    '-i',
    '--worktree',
    '-w',
    '--acp',
    '--experimental-acp',
    '--approval-mode',
    '-y',
    '--yolo',
  ],
]);
/** Variables that do. */
const OWN_NAMES = ['GEMINI_CLI_HOME', 'GEMINI_CLI_NO_RELAUNCH', 'GEMINI_CLI_TRUST_WORKSPACE'];

export const gemini: Agent = {
  stagger_ms: 250,
  name: 'gemini',
  env: [
    ...['GEMINI_API_KEY', 'GOOGLE_API_KEY', 'GOOGLE_GENAI_USE_VERTEXAI', 'GOOGLE_GENAI_USE_GCA'],
    ...['GOOGLE_CLOUD_PROJECT', 'GOOGLE_CLOUD_LOCATION', 'GOOGLE_APPLICATION_CREDENTIALS', 'CODE_ASSIST_ENDPOINT'],
    ...['GOOGLE_GEMINI_BASE_URL', 'GOOGLE_VERTEX_BASE_URL'],
    ...['HTTP_PROXY', 'HTTPS_PROXY', 'NO_PROXY', 'NODE_EXTRA_CA_CERTS'],
  ],
  models: { junior: 'gemini-2.5-flash', senior: 'gemini-2.5-pro', principal: 'gemini-2.5-pro' },

  getCapabilities: () => ({
    ...{ resume: true, chooses_session: true, tells_cost: false, structured_output: false, mcp: true },
  }),

  // Its own tool for skills is refused without a person unless all is allowed, and the worktree's skills win over ours by their names.
  opensSkills: (lacks) => !lacks.includes('--include-directories'),

  validateConfig(settings) {
    const flags = settings.args.filter((arg) => OWN_FLAGS.has(arg.split('=')[0]!));
    const names = OWN_NAMES.filter((name) => name in settings.env);
    return [
      ...flags.map((arg) => `agents.gemini.args: ${arg} is set by towpath: leave it out`),
      ...names.map((name) => `agents.gemini.env: ${name} is set by towpath: leave it out`),
    ];
  },

  probe,
  launch,
  reader: () => new GeminiReader(),
};

function launch(request: AgentRequest, settings: AgentSettings, lacks: readonly string[] = []): Launch {
  const argv = [...settings.wrap, ...(settings.command ?? ['gemini'])];
  argv.push('--output-format', 'stream-json', '--approval-mode', APPROVAL[settings.permissions]);
  // The settings of the worktree are looked at before this flag counts, and by the variable below they are not trusted then. All
  // that comes later finds a trusted folder, as it must be for tools, servers and GEMINI.md.
  const skips = !lacks.includes('--skip-trust');
  if (skips) argv.push('--skip-trust');
  if (request.model) argv.push('--model', request.model);
  argv.push(...(request.session ? ['--resume', request.session] : ['--session-id', request.new_session]));
  // One folder, since it takes five at the most.
  if (request.skills.length > 0 && !lacks.includes('--include-directories'))
    argv.push('--include-directories', join(request.run_dir, 'skills'));
  argv.push(...settings.args);
  const home = homeOf(settings, process.env);
  const own = makeHome(request, home, defaultLogin(settings, process.env));
  const env: Record<string, string> = {
    ...{ ...PINNED, ...QUIET },
    ...{ GEMINI_CLI_TRUST_WORKSPACE: String(!skips), GEMINI_CLI_HOME: own },
  };
  for (const [name, value] of Object.entries(settings.env))
    if (value === true) delete env[name];
    else env[name] = value;
  return { argv, stdin: request.prompt, env };
}

const homeOf = ({ env }: AgentSettings, outside: NodeJS.ProcessEnv): string => {
  const own = env['HOME'];
  return (typeof own === 'string' ? own : (outside['GEMINI_CLI_HOME'] ?? outside['HOME'])) ?? homedir();
};

/** A variable as the run will see it. */
const seen = ({ env }: AgentSettings, outside: NodeJS.ProcessEnv, name: string): string | undefined => {
  const own = env[name];
  return typeof own === 'string' ? own : outside[name];
};

/** With a base URL in the environment the CLI would take a key for none at all unless it is told the way. */
function defaultLogin(settings: AgentSettings, outside: NodeJS.ProcessEnv): string | null {
  const on = (name: string) => seen(settings, outside, name) === 'true';
  return on('GOOGLE_GENAI_USE_VERTEXAI') || on('GOOGLE_GENAI_USE_GCA') ? null : 'gemini-api-key';
}

async function probe(settings: AgentSettings, outside: NodeJS.ProcessEnv): Promise<Probe> {
  const { found, env } = await lookFor(
    {
      ...{ name: 'gemini', install: 'npm install -g @google/gemini-cli', env: QUIET, help: ['--help'] },
      needs: ['--output-format', '--approval-mode', '--session-id', '--resume', '--model'],
      likes: ['--skip-trust', '--include-directories'],
    },
    settings,
    outside,
  );
  const why = found.ready ? notReady(settings, env) : found.why;
  return { ...found, ready: why === null, why };
}

/** A key, or what a login leaves behind. Whether it still holds is known only by using it. */
function notReady(settings: AgentSettings, env: NodeJS.ProcessEnv): string | null {
  const home = homeOf(settings, env);
  let login: string | null;
  try {
    login = chosenLogin(home) ?? defaultLogin(settings, env);
  } catch (thrown) {
    return messageOf(thrown);
  }
  const has = (name: string) => Boolean(seen(settings, env, name));
  if (login === 'gemini-api-key' || login === 'gateway')
    return has('GEMINI_API_KEY') || keyInFile(home)
      ? null
      : 'gemini has no key: set GEMINI_API_KEY, or run "gemini" and log in';
  if (login === 'oauth-personal' || seen(settings, env, 'GOOGLE_GENAI_USE_GCA') === 'true')
    return existsSync(join(home, '.gemini', 'oauth_creds.json'))
      ? null
      : 'gemini is not logged in: run "gemini" and log in, or set GEMINI_API_KEY';
  // Vertex AI and the cloud's own ways.
  return has('GOOGLE_API_KEY') ||
    (has('GOOGLE_CLOUD_PROJECT') && has('GOOGLE_CLOUD_LOCATION')) ||
    login === 'compute-default-credentials'
    ? null
    : 'gemini has no way to Vertex AI: set GOOGLE_API_KEY, or GOOGLE_CLOUD_PROJECT and GOOGLE_CLOUD_LOCATION';
}

/** The CLI's own place for a key. */
function keyInFile(home: string): boolean {
  const path = join(home, '.gemini', '.env');
  return existsSync(path) && /^\s*(?:export\s+)?GEMINI_API_KEY\s*=\s*\S/m.test(readFileSync(path, 'utf8'));
}
