// What a run of opencode is told on top of the user's own configuration: as JSON in its environment, so that nothing is left behind.
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { Json } from '../json.ts';
import type { AgentRequest, AgentSettings, Endpoint, McpServer } from '../port.ts';

/** The packages that come inside opencode, by wire format. */
const PACKAGES: Record<Endpoint['api'], string> = {
  openai: '@ai-sdk/openai-compatible',
  responses: '@ai-sdk/openai',
  anthropic: '@ai-sdk/anthropic',
};

/** The names under which the project may keep rules; the first that is there counts, as in opencode. */
const RULES = ['AGENTS.md', 'CLAUDE.md', 'CONTEXT.md'];

/** The name of the provider that an endpoint becomes. */
export const providerOf = (endpoint: Endpoint): string => `towpath-${endpoint.name}`;

/** `role` is the file with the role's text, if there is one. */
export function configOf(request: AgentRequest, permissions: AgentSettings['permissions'], role: string | null): Json {
  const rules = RULES.map((name) => join(request.worktree, name)).find((path) => existsSync(path));
  const instructions = [role, rules].filter((path) => path !== null && path !== undefined);
  const [endpoint] = request.endpoints;
  const servers = Object.entries(request.mcp);
  return {
    autoupdate: false,
    share: 'disabled',
    // Its own way back, kept outside of git: the daemon has the worktree in git.
    snapshot: false,
    instructions,
    plugin: [new URL('./tell.ts', import.meta.url).href],
    permission: {
      ...permissionsOf(permissions, request),
      ...Object.fromEntries(servers.map(([name]) => [`${name}_*`, 'allow'])),
    },
    mcp: Object.fromEntries(servers.map(([name, server]) => [name, serverOf(server)])),
    ...(request.max_turns === null ? {} : { agent: { build: { steps: request.max_turns } } }),
    ...(endpoint?.base_url ? { provider: { [providerOf(endpoint)]: provider(endpoint) } } : {}),
  };
}

// What would be asked is refused in a run without a person, and one refusal ends it: so there is nothing to ask. What is denied
// is not offered to the model at all.
const CALM = {
  doom_loop: 'allow',
  read: { '*': 'allow', '*.env': 'deny', '*.env.*': 'deny', '*.env.example': 'allow' },
};
const INSIDE = { external_directory: 'deny', bash: 'deny', webfetch: 'deny', websearch: 'deny' };
const PERMISSIONS: Record<AgentSettings['permissions'], Json> = {
  full: {},
  edits: { ...CALM, ...INSIDE, edit: 'allow' },
  read: { ...CALM, ...INSIDE, edit: 'deny' },
};

/** Of what lies outside, the run's copies of its skills may be read. The last rule that fits counts. */
function permissionsOf(permissions: AgentSettings['permissions'], { skills }: AgentRequest): Json {
  if (permissions === 'full' || skills.length === 0) return PERMISSIONS[permissions];
  const readable = Object.fromEntries(skills.map(({ dir }) => [`${dir}/*`, 'allow']));
  return { ...PERMISSIONS[permissions], external_directory: { '*': 'deny', ...readable } };
}

/** null: one of the user's own, which may be turned off for all but this. */
function serverOf(server: McpServer | null): Json {
  if (server === null) return { enabled: true };
  if ('url' in server) return { type: 'remote', url: server.url, headers: server.headers, oauth: false, enabled: true };
  return { type: 'local', command: [server.command, ...server.args], environment: server.env, enabled: true };
}

const provider = ({ name, api, base_url, key_env, models }: Endpoint): Json => ({
  npm: PACKAGES[api],
  name,
  options: { baseURL: base_url, apiKey: key_env ? `{env:${key_env}}` : 'none' },
  models: Object.fromEntries(models.map((model) => [model, {}])),
});
