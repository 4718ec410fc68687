// What doctor says of the agents: installed, which version, able to work, or closed for now.
import { probeEndpoint } from '../../agents/endpoints.ts';
import type { Probe } from '../../agents/port.ts';
import { priceOf } from '../../agents/price.ts';
import type { LoadedSettings } from '../../config.ts';
import { messageOf } from '../../errors.ts';
import { Limits, onTrial } from '../../limits.ts';
import type { Workspace } from '../../paths.ts';
import { secretOf } from '../../secrets.ts';
import type { Settings } from '../../settings.ts';
import type { Finding } from './finding.ts';
import { relative } from './words.ts';

export interface AgentProbe {
  name: string;
  probe: () => Promise<Probe>;
  /** Whether it tells what a run costs, and the models that it runs on; none are known where it takes its own default. */
  costs?: { told: boolean; models: readonly string[] };
}

/** An agent that is missing is no fault, unless the settings name it, or none is left that could work. */
export async function agentFindings(agents: readonly AgentProbe[], settings: Settings | null): Promise<Finding[]> {
  const area = 'agents';
  const probed = await Promise.all(agents.map(async ({ name, probe }) => ({ name, ...(await safely(probe)) })));
  const wanted = settings?.agent ?? 'auto';
  const found = probed.map(({ name, installed, ready, version, path, why }): Finding => {
    const where = [version, path].filter(Boolean).join(', ');
    if (ready) return { area, level: 'ok', what: where ? `${name}: ${where}` : name, next: '' };
    const level = name === wanted ? 'error' : installed || settings?.agents[name] ? 'warn' : 'ok';
    const state = installed ? `${name}: ${where ? `${where}; ` : ''}not ready` : `${name}: not installed`;
    return { area, level, what: why ? `${state}: ${why}` : state, next: '' };
  });
  const real = probed.filter((one) => one.name !== 'shell');
  if (wanted === 'auto' && real.length > 0 && !real.some((one) => one.ready))
    found.push({
      area,
      level: 'error',
      what: 'agent: auto finds no agent that is able to work',
      next: 'install and log in to one, or name one: agent: shell in towpath.yaml',
    });
  if (wanted !== 'auto' && !probed.some((one) => one.name === wanted))
    found.push({
      area,
      level: 'error',
      what: `agent: ${wanted} does not exist`,
      next: `name one of ${probed.map((one) => one.name).join(', ')} in towpath.yaml`,
    });
  return found;
}

/** A budget in USD holds nobody whose cost nobody knows. */
export async function priceFindings(
  agents: readonly AgentProbe[],
  { settings, origins }: LoadedSettings,
): Promise<Finding[]> {
  const set = (agent: string) =>
    [...origins.keys()].find((key) => /^budget\.\w+_usd$/.test(key) || key === `agents.${agent}.budget.day_usd`);
  const found = agents.map(async ({ name, probe, costs }): Promise<Finding[]> => {
    const key = set(name);
    if (!key || !costs || costs.told) return [];
    const unpriced = costs.models.filter((model) => priceOf(settings.prices, model) === null);
    if ((costs.models.length > 0 && unpriced.length === 0) || !(await safely(probe)).installed) return [];
    const models = unpriced.length > 0 ? unpriced.join(', ') : 'its own default model';
    return [
      {
        area: 'agents',
        level: 'warn',
        what: `${name} does not tell what it costs, and there is no price for ${models}: ${key} does not hold it`,
        next: `write prices.${unpriced[0] ?? 'MODEL'} in towpath.yaml, or a budget in tokens`,
      },
    ];
  });
  return (await Promise.all(found)).flat();
}

async function safely(probe: () => Promise<Probe>): Promise<Probe> {
  try {
    return await probe();
  } catch (thrown) {
    return { installed: false, path: null, version: null, ready: false, why: messageOf(thrown) };
  }
}

export async function endpointFindings({ endpoints }: Settings, env: NodeJS.ProcessEnv): Promise<Finding[]> {
  return Promise.all(
    endpoints.map(async (one): Promise<Finding> => {
      const { reachable, told } = await probeEndpoint(one, env);
      const what = `model server ${one.name} (${one.base_url ?? `GPU ${one.gpu}`}): ${told}`;
      if (!reachable)
        return { area: 'agents', level: 'warn', what, next: 'start it, or mend endpoints in towpath.yaml' };
      const missing = one.key_env && !env[one.key_env] ? one.key_env : null;
      return missing
        ? {
            area: 'agents',
            level: 'warn',
            what: `${what}; ${missing} is not set`,
            next: `set ${missing} for the daemon`,
          }
        : { area: 'agents', level: 'ok', what, next: '' };
    }),
  );
}

/** A secret that cannot be had keeps every run that needs it from starting. */
export function secretFindings({ secrets }: Settings): Finding[] {
  return Object.keys(secrets).map((name): Finding => {
    try {
      secretOf(name);
      return { area: 'agents', level: 'ok', what: `secrets.${name} can be read`, next: '' };
    } catch (thrown) {
      return { area: 'agents', level: 'error', what: messageOf(thrown), next: '' };
    }
  });
}

export function limitFindings(workspace: Workspace): Finding[] {
  return Object.entries(new Limits(workspace).list()).map(([agent, limit]) => {
    const { until, reason } = limit;
    const when = onTrial(limit)
      ? ', and its time is over: one run tries it first'
      : until
        ? `, opens ${relative(until, Date.now())}`
        : '';
    return {
      area: 'agents',
      level: 'warn',
      what: `${agent} is closed${when}: ${reason}`,
      next: until ? '' : `towpath resume ${agent}`,
    };
  });
}
