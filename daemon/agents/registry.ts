// Which agents there are: the built-in ones and the user's commands, each with its settings.

import { messageOf, TowpathError } from '../errors.ts';
import type { Workspace } from '../paths.ts';
import { outside } from '../secrets.ts';
import { agentSettings, type Settings } from '../settings.ts';
import { aider } from './aider/aider.ts';
import { api } from './api/api.ts';
import { claude } from './claude/claude.ts';
import { codex } from './codex/codex.ts';
import { commandAgent, resolveCommand } from './command.ts';
import { gemini } from './gemini/gemini.ts';
import { opencode } from './opencode/opencode.ts';
import { pattern } from './pattern.ts';
import type { Agent, AgentSettings, Probe } from './port.ts';
import { shell } from './shell.ts';

const BUILT_IN: readonly Agent[] = [claude, codex, gemini, opencode, aider, api, shell, pattern];
/** What `agent: auto` tries, in this order. */
const AUTO: readonly string[] = ['claude', 'codex', 'gemini', 'opencode', 'aider'];
/** How long what a probe said is believed, ms. */
const PROBE_MS = 60_000;

export interface Chosen {
  agent: Agent;
  /** Not a command of the user's. */
  builtIn: boolean;
  settings: AgentSettings;
}

export interface Auto {
  name: string | null;
  why: string;
  /** Nobody knows yet. */
  looking: boolean;
}

export class AgentRegistry {
  readonly #settings: Settings;
  readonly #workspace: Workspace;
  #auto: Auto = { name: null, why: 'it is being looked for an agent that can work', looking: true };
  #autoAt = 0;
  #finding: Promise<void> | null = null;
  /** Called when it is known what `auto` stands for. */
  onAuto: () => void = () => {};

  constructor(settings: Settings, workspace: Workspace) {
    this.#settings = settings;
    this.#workspace = workspace;
  }

  names(): string[] {
    const own = Object.entries(this.#settings.agents).flatMap(([name, one]) => (one.command ? [name] : []));
    return [...new Set([...BUILT_IN.map((agent) => agent.name), ...own])];
  }

  known(name: string): boolean {
    return name === 'auto' || this.names().includes(name);
  }

  /** It uses no model, and costs nothing. */
  free(name: string): boolean {
    return BUILT_IN.find((agent) => agent.name === name)?.getCapabilities().free ?? false;
  }

  /** An agent by name. Throws `agent` when there is none, or when its settings are wrong. */
  get(name: string): Chosen {
    if (!this.names().includes(name))
      throw new TowpathError(
        'agent',
        `agent "${name}" does not exist`,
        `name one of ${this.names().join(', ')}, or write agents.${name}.command`,
      );
    const known = BUILT_IN.find((one) => one.name === name);
    const agent = known ?? commandAgent(name);
    const settings = resolveCommand(agentSettings(this.#settings, name), this.#workspace.root);
    const [problem] = agent.validateConfig(settings);
    if (problem) throw new TowpathError('bad_settings', problem);
    return { agent, builtIn: known !== undefined, settings };
  }

  probe(name: string): Promise<Probe> {
    const { agent, settings } = this.get(name);
    return agent.probe(settings, outside(), this.#settings.endpoints);
  }

  /**
   * What `auto` stands for just now; name is null when no agent can work, and `why` says so, or while they are looked for.
   * Asking for it looks again once a minute.
   */
  get auto(): Auto {
    if (Date.now() - this.#autoAt > PROBE_MS) void this.findAuto();
    return this.#auto;
  }

  /** Looks for the agent that `auto` means. */
  findAuto(): Promise<void> {
    this.#finding ??= this.#find().finally(() => {
      this.#finding = null;
      this.onAuto();
    });
    return this.#finding;
  }

  async #find(): Promise<void> {
    const whys: string[] = [];
    let name: string | null = null;
    for (const one of AUTO) {
      const probe = await this.probe(one).catch((thrown: unknown) => ({ ready: false, why: messageOf(thrown) }));
      if (probe.ready) {
        name = one;
        break;
      }
      whys.push(`${one}: ${probe.why ?? 'not ready'}`);
    }
    this.#autoAt = Date.now();
    const why = name === null ? `no agent is able to work (${whys.join('; ')})` : '';
    this.#auto = { name, why, looking: false };
  }

  /** Flags that an agent's installed version lacks. Throws `agent` when it cannot do without one. */
  async lacks(name: string): Promise<readonly string[]> {
    const { lacks = [], ready, why } = await this.probe(name);
    if (lacks.length > 0 && !ready) throw new TowpathError('agent', why ?? `agent ${name} lacks ${lacks.join(', ')}`);
    return lacks;
  }
}
