// A real MCP client at a spawned `towpath mcp`.
import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { StdioClientTransport } from '@modelcontextprotocol/sdk/client/stdio.js';
import { afterEach } from 'vitest';
import { BIN, type TestWorkspace } from './workspace.ts';

export interface Answer {
  isError: boolean;
  text: string;
  value: Record<string, unknown>;
}

export interface McpClient {
  tools(): Promise<{ name: string; description?: string; inputSchema: object }[]>;
  call(name: string, args?: Record<string, unknown>): Promise<Answer>;
  close(): Promise<void>;
}

const open: McpClient[] = [];

/** Clients that are closed after each test. `env` beside PATH and the workspace: the run of an agent. */
export function mcpClients(): (ws: TestWorkspace, env?: Record<string, string>) => Promise<McpClient> {
  afterEach(async () => {
    for (const one of open.splice(0)) await one.close();
  });
  return async (ws, env = {}) => {
    const client = new Client({ name: 'test', version: '1' });
    const from = { PATH: process.env['PATH']!, HOME: ws.root, TOWPATH_WORKSPACE: ws.root, ...env };
    await client.connect(new StdioClientTransport({ command: BIN, args: ['mcp'], env: from, stderr: 'ignore' }));
    const made: McpClient = {
      tools: async () => (await client.listTools()).tools as Awaited<ReturnType<McpClient['tools']>>,
      call: async (name, args = {}) => {
        const answer = await client.callTool({ name, arguments: args });
        const [content] = answer.content as { text: string }[];
        const value = (answer.structuredContent ?? {}) as Record<string, unknown>;
        return { isError: answer.isError === true, text: content?.text ?? '', value };
      },
      close: () => client.close(),
    };
    open.push(made);
    return made;
  };
}
