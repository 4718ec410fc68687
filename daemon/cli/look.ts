// The commands that look and change nothing: each gathers what it shows and hands it to its view.

import { AgentRegistry } from '../agents/registry.ts';
import { liveInfo } from '../api/info.ts';
import { parseDuration } from '../clock.ts';
import { type LoadedSettings, loadSettings } from '../config.ts';
import { EXIT, TowpathError } from '../errors.ts';
import { openLedger } from '../ledger/ledger.ts';
import { findWorkspace } from '../paths.ts';
import { FileQueue } from '../queue/files/engine.ts';
import { useSecrets } from '../secrets.ts';
import { settingsSchema } from '../settings.ts';
import type { Queue, TaskJson } from '../task/terms.ts';
import type { Common } from './common.ts';
import { askDaemon, open } from './open.ts';
import { readerFor } from './readers.ts';
import { budgetsToday } from './view/budgets.ts';
import { doctorFailed, gatherDoctor, renderDoctor } from './view/doctor.ts';
import type { AgentProbe } from './view/doctor-agents.ts';
import { showEvents } from './view/events.ts';
import { cutShort, emptyList, gatherList, renderList } from './view/list.ts';
import { showLogs } from './view/logs.ts';
import { outputTo } from './view/output.ts';
import { gatherShow, showJson } from './view/show.ts';
import { renderShow } from './view/show-text.ts';
import { gatherStats, renderStats } from './view/stats.ts';
import { gatherStatus } from './view/status.ts';
import { renderStatus } from './view/status-text.ts';
import { type Screen, screenOf } from './view/style.ts';
import { gatherBoard, watchBoard } from './view/watch.ts';

const screen = (options: Common) => (): Screen => screenOf(process.stdout, { json: options.json ?? false });
const reading = (options: Common) => {
  const opened = open(options.workspace);
  return {
    ...opened,
    ledger: openLedger(opened.workspace, { readonly: true }),
    out: outputTo(process.stdout),
    readerFor: readerFor(opened),
  };
};
const print = (value: unknown): void => console.log(JSON.stringify(value));

/** Ends a stream when the person has seen enough. */
function untilInterrupted(): AbortSignal {
  const stop = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => stop.abort());
  return stop.signal;
}

export async function status(_: [], options: Common): Promise<void> {
  const found = await gatherStatus(reading(options));
  if (options.json) print(found);
  else console.log(renderStatus(found, screen(options)()));
}

/** A table of more rows than this is no table; JSON has all unless a limit is given. */
const LIST_MAX = 200;

export async function list(
  [only]: [Queue | undefined],
  options: Common & { limit?: number; project?: string },
): Promise<void> {
  const opened = reading(options);
  const { project } = options;
  // Of one project so many are shown, and not so many looked at.
  const limit = project !== undefined ? undefined : (options.limit ?? (options.json ? undefined : LIST_MAX));
  const waiting = (most: number) =>
    opened.daemon ? (askDaemon(opened, { op: 'waiting', limit: most }) as Promise<string[]>) : Promise.resolve(null);
  const all = await gatherList({ ...opened, waiting }, only, limit);
  const tasks = project === undefined ? all : ofProject(all, project, options.limit);
  if (options.json) return print(tasks);
  if (tasks.length === 0) console.error(emptyList(only));
  else console.log(renderList(tasks, screen(options)()));
  const cut = limit === undefined ? [] : cutShort(opened.workspace, limit, only);
  if (cut.length > 0)
    console.error(`only ${limit} of ${cut.map((name) => `${name}/`).join(', ')} are shown: --limit N`);
}

function ofProject(tasks: TaskJson[], project: string, limit = Number.POSITIVE_INFINITY): TaskJson[] {
  const left = new Map<Queue, number>();
  return tasks.filter(({ data, queue }) => {
    if (data['project'] !== project) return false;
    left.set(queue, (left.get(queue) ?? limit) - 1);
    return left.get(queue)! >= 0;
  });
}

export async function stats(_: [], options: Common & { since?: string }): Promise<void> {
  const since = options.since === undefined ? undefined : sinceIso(options.since);
  const { workspace, ledger, loaded } = reading(options);
  const reserved = (await liveInfo(workspace))?.reserved ?? [];
  const found = gatherStats(ledger, budgetsToday(workspace, ledger, loaded.settings, reserved), since);
  if (options.json) print(found);
  else console.log(renderStats(found, screen(options)()));
}

/** A date, or so long ago. Throws `bad_usage`. */
function sinceIso(text: string): string {
  const ago = parseDuration(text);
  const at = ago === undefined ? Date.parse(text) : Date.now() - ago;
  if (Number.isNaN(at))
    throw new TowpathError('bad_usage', `--since "${text}" is neither a date nor a duration`, 'write 2026-01-31 or 7d');
  return new Date(at).toISOString();
}

export async function events(
  _: [],
  options: Common & { follow?: boolean; task?: string; limit?: number },
): Promise<number> {
  const { ledger, out } = reading(options);
  await showEvents(ledger, out, screen(options), { ...options, signal: untilInterrupted() });
  return EXIT.ok;
}

export async function show([id]: [string], options: Common): Promise<void> {
  const found = await gatherShow(reading(options), id);
  if (options.json) print(showJson(found));
  else console.log(renderShow(found, screen(options)()));
}

type LogOptions = Common & { follow?: boolean; raw?: boolean; attempt?: number };

export async function logs([id]: [string], options: LogOptions): Promise<void> {
  const opened = reading(options);
  if (!(await opened.queue.get(id))) throw new TowpathError('task_not_found', `no task "${id}"`, 'see "towpath list"');
  await showLogs(
    { ...opened, ...options, workspace: opened.workspace, id, signal: untilInterrupted() },
    opened.out,
    screen(options),
  );
}

export async function watch(_: [], options: Common): Promise<void> {
  const sources = reading(options);
  await watchBoard({ gather: () => gatherBoard(sources), json: options.json ?? false, signal: untilInterrupted() });
}

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
