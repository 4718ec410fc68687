// The MCP servers that a task or a role asks for, read from what a person wrote.
import { z } from 'zod';
import { TowpathError } from '../errors.ts';
import type { McpServers } from './port.ts';

const NAME = 'a name: letters, digits, "_" and "-"';
const SERVER = '{command: …, args: […], env: {…}} or {url: …, headers: {…}}';
const HELP = 'a map {name: {command: …, args: […]}}, or a list of names that the agent knows';
const name = z.string().regex(/^[A-Za-z0-9][A-Za-z0-9_-]*$/, NAME);
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
  SERVER,
);
const map = z.record(name, server);
const schema = z.union([
  z.array(name).transform((names) => Object.fromEntries(names.map((one) => [one, null]))),
  z.strictObject({ mcpServers: map }).transform((it) => it.mcpServers),
  map,
]);

/** Our own server, where a list or a map names it without saying what it is. */
export const OWN_SERVER = 'towpath';

/** Servers by name. A list names servers that the agent itself knows. Throws `task_refused` when it cannot be understood. */
export function mcpServers(mcp: unknown): McpServers {
  if (mcp === null || mcp === undefined) return {};
  const parsed = schema.safeParse(mcp);
  if (!parsed.success) throw new TowpathError('task_refused', mcpProblem(mcp) ?? `mcp: ${HELP}`);
  return Object.fromEntries(
    Object.entries(parsed.data).map(([key, one]) => {
      if (one === null || 'url' in one) return [key, one && { url: one.url, headers: one.headers }];
      return [key, { command: one.command, args: one.args, env: one.env }];
    }),
  );
}

/** Why `mcp:` cannot be understood (the key, its value, what is allowed), or null. */
export function mcpProblem(mcp: unknown): string | null {
  if (mcp === null || mcp === undefined || schema.safeParse(mcp).success) return null;
  // Of a map only the keys are told: its values may be secrets.
  const told = (value: unknown) =>
    typeof value === 'object' && value !== null ? `{${Object.keys(value).join(', ')}}` : JSON.stringify(value);
  const refused = (key: string, value: unknown, allowed: string) =>
    `${key}: ${told(value)?.slice(0, 80)} is not allowed: ${allowed}`;
  const wrongName = (names: unknown[]) => names.find((one) => !name.safeParse(one).success);
  if (Array.isArray(mcp)) return refused('mcp', wrongName(mcp), NAME);
  if (typeof mcp !== 'object') return refused('mcp', mcp, HELP);
  const inner = Object.keys(mcp).length === 1 ? (mcp as { mcpServers?: unknown }).mcpServers : undefined;
  const servers = typeof inner === 'object' && inner !== null ? inner : mcp;
  const key = wrongName(Object.keys(servers));
  if (key !== undefined) return refused('mcp', key, NAME);
  const [at, value] = Object.entries(servers).find(([, one]) => !server.safeParse(one).success) ?? ['', mcp];
  return refused(at ? `mcp.${at}` : 'mcp', value, at ? SERVER : HELP);
}
