// Who does what a gate files where nobody is named for it and no agent is found: the agent that did the work.
import { AgentRegistry } from '../../agents/registry.ts';
import type { Context } from '../../attempt/context.ts';
import { agentNameOf } from '../../attempt/who.ts';
import type { Task } from '../../queue/port.ts';
import { readRole } from '../../roles/role.ts';

/** The name for `agent:` of a task of this role that is filed for another; undefined where settings, role or `auto` have one, or none can stand in. */
export async function standIn(
  { settings, workspace }: Pick<Context, 'settings' | 'workspace'>,
  { id, created_at, spec, state }: Task,
  role: string,
): Promise<string | undefined> {
  const filed = { id, created_at, spec: { ...spec, agent: undefined as never }, state: {} };
  if (!state.agent || agentNameOf(filed, readRole(workspace, role), settings) !== 'auto') return undefined;
  const agents = new AgentRegistry(settings, workspace);
  // Who runs scripts cannot be asked for an opinion.
  if (!agents.names().includes(state.agent) || agents.get(state.agent).agent.getCapabilities().free) return undefined;
  await agents.findAuto();
  return agents.auto.name === null ? state.agent : undefined;
}
