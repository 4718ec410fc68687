// Looks for the program of an agent: where it lies, its version, and the flags that it lacks. Spends nothing.
import { execFile } from 'node:child_process';
import { statSync } from 'node:fs';
import { promisify } from 'node:util';
import { messageOf } from '../errors.ts';
import { findProgram } from './command.ts';
import { missingFlags } from './flags.ts';
import type { AgentSettings, Probe } from './port.ts';

/** Some take six seconds on a busy machine, ms. */
const PATIENCE_MS = 15_000;

export interface Looked {
  /** The agent's name, and its program where the settings name none. */
  name: string;
  install: string;
  /** Variables for asking it: quiet, no update. */
  env: Record<string, string>;
  /** Arguments that print its help. */
  help: string[];
  /** Flags that it cannot do without, and those that can be left out. */
  needs: readonly string[];
  likes: readonly string[];
}

/** What is known once the settings' own variables are added to ours; `ready` as far as the program itself goes. */
export async function lookFor(
  agent: Looked,
  settings: AgentSettings,
  outside: NodeJS.ProcessEnv,
): Promise<{ found: Probe; env: NodeJS.ProcessEnv }> {
  const env = { ...outside };
  for (const [name, value] of Object.entries(settings.env)) if (value !== true) env[name] = value;
  const [command = agent.name, ...first] = settings.command ?? [];
  const found: Probe = { installed: false, path: findProgram(command, env), version: null, ready: false, why: null };
  if (!found.path) {
    const what = settings.command ? `there is no program ${command}` : `${agent.name} is not installed`;
    return { env, found: { ...found, why: `${what}: run "${agent.install}" or set agents.${agent.name}.command` } };
  }
  const { path } = found;
  found.installed = true;
  try {
    const [told, help] = await askOnce(agent, [path, ...first], env);
    found.version = /\d+\.\d+\.\d+\S*/.exec(told)?.[0] ?? null;
    const [lost] = missingFlags(help, agent.needs);
    if (lost)
      return {
        env,
        found: { ...found, lacks: [lost], why: `${agent.name} ${found.version ?? path} has no ${lost}: update it` },
      };
    return { env, found: { ...found, ready: true, lacks: missingFlags(help, agent.likes) } };
  } catch (thrown) {
    const why = `"${path} --version" failed (${messageOf(thrown).slice(0, 200)}): install it again`;
    return { env, found: { ...found, why } };
  }
}

/** What a program said, by itself and by how its file looked then: some take seconds to say it. */
const told = new Map<string, [version: string, help: string]>();

async function askOnce(
  agent: Looked,
  argv: string[],
  env: NodeJS.ProcessEnv,
): Promise<[version: string, help: string]> {
  const { ino, mtimeMs, size } = statSync(argv[0]!);
  const key = JSON.stringify([argv, ino, mtimeMs, size]);
  const known = told.get(key);
  if (known) return known;
  const ask = async (args: string[]) => {
    const { stdout, stderr } = await promisify(execFile)(argv[0]!, [...argv.slice(1), ...args], {
      ...{ timeout: PATIENCE_MS, killSignal: 'SIGKILL', maxBuffer: 1_048_576 },
      env: { ...agent.env, PATH: env['PATH'], HOME: env['HOME'] },
    });
    // Some print their help on stderr.
    return `${stdout}\n${stderr}`;
  };
  const said = await Promise.all([ask(['--version']), ask(agent.help)]);
  told.set(key, said);
  return said;
}
