// The api agent: a tool loop of our own for any model server, run as a child program like every other agent.
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { TowpathError } from '../../errors.ts';
import type { Agent, AgentRequest, AgentSettings, Endpoint, Launch, McpServer, Probe } from '../port.ts';
import { StreamReader } from '../stream.ts';
import { type Job, PUBLIC_KEYS, type Server } from './job.ts';

const PROGRAM = fileURLToPath(new URL('./program.ts', import.meta.url));
const BASES = ['ANTHROPIC_BASE_URL', 'OPENAI_BASE_URL'] as const;
const APIS = ['openai', 'anthropic'] as const;

export const api: Agent = {
  name: 'api',
  env: [...PUBLIC_KEYS, ...BASES, 'NODE_EXTRA_CA_CERTS'],
  models: {},
  // As measured of one that waits for a model server that is silent.
  idle: { cpu_ms: 2, io_bytes: 15, switches: 8 },

  getCapabilities: () => ({
    resume: true,
    chooses_session: true,
    tells_cost: false,
    structured_output: true,
    mcp: true,
    endpoints: APIS,
  }),

  opensSkills: () => true,

  validateConfig(settings) {
    const own = (['command', 'args'] as const).filter((key) => (settings[key] ?? []).length > 0);
    return own.map((key) => `agents.api.${key}: api is a part of towpath and takes none: leave it out`);
  },

  probe: async (settings, env, endpoints = []): Promise<Probe> => {
    const set = { ...env, ...settings.env };
    const ready = endpoints.some(usable) || [...PUBLIC_KEYS, 'OPENAI_BASE_URL'].some((name) => set[name]);
    const why = ready ? null : 'no model server: name one in endpoints:, or set OPENAI_API_KEY or ANTHROPIC_API_KEY';
    return { installed: true, path: process.execPath, version: null, ready, why };
  },

  launch,
  reader: () => new StreamReader(),
};

const usable = ({ base_url, api: speaks }: Endpoint): boolean =>
  base_url !== undefined && APIS.some((known) => known === speaks);

function launch(request: AgentRequest, settings: AgentSettings): Launch {
  const session = request.session ?? request.new_session;
  const job: Job = {
    prompt: request.prompt,
    system_prompt: request.system_prompt,
    worktree: request.worktree,
    model: request.model ?? '',
    permissions: settings.permissions,
    max_turns: request.max_turns,
    mcp: mcpOf(request),
    skills: request.skills,
    output_schema: request.output_schema,
    servers: serversOf(request),
    session,
    resume: request.session !== null,
    // Beside the runs of the task, since later ones go on with it. The id may come from a task file: no path is made of any other.
    conversation: join(
      dirname(request.run_dir),
      `session-${/^[\w-]{1,64}$/.test(session) ? session : 'unknown'}.jsonl`,
    ),
  };
  return { argv: [...settings.wrap, process.execPath, PROGRAM], stdin: `${JSON.stringify(job)}\n`, env: {} };
}

/** The model servers to ask, in order. Throws `agent` when none serves the model. */
function serversOf({ model, endpoints }: AgentRequest): Server[] {
  const found = endpoints.filter(usable).map(
    ({ name, api: speaks, base_url, key_env }): Server => ({
      ...{ name, api: speaks === 'anthropic' ? 'anthropic' : 'openai', model: model ?? '', base_url: base_url! },
      ...(key_env ? { key_env } : {}),
    }),
  );
  if (found.length > 0 && model !== null) return found;
  const [, service, rest] = /^(anthropic|openai)\/(.+)$/.exec(model ?? '') ?? [];
  if (service === 'anthropic')
    return [{ name: service, api: service, model: rest!, base_env: BASES[0], key_env: PUBLIC_KEYS[0] }];
  if (service === 'openai')
    return [{ name: service, api: service, model: rest!, base_env: BASES[1], key_env: PUBLIC_KEYS[1] }];
  const which = model === null ? 'api needs a model, and none is named' : `no endpoint serves model ${model} for api`;
  throw new TowpathError(
    'agent',
    which,
    model === null
      ? 'write "model:" into the task or the role, or set agents.api.models'
      : 'add it to endpoints: in towpath.yaml (openai or anthropic form), or write anthropic/… or openai/…',
  );
}

function mcpOf({ mcp }: AgentRequest): Record<string, McpServer> {
  const all = Object.entries(mcp).map(([name, server]): [string, McpServer] => {
    if (server) return [name, server];
    throw new TowpathError('agent', `mcp: api knows no server named ${name}`, `write "mcp: {${name}: {command: …}}"`);
  });
  return Object.fromEntries(all);
}
