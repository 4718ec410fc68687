// The MCP servers that a task or a role asks for, read from what a person wrote.
import { z } from 'zod';
import { TowpathError } from '../errors.ts';
import type { McpServers } from './port.ts';

const name = z.string().regex(/^[A-Za-z0-9][A-Za-z0-9_-]*$/, 'a name: letters, digits, "_" and "-"');
const values = z.record(z.string(), z.coerce.string()).default({});
const server = z.union(
  [
    z.null(),
    z.strictObject({
      type: z.literal('stdio').optional(),
      command: z.string().min(1),
      args: z.array(z.coerce.string()).default([]),
      env: values,
    }),
    z.strictObject({
      type: z.enum(['http', 'sse']).optional(),
      url: z.url({ protocol: /^https?$/ }),
      headers: values,
    }),
  ],
  'write {command: …, args: […], env: {…}} or {url: …, headers: {…}}',
);
const map = z.record(name, server);
const schema = z.union([
  z.array(name).transform((names) => Object.fromEntries(names.map((one) => [one, null]))),
  z.strictObject({ mcpServers: map }).transform((it) => it.mcpServers),
  map,
]);

/** Servers by name. A list names servers that the agent itself knows. Throws `task_refused` when it cannot be understood. */
export function mcpServers(mcp: unknown): McpServers {
  if (mcp === null || mcp === undefined) return {};
  const parsed = schema.safeParse(mcp);
  if (!parsed.success)
    throw new TowpathError('task_refused', `mcp: ${parsed.error.issues[0]?.message ?? 'no servers'}`, HELP);
  return Object.fromEntries(
    Object.entries(parsed.data).map(([key, one]) => {
      if (one === null || 'url' in one) return [key, one && { url: one.url, headers: one.headers }];
      return [key, { command: one.command, args: one.args, env: one.env }];
    }),
  );
}

const HELP = 'write "mcp: {name: {command: …, args: […]}}", or a list of names that the agent knows';
