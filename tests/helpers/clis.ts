// The real agent CLIs, as "npm ci" brings them: where each program lies, and what their tests share.
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const MODULES = fileURLToPath(new URL('../../node_modules/', import.meta.url));
const platform = `${process.platform}-${process.arch}`;

/** The first that is there: the package of the platform, since without install scripts what lies in `.bin` may be a stub. */
function first(...paths: string[]): string {
  const found = paths.map((path) => join(MODULES, path)).find((path) => existsSync(path));
  return found ?? join(MODULES, paths[0]!);
}

export const CLAUDE_VERSION = '2.1.329';

export const CODEX_VERSION = '0.169.0';
const CODEX_TRIPLES = ['x86_64', 'aarch64'].flatMap((cpu) => [`${cpu}-unknown-linux-musl`, `${cpu}-apple-darwin`]);

export const CLIS = {
  claude: first(`@anthropic-ai/claude-code-${platform}/claude`, `@anthropic-ai/claude-code-${platform}-musl/claude`),
  // The program itself: signals do not get past its launcher.
  codex: first(...CODEX_TRIPLES.map((triple) => `@openai/codex-${platform}/vendor/${triple}/bin/codex`)),
  gemini: first('.bin/gemini'),
  opencode: first(`opencode-${platform}/bin/opencode`),
} as const;

/** opencode asks the npm registry for packages at its start: nothing of a test leaves this machine. */
export const OPENCODE_OFFLINE = { npm_config_registry: 'http://127.0.0.1:9' } as const;

/** A claude session as the CLI keeps it; empty while there is none. */
export function storedSession(home: string, session: string): string {
  const projects = join(home, '.claude', 'projects');
  if (!existsSync(projects)) return '';
  const files = readdirSync(projects).map((dir) => join(projects, dir, `${session}.jsonl`));
  return files.map((file) => (existsSync(file) ? readFileSync(file, 'utf8') : '')).join('');
}

/** The least that an MCP server on stdio must answer. */
export const MCP_SERVER = `
import { createInterface } from 'node:readline';
const say = (id, result) => console.log(JSON.stringify({ jsonrpc: '2.0', id, result }));
const tool = { name: 'say', description: 'says it back', inputSchema: { type: 'object', properties: { text: { type: 'string' } } } };
for await (const line of createInterface({ input: process.stdin })) {
  const { id, method, params } = JSON.parse(line);
  if (method === 'initialize')
    say(id, { protocolVersion: params.protocolVersion, capabilities: { tools: {} }, serverInfo: { name: 'echo', version: '1' } });
  else if (method === 'tools/list') say(id, { tools: [tool] });
  else if (method === 'tools/call') say(id, { content: [{ type: 'text', text: 'echo: ' + params.arguments.text }] });
  else if (id !== undefined) say(id, {});
}
`;
