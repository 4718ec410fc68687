// The home that a run of Gemini CLI gets: the user's own, seen through links, but for the settings, which are the user's with ours on top.
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { TowpathError } from '../../errors.ts';
import { isJson, type Json, str } from '../json.ts';
import type { AgentRequest } from '../port.ts';

/** The file that the role's text stands in; the CLI reads it as it reads the user's GEMINI.md. */
const ROLE_FILE = 'TOWPATH-ROLE.md';
/** Written by the CLI: they must lie in the user's home, or a session could not be found again. */
const SHARED = ['tmp', 'history'];

/**
 * Settings are read from files alone, and the file that overrides all others must belong to root. So the run is given a home of
 * its own (GEMINI_CLI_HOME). `home` is where the user's `.gemini` lies; `login` is the way to log in where the user chose none.
 */
export function makeHome(request: AgentRequest, home: string, login: string | null): string {
  const own = join(request.run_dir, 'home');
  const [theirs, ours] = [join(home, '.gemini'), join(own, '.gemini')];
  rmSync(own, { recursive: true, force: true });
  mkdirSync(ours, { recursive: true, mode: 0o700 });
  for (const name of SHARED) mkdirSync(join(theirs, name), { recursive: true, mode: 0o700 });
  for (const name of readdirSync(theirs))
    if (name !== 'settings.json' && !name.endsWith('.lock')) symlinkSync(join(theirs, name), join(ours, name));
  if (existsSync(join(home, '.agents'))) symlinkSync(join(home, '.agents'), join(own, '.agents'));
  const write = (name: string, text: string) => writeFileSync(join(ours, name), text, { mode: 0o600 });
  if (request.system_prompt.trim()) write(ROLE_FILE, request.system_prompt);
  write('settings.json', JSON.stringify(settingsOf(request, readSettings(join(theirs, 'settings.json')), login)));
  return own;
}

function settingsOf(request: AgentRequest, user: Json, login: string | null): Json {
  const context = section(user, 'context');
  const names = [context['fileName'] ?? 'GEMINI.md'].flat().filter((name) => typeof name === 'string');
  const known = section(user, 'mcpServers');
  const asked = Object.entries(request.mcp).flatMap(([name, server]) => {
    // Those without a description are the user's own. An unknown one is left out: the CLI has it from an extension, or not at all.
    const described = server === null ? known[name] : 'url' in server ? remote(server) : server;
    return isJson(described) ? [[name, { ...described, trust: true }] as const] : [];
  });
  const auth = section(section(user, 'security'), 'auth');
  return {
    ...user,
    // Plan mode, once entered, may write plans into the worktree and cannot be left by a person.
    general: { maxAttempts: 2, ...section(user, 'general'), ...QUIET, plan: { enabled: false } },
    privacy: { usageStatisticsEnabled: false },
    telemetry: { enabled: false },
    model: {
      ...section(user, 'model'),
      ...(request.max_turns === null ? {} : { maxSessionTurns: request.max_turns }),
    },
    // A `.env` of the worktree is the project's, not ours.
    advanced: { ...section(user, 'advanced'), ignoreLocalEnv: true },
    context: { ...context, fileName: [...names, ROLE_FILE] },
    security: {
      ...section(user, 'security'),
      auth: { ...(login ? { selectedType: login } : {}), ...auth },
    },
    ...(Object.keys(request.mcp).length > 0
      ? {
          mcpServers: { ...known, ...Object.fromEntries(asked) },
          mcp: { ...section(user, 'mcp'), allowed: Object.keys(request.mcp) },
        }
      : {}),
  };
}

const QUIET = { enableAutoUpdate: false, enableAutoUpdateNotification: false, enableNotifications: false };

const remote = ({ url, headers }: { url: string; headers: Record<string, string> }): Json => ({
  // Servers with events alone end their address so, by custom.
  ...(url.endsWith('/sse') ? { url } : { httpUrl: url }),
  headers,
});

const section = (settings: Json, name: string): Json => (isJson(settings[name]) ? settings[name] : {});

/** The way to log in that the user chose. */
export const chosenLogin = (home: string): string | null =>
  str(section(section(readSettings(join(home, '.gemini', 'settings.json')), 'security'), 'auth')['selectedType']);

/** JSON in which comments are allowed. */
function readSettings(path: string): Json {
  if (!existsSync(path)) return {};
  const text = readFileSync(path, 'utf8').replace(/("(?:\\.|[^"\\])*")|\/\/[^\n]*|\/\*[\s\S]*?\*\//g, '$1');
  try {
    const settings: unknown = JSON.parse(text);
    if (isJson(settings)) return settings;
  } catch {
    // Said below.
  }
  throw new TowpathError('agent', `${path} is no JSON object`, 'mend it: gemini would refuse it as well');
}
