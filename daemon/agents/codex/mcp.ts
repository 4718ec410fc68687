// MCP servers in codex' own form. Their secrets go by the environment: arguments can be read by every user of the machine.
import { TowpathError } from '../../errors.ts';
import type { McpServer, McpServers } from '../port.ts';
import { toml } from './toml.ts';

/** What a server may know of the run; the mark is for its end. */
const GIVEN = [
  ...['TOWPATH_RUN', 'TOWPATH_TASK_ID', 'TOWPATH_ATTEMPT', 'TOWPATH_WORKSPACE', 'TOWPATH_WORKTREE', 'TOWPATH_ROLE'],
  ...['TOWPATH_AGENT', 'TOWPATH_MODEL'],
];
/** Codex reads these itself, or they say where programs and homes are: a server's own value would change codex. */
const TAKEN = /^(RUST_LOG|LD_.*|CODEX_.*|OPENAI_API_KEY|TOWPATH_.*)$/;
/** Every program of a run has these from the daemon: the same value again is none of its own. */
const COMMON = /^(PATH|HOME|USER|LOGNAME|SHELL|LANG|LC_.*|TERM|TMPDIR|TZ)$/;

/** The settings of all, and the variables that codex must have for them. Throws `agent` when one cannot be passed. */
export function serversConfig(servers: McpServers): { config: string[]; env: Record<string, string> } {
  const all: { config: string[]; env: Record<string, string> } = { config: [], env: {} };
  for (const [name, server] of Object.entries(servers)) {
    const { config, env } = serverConfig(name, server);
    for (const [variable, value] of Object.entries(env))
      if ((all.env[variable] ?? value) !== value) throw cannotGive(name, variable);
    all.config.push(...config);
    Object.assign(all.env, env);
  }
  return all;
}

function serverConfig(name: string, server: McpServer | null): { config: string[]; env: Record<string, string> } {
  const at = (key: string, value: Parameters<typeof toml>[0]) => `mcp_servers.${name}.${key}=${toml(value)}`;
  // Named by a person, so allowed: codex asks for each call otherwise, and nobody is there to answer.
  const allowed = at('default_tools_approval_mode', 'approve');
  if (server === null) return { config: [allowed], env: {} };
  if ('url' in server) {
    // Shells drop variables whose names have a dash.
    const start = `TOWPATH_MCP_${name.replaceAll('-', '__')}`;
    const names = Object.keys(server.headers).map((header, n) => [header, `${start}_${n}`] as const);
    const env = Object.fromEntries(names.map(([header, variable]) => [variable, server.headers[header]!]));
    return { config: [at('url', server.url), at('env_http_headers', Object.fromEntries(names)), allowed], env };
  }
  const common = Object.keys(server.env).filter((variable) => COMMON.test(variable));
  const own = Object.entries(server.env).filter(([variable]) => ![...GIVEN, ...common].includes(variable));
  for (const variable of common) if (server.env[variable] !== process.env[variable]) throw cannotGive(name, variable);
  for (const [variable] of own) if (TAKEN.test(variable)) throw cannotGive(name, variable);
  return {
    config: [
      at('command', server.command),
      at('args', server.args),
      at('env_vars', [...GIVEN, ...common, ...own.map(([variable]) => variable)]),
      allowed,
    ],
    env: Object.fromEntries(own),
  };
}

const cannotGive = (name: string, variable: string): TowpathError =>
  new TowpathError(
    'agent',
    `mcp: codex cannot give server ${name} a ${variable} of its own`,
    `take ${variable} out of its env, or start it by a script that sets it`,
  );
