// towpath doctor: looks for what is wrong, and says what to do.
import { AgentRegistry } from '../agents/registry.ts';
import { type LoadedSettings, loadSettings } from '../config.ts';
import { EXIT, TowpathError } from '../errors.ts';
import { findWorkspace } from '../paths.ts';
import { FileQueue } from '../queue/files/engine.ts';
import { useSecrets } from '../secrets.ts';
import { settingsSchema } from '../settings.ts';
import type { Common } from './common.ts';
import { print, screen } from './reading.ts';
import { doctorFailed, gatherDoctor, renderDoctor } from './view/doctor.ts';
import type { AgentProbe } from './view/doctor-agents.ts';

/** Nothing of an agent whose settings are wrong: that is told as it is. */
function costsOf(agents: AgentRegistry, name: string): Pick<AgentProbe, 'costs'> {
  try {
    const { agent, settings } = agents.get(name);
    const models = [...new Set(Object.values({ ...agent.models, ...settings.models }))];
    return { costs: { told: agent.getCapabilities().tells_cost, models } };
  } catch {
    return {};
  }
}

/** Works with broken settings too: they are a finding. */
export async function doctor(_: [], options: Common): Promise<number> {
  const workspace = findWorkspace(options.workspace);
  let loaded: LoadedSettings | TowpathError;
  try {
    loaded = loadSettings(workspace);
  } catch (thrown) {
    if (!(thrown instanceof TowpathError)) throw thrown;
    loaded = thrown;
  }
  const settings = loaded instanceof TowpathError ? settingsSchema.parse({}) : loaded.settings;
  useSecrets(settings, workspace.root);
  const agents = new AgentRegistry(settings, workspace);
  const probes = agents.names().map((name) => ({ name, probe: () => agents.probe(name), ...costsOf(agents, name) }));
  const findings = await gatherDoctor({ workspace, loaded, queue: new FileQueue(workspace, settings), agents: probes });
  if (options.json) print(findings);
  else console.log(renderDoctor(findings, screen(options)()));
  return doctorFailed(findings) ? EXIT.failed : EXIT.ok;
}
