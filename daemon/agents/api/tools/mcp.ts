// The tools of MCP servers: each server is started or called, asked what it has, and its tools are named mcp__server__tool.
import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { StdioClientTransport } from '@modelcontextprotocol/sdk/client/stdio.js';
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js';
import type { Transport } from '@modelcontextprotocol/sdk/shared/transport.js';
import { messageOf } from '../../../errors.ts';
import { isJson, str } from '../../json.ts';
import type { McpServer } from '../../port.ts';
import { Fault } from '../fault.ts';
import type { Tool } from './tool.ts';

const START_MS = 60_000;
/** A call without an answer, or word of its progress, for so long has failed, ms. */
const CALL_MS = 600_000;
/** What is kept of an answer, characters. */
const ANSWER = 60_000;
/** As long as the strictest of the model servers allows. */
const NAME = 64;

export interface Servers {
  tools: Tool[];
  close(): Promise<void>;
}

/** Connects to all. Throws a `Fault` that names the one that cannot be had: without its tools the work would be another. */
export async function openServers(
  servers: Record<string, McpServer>,
  how: { cwd: string; env: Record<string, string> },
): Promise<Servers> {
  const clients: Client[] = [];
  const close = async () => void (await Promise.allSettled(clients.map((client) => client.close())));
  const tools: Tool[] = [];
  for (const [name, server] of Object.entries(servers)) {
    const client = new Client({ name: 'towpath', version: '1' });
    clients.push(client);
    try {
      // Its own types say that a session may be undefined where the interface says that it may be left out.
      await client.connect(transportOf(server, how) as Transport, { timeout: START_MS });
      tools.push(...(await toolsOf(name, client)));
    } catch (thrown) {
      await close();
      // An address may answer again later; a program that does not start will not.
      throw new Fault('url' in server ? 'transient' : 'failed', `MCP server ${name}: ${messageOf(thrown)}`);
    }
  }
  return { tools, close };
}

function transportOf(server: McpServer, { cwd, env }: { cwd: string; env: Record<string, string> }) {
  if ('url' in server)
    return new StreamableHTTPClientTransport(new URL(server.url), { requestInit: { headers: server.headers } });
  const { command, args } = server;
  return new StdioClientTransport({ command, args, cwd, env: { ...env, ...server.env }, stderr: 'inherit' });
}

async function toolsOf(server: string, client: Client): Promise<Tool[]> {
  const tools: Tool[] = [];
  for (let cursor: string | undefined; ; ) {
    const page = await client.listTools(cursor ? { cursor } : {}, { timeout: START_MS });
    for (const { name, description, inputSchema } of page.tools)
      tools.push({
        name: `mcp__${server}__${name}`.replace(/[^A-Za-z0-9_-]/g, '_').slice(0, NAME),
        description: description ?? name,
        schema: inputSchema,
        run: (input) => call(client, name, input),
      });
    cursor = page.nextCursor;
    if (!cursor) return tools;
  }
}

async function call(client: Client, name: string, input: unknown): ReturnType<Tool['run']> {
  try {
    const params = { name, arguments: isJson(input) ? input : {} };
    const done = await client.callTool(params, undefined, { timeout: CALL_MS, resetTimeoutOnProgress: true });
    return { text: textOf(done).slice(0, ANSWER), failed: done.isError === true };
  } catch (thrown) {
    return { text: messageOf(thrown), failed: true };
  }
}

function textOf({ content, structuredContent }: Awaited<ReturnType<Client['callTool']>>): string {
  const parts = (Array.isArray(content) ? content : []).filter(isJson).map((part) => {
    if (part['type'] === 'text') return str(part['text']) ?? '';
    const resource = isJson(part['resource']) ? part['resource'] : part;
    return (
      str(resource['text']) ?? `[${String(part['type'])} ${str(resource['uri']) ?? str(resource['mimeType']) ?? ''}]`
    );
  });
  return parts.join('\n') || (structuredContent === undefined ? '' : JSON.stringify(structuredContent));
}
