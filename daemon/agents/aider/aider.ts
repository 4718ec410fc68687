// Aider (`aider --message-file`): how it is found, started and read. Its facts are those of version 0.86.
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { access } from 'node:fs/promises';
import { homedir } from 'node:os';
import { dirname, join } from 'node:path';
import { TowpathError } from '../../errors.ts';
import { lookFor } from '../look.ts';
import type { Agent, AgentRequest, AgentSettings, Launch, Probe } from '../port.ts';
import { AiderReader, CHAT_FILE, END_OF_TASK } from './stream.ts';

const KEYS = [
  ...['OPENAI_API_KEY', 'ANTHROPIC_API_KEY', 'GEMINI_API_KEY', 'DEEPSEEK_API_KEY', 'OPENROUTER_API_KEY'],
  ...['GROQ_API_KEY', 'MISTRAL_API_KEY', 'XAI_API_KEY', 'COHERE_API_KEY', 'FIREWORKS_API_KEY', 'AZURE_API_KEY'],
  ...['OLLAMA_API_BASE', 'AWS_PROFILE', 'VERTEXAI_PROJECT'],
] as const;

const PLAIN = {
  // It breaks lines at the width of its terminal, and files have 80 columns.
  COLUMNS: '10000',
  // With every question answered by yes it would open the addresses in error messages.
  BROWSER: 'true',
};

/** Without these it waits for a person, commits, or leaves files in the worktree. */
const NEEDED: readonly string[] = [
  ...['--yes-always', '--no-stream', '--no-pretty', '--no-auto-commits', '--no-dirty-commits', '--no-gitignore'],
];
/** Quiet and private, and nothing run but the model. */
const LIKED: readonly string[] = [
  ...['--no-fancy-input', '--no-check-update', '--no-show-release-notes', '--no-detect-urls', '--disable-playwright'],
  ...['--no-suggest-shell-commands', '--analytics-disable', '--no-show-model-warnings', '--no-notifications'],
  ...['--no-watch-files', '--no-auto-lint', '--no-auto-test'],
];
/** What a configuration in the worktree says of these must not count: the command line wins over it. */
const PINNED: readonly [string, string][] = [
  ['--lint-cmd', 'true'],
  ['--test-cmd', 'true'],
  // A map of the repository would be kept in the worktree.
  ['--map-tokens', '0'],
];

/** Flags that belong to the adapter: with another value the run could not be followed. */
const OWN_FLAGS = new Set([
  ...['--message', '--msg', '-m', '--message-file', '-f', '--chat-history-file', '--input-history-file', '--env-file'],
  ...[
    '--restore-chat-history',
    '--no-restore-chat-history',
    '--stream',
    '--pretty',
    '--auto-commits',
    '--gui',
    '--browser',
  ],
  ...[
    '--dirty-commits',
    '--load',
    '--apply',
    '--commit',
    '--lint',
    '--test',
    '--exit',
    '--api-key',
    '--openai-api-key',
  ],
  ...['--anthropic-api-key', '--watch-files', '--copy-paste', '--upgrade', '--update', '--install-main-branch'],
]);

const PROGRAM = {
  ...{ name: 'aider', install: 'python -m pip install aider-install && aider-install', env: PLAIN, help: ['--help'] },
  needs: [
    ...['--message-file', '--chat-history-file', '--input-history-file', '--restore-chat-history', '--env-file'],
    ...['--model', ...NEEDED],
  ],
  likes: [...LIKED, ...PINNED.map(([flag]) => flag), '--load', '--dry-run'],
};

export const aider: Agent = {
  name: 'aider',
  stagger_ms: 250,
  env: [
    ...KEYS,
    'OPENAI_API_BASE',
    'AZURE_API_BASE',
    'AZURE_API_VERSION',
    'OLLAMA_API_KEY',
    'HTTP_PROXY',
    'HTTPS_PROXY',
    'NO_PROXY',
  ],
  // Which one it can use depends on whose key is there: it knows its own default.
  models: {},

  getCapabilities: () => ({
    ...{ resume: true, chooses_session: false, tells_session: true, tells_cost: true },
    ...{ structured_output: false, mcp: false, endpoints: ['openai'] },
  }),

  validateConfig(settings) {
    const own = settings.args.filter((arg) => OWN_FLAGS.has(arg.split('=')[0]!));
    return own.map((arg) => `agents.aider.args: ${arg} is set by towpath: leave it out`);
  },

  probe,
  launch,
  reader: () => new AiderReader(),
};

function launch(request: AgentRequest, settings: AgentSettings, lacks: readonly string[] = []): Launch {
  if (settings.permissions !== 'full') refuseConfigs(request.worktree);
  const endpoint = request.endpoints.find((one) => one.api === 'openai' && one.base_url);
  // Beside the runs of its task, so that each one goes on where the last one ended.
  const chat = join(dirname(request.run_dir), CHAT_FILE);
  const known = request.session !== null && existsSync(chat);
  if (!known) rmSync(chat, { force: true });
  const has = (flag: string) => !lacks.includes(flag);
  const argv = [...settings.wrap, ...(settings.command ?? ['aider']), ...NEEDED, ...LIKED.filter(has)];
  for (const [flag, value] of PINNED) if (has(flag)) argv.push(flag, value);
  if (has('--load')) argv.push('--load', write(request, 'aider.load', ''));
  argv.push('--env-file', write(request, 'aider.env', endpoint ? keyOf(endpoint.key_env) : ''));
  argv.push('--input-history-file', join(request.run_dir, 'aider.input'), '--chat-history-file', chat);
  if (known) argv.push('--restore-chat-history');
  if (settings.permissions === 'read') argv.push('--edit-format', 'ask', ...(has('--dry-run') ? ['--dry-run'] : []));
  if (endpoint) argv.push('--openai-api-base', endpoint.base_url!);
  if (request.model) argv.push('--model', endpoint ? `openai/${request.model}` : request.model);
  argv.push(...settings.args);
  argv.push('--message-file', write(request, 'aider.message', message(request, known)));
  const env: Record<string, string> = { ...PLAIN };
  for (const [name, value] of Object.entries(settings.env))
    if (value === true) delete env[name];
    else env[name] = value;
  return { argv, stdin: '', env };
}

/**
 * It takes no other system prompt, so the role speaks first. A text that begins with `/` or `!` would be a command of its own.
 * It prints the message before the answer, so the last line says where that ends.
 */
function message({ system_prompt, prompt, body, session }: AgentRequest, known: boolean): string {
  const role = known ? '' : system_prompt.trim();
  // The conversation that the prompt speaks of is gone.
  const task = session !== null && !known ? body.trim() : '';
  const text = [role, task, prompt].filter((part) => part !== '').join('\n\n---\n\n');
  return `${/^\s*[/!]/.test(text) ? 'The task:\n\n' : ''}${text}\n\n${END_OF_TASK}\n`;
}

/** Its env file is read last and may refer to variables: the key itself stands in no file. A server without keys gets one that is none. */
const keyOf = (name: string | undefined): string => `OPENAI_API_KEY=${name ? `\${${name}}` : 'none'}\n`;

/** It reads these wherever it is told not to, and they may name commands, addresses for keys, and variables such as PATH. */
const CONFIGS = ['.aider.conf.yml', '.aider.model.settings.yml'];
const TELLS = /^\s*(?:export\s+)?(?:AIDER_|PATH\b|LD_|PYTHON|GIT_|BROWSER\b|(?:\w+_)?(?:API_BASE|BASE_URL|PROXY)\b)/im;

function refuseConfigs(worktree: string): void {
  const dotenv = join(worktree, '.env');
  const found = [
    ...CONFIGS.filter((name) => existsSync(join(worktree, name))),
    ...(existsSync(dotenv) && TELLS.test(readFileSync(dotenv, 'utf8')) ? ['.env'] : []),
  ];
  if (found.length > 0)
    throw new TowpathError(
      'agent',
      `aider: ${found.join(', ')} in the worktree could make it run commands or send keys elsewhere`,
      'remove it, or set agents.aider.permissions: full if you trust the repository',
    );
}

function write(request: AgentRequest, name: string, text: string): string {
  const path = join(request.run_dir, name);
  mkdirSync(request.run_dir, { recursive: true });
  writeFileSync(path, text, { mode: 0o600 });
  return path;
}

async function probe(settings: AgentSettings, outside: NodeJS.ProcessEnv): Promise<Probe> {
  const { found, env } = await lookFor(PROGRAM, settings, outside);
  if (!found.ready || KEYS.some((name) => env[name])) return found;
  const home = env['HOME'] ?? homedir();
  const kept = ['.aider.conf.yml', '.aider/oauth-keys.env', '.env'].map((name) =>
    access(join(home, name)).then(
      () => true,
      () => false,
    ),
  );
  if ((await Promise.all(kept)).includes(true)) return found;
  return {
    ...found,
    ready: false,
    why: 'aider has no key: set OPENAI_API_KEY, ANTHROPIC_API_KEY or that of another provider',
  };
}
