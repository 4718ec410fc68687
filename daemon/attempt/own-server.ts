// `towpath` among the MCP servers of a task: our own, bound to the run that it is started for.
import { fileURLToPath } from 'node:url';
import { OWN_SERVER } from '../agents/mcp.ts';
import type { McpServers } from '../agents/port.ts';
import type { Workspace } from '../paths.ts';
import { childEnv } from '../process/env.ts';

const BIN = fileURLToPath(new URL('../towpath.js', import.meta.url));

/** By what the processes of a run are known, and by what the server knows its run. */
export const markerOf = (run: { task_id: string; attempt: number; new_session: string }): string =>
  `${run.task_id}/${run.attempt}/${run.new_session}`;

/** The bare name becomes the program to start. All that it needs is said, since some agents pass nothing on; nothing of it is secret. */
export function withOwnServer(
  servers: McpServers,
  workspace: Workspace,
  run: Parameters<typeof markerOf>[0],
): McpServers {
  if (servers[OWN_SERVER] !== null) return servers;
  const set = { TOWPATH_WORKSPACE: workspace.root, TOWPATH_TASK_ID: run.task_id, TOWPATH_RUN: markerOf(run) };
  return { ...servers, [OWN_SERVER]: { command: process.execPath, args: [BIN, 'mcp'], env: childEnv({ set }) } };
}
