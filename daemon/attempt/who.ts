// Who would do a task: its agent, or its role's fallback while that is closed; on which model; by which model servers.
import type { AgentRegistry } from '../agents/registry.ts';
import { type Limit, onTrial } from '../limits.ts';
import type { Workspace } from '../paths.ts';
import type { Choice } from '../queue/port.ts';
import { type Role, readRole } from '../roles/role.ts';
import type { Endpoint, Settings } from '../settings.ts';
import { DEFAULT_ROLE } from '../task/terms.ts';

export interface Who {
  role: string;
  /** `auto` while no agent is able to work. */
  agent: string;
  /** null: the agent's own default. */
  model: string | null;
  /** The model servers that serve this model to this agent; empty: the agent's own service. */
  endpoints: Endpoint[];
}

interface Place {
  settings: Settings;
  workspace: Workspace;
  agents: AgentRegistry;
  limits: { list(): Record<string, Limit> };
}

/** The name of the agent that a task asks for; `auto` when it is to be found. */
export function agentNameOf(task: Pick<Choice, 'spec'>, role: Role, settings: Settings): string {
  const project = task.spec.project ? settings.projects[task.spec.project] : undefined;
  return task.spec.agent ?? role.agent ?? project?.agent ?? settings.agent;
}

/** Throws when role or agent cannot be used. `busy`: names that are being tried again by a run of their own. */
export function whoDoes(task: Choice, place: Place, busy: ReadonlySet<string> = new Set()): Who {
  const role = readRole(place.workspace, task.spec.role ?? DEFAULT_ROLE);
  const name = agentNameOf(task, role, place.settings);
  const first = chosen(task, role, name === 'auto' ? (place.agents.auto.name ?? 'auto') : name, place);
  // Whoever names an agent in the task wants that one.
  if (!role.fallback || task.spec.agent || first.agent === role.fallback || !isShut(first, place, busy)) return first;
  const second = chosen(task, role, role.fallback, place);
  return isShut(second, place, busy) ? first : second;
}

/** With a known agent: that of a run that was begun already. */
export function chosen(task: Choice, role: Role, agent: string, { agents, settings }: Place): Who {
  if (agent === 'auto') return { role: role.name, agent, model: null, endpoints: [] };
  const it = agents.get(agent);
  const { seniority } = task.spec;
  const model = task.spec.model ?? role.model ?? it.settings.models[seniority] ?? it.agent.models[seniority] ?? null;
  const speaks = it.agent.getCapabilities().endpoints ?? [];
  const serves = (one: Endpoint) =>
    model !== null &&
    one.models.includes(model) &&
    speaks.includes(one.api) &&
    (one.base_url !== undefined || !it.builtIn);
  return { role: role.name, agent, model, endpoints: settings.endpoints.filter(serves) };
}

function isShut({ agent, endpoints }: Who, { limits }: Place, busy: ReadonlySet<string>): boolean {
  const list = limits.list();
  const shut = (name: string) => {
    const limit = list[name];
    return limit !== undefined && (!onTrial(limit) || busy.has(name));
  };
  return endpoints.length > 0 ? endpoints.every(({ name }) => shut(name)) : shut(agent);
}
