// The real Claude Code CLI for tests: installed once from npm into a cache outside the repository.
import { execFile } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { mkdir, rename, rm } from 'node:fs/promises';
import { homedir } from 'node:os';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';

export const CLAUDE_VERSION = '2.1.329';

export type ClaudeCli = { path: string; why: null } | { path: null; why: string };

const run = promisify(execFile);
const cache = join(
  process.env['XDG_CACHE_HOME'] || join(homedir(), '.cache'),
  'towpath-tests',
  `claude-code-${CLAUDE_VERSION}`,
);

/** Its path, or why it cannot be had. The first call downloads about 90 MB; later ones find it in the cache. */
export async function claudeCli(): Promise<ClaudeCli> {
  const cached = await works(cache);
  if (cached) return { path: cached, why: null };
  // Test files run side by side: each installs aside, the first rename wins.
  const aside = `${cache}.${process.pid}.${Date.now().toString(36)}`;
  try {
    await mkdir(aside, { recursive: true });
    const spec = `@anthropic-ai/claude-code@${CLAUDE_VERSION}`;
    const quiet = ['--ignore-scripts', '--no-audit', '--no-fund', '--fetch-retries=1', '--loglevel=error'];
    await run('npm', ['i', ...quiet, '--prefix', aside, spec], { cwd: aside, timeout: 180_000 });
    if (!(await works(aside))) return missing('it was installed but does not run on this machine');
    await mkdir(dirname(cache), { recursive: true });
    await rename(aside, cache).catch(() => undefined);
    const path = await works(cache);
    return path ? { path, why: null } : missing(`${cache} is in the way: remove it`);
  } catch (thrown) {
    return missing(`npm could not install it: ${String(thrown).replace(/\s+/g, ' ').slice(0, 300)}`);
  } finally {
    await rm(aside, { recursive: true, force: true });
  }
}

function missing(why: string): ClaudeCli {
  console.error(`\n*** NOT RUN: the tests with the real Claude Code CLI: ${why}\n`);
  return { path: null, why };
}

/** Without install scripts `bin/claude` is a stub: the program lies in the package of the platform. */
async function works(root: string): Promise<string | null> {
  for (const libc of ['', '-musl']) {
    const name = `claude-code-${process.platform}-${process.arch}${libc}`;
    const path = join(root, 'node_modules', '@anthropic-ai', name, 'claude');
    if (!existsSync(path)) continue;
    const answer = await run(path, ['--version'], { timeout: 20_000 }).catch(() => null);
    if (answer?.stdout.startsWith(CLAUDE_VERSION)) return path;
  }
  return null;
}

/** The session as the CLI keeps it; empty while there is none. */
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
