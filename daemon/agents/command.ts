// Any executable of the user's as an agent: the request on stdin (JSON or the bare prompt), NDJSON events on stdout, an exit code.
import { accessSync, constants } from 'node:fs';
import { delimiter, join, resolve } from 'node:path';
import type { Agent, AgentRequest, AgentSettings } from './port.ts';
import { StreamReader } from './stream.ts';

/** A variable has a limit of 128 KiB in the kernel: what is longer than this is on stdin or in a file alone. */
export const VARIABLE_CHARS = 32_000;

const asked = (request: AgentRequest) => {
  const { task_id, attempt, prompt, system_prompt, model, worktree, session, timeout_s, mcp, skills } = request;
  return { version: 1, task_id, attempt, prompt, system_prompt, model, worktree, session, timeout_s, mcp, skills };
};

/** The request as `command` agents read it: version 1 of the contract. */
export function requestJson(request: AgentRequest): string {
  const { output_schema, endpoints } = request;
  const [endpoint] = endpoints;
  const at = endpoint
    ? { endpoint: { name: endpoint.name, base_url: endpoint.base_url ?? null, api: endpoint.api } }
    : {};
  return `${JSON.stringify({ ...asked(request), ...at, ...(output_schema ? { output_schema } : {}) })}\n`;
}

/** The same as variables: texts as they are, the rest as JSON. */
function requestVariables(request: AgentRequest): Record<string, string> {
  const all = Object.entries(asked(request)).map(([key, value]): [string, string] => [
    `TOWPATH_${key.toUpperCase()}`,
    typeof value === 'string' ? value.replaceAll('\0', '') : value === null ? '' : JSON.stringify(value),
  ]);
  return Object.fromEntries(all.filter(([, value]) => value.length <= VARIABLE_CHARS));
}

/** Where a program lies: a path as it is, a name on PATH; null when it cannot be run. */
export function findProgram(program: string, env: NodeJS.ProcessEnv): string | null {
  const candidates = program.includes('/')
    ? [program]
    : (env['PATH'] ?? '').split(delimiter).map((dir) => join(dir, program));
  for (const path of candidates)
    try {
      accessSync(path, constants.X_OK);
      return path;
    } catch {
      // Not there, or not to be run.
    }
  return null;
}

/** The agent that a name in `agents:` with a `command` stands for. */
export function commandAgent(name: string): Agent {
  return {
    name,
    env: [],
    models: {},
    getCapabilities: () => ({
      resume: true,
      chooses_session: false,
      tells_cost: true,
      structured_output: false,
      mcp: true,
      endpoints: ['openai', 'responses', 'anthropic'],
    }),
    validateConfig: (settings) =>
      !settings.command ? [`agents.${name}.command: name the program, e.g. [./mybot, --fast]`] : [],
    probe: async (settings, env) => {
      const path = settings.command ? findProgram(settings.command[0]!, env) : null;
      const why = path ? null : `${settings.command?.[0] ?? name} is not there or not executable`;
      return { installed: path !== null, path, version: null, ready: path !== null, why };
    },
    launch: (request, settings) => ({
      argv: [...settings.wrap, ...(settings.command ?? []), ...settings.args],
      stdin: settings.input === 'prompt' ? request.prompt : requestJson(request),
      env: requestVariables(request),
    }),
    reader: () => new StreamReader(),
  };
}

const below = (word: string, root: string) => (/^\.\.?\//.test(word) ? join(root, word) : word);

/**
 * The words of a program that the settings name. Its paths are below the workspace: a relative program with a slash, and any other
 * word that begins with ./ or ../ . A bare name is looked up on the PATH.
 */
export const resolveProgram = (words: readonly string[], root: string): string[] =>
  words.map((word, at) => (at === 0 && word.includes('/') ? resolve(root, word) : below(word, root)));

export const resolveCommand = (settings: AgentSettings, root: string): AgentSettings => ({
  ...settings,
  ...(settings.command ? { command: resolveProgram(settings.command, root) } : {}),
  wrap: resolveProgram(settings.wrap, root),
  args: settings.args.map((word) => below(word, root)),
});
