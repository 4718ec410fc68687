// One run of an agent: starts it under the shim (or finds it again), reads its output, watches over it, judges its end.
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { TowpathError } from '../errors.ts';
import { makeCgroup } from '../process/cgroup.ts';
import { endTree } from '../process/end.ts';
import { isAlive } from '../process/identity.ts';
import { tailOf } from '../process/lines.ts';
import { scrub } from '../process/scrub.ts';
import { startShim, waitForExit } from '../process/shim.ts';
import type { Birth, Target } from '../process/tree.ts';
import type { AgentProcess } from '../queue/port.ts';
import { guardedValues } from '../secrets.ts';
import { findProgram } from './command.ts';
import { type Health, runTarget } from './kept.ts';
import { Output, type OutputLimits } from './output.ts';
import type { Agent, AgentEvent, AgentRequest, AgentSettings, RunEnd, Usage, Verdict } from './port.ts';
import { Watchdog } from './watchdog.ts';

/** How often a running agent's output is read, ms. */
const POLL_MS = 250;
/** How long a process may linger after its final answer, ms. */
const LINGER_MS = 10_000;
const TAIL_BYTES = 64 * 1024;
/** Who could not be ended is tried again after this long, ms. */
const AGAIN_MS = 30_000;

export interface RunOptions {
  agent: Agent;
  settings: AgentSettings;
  request: AgentRequest;
  /** The whole environment of the agent. It carries the marker below. */
  env: Record<string, string>;
  /** TOWPATH_RUN of this run, by which its processes are known. */
  marker: string;
  timeouts: { total_ms: number; stuck_ms: number; first_output_ms: number };
  output: OutputLimits;
  /** Flags that the installed version does not have. */
  lacks?: readonly string[];
  /** How long it has run already, when it is found again. */
  elapsed_ms?: number;
  /** A run that an earlier daemon started. */
  attach?: AgentProcess;
  onStart?: (process: AgentProcess) => void;
  onEvent?: (event: AgentEvent) => void;
  /** Is told what it has used so far at each look; why it may use no more, or null. */
  over?: (spent: Usage) => string | null;
  /** Something that a person should know while it runs. */
  onWarning?: (message: string) => void;
  /** Its reason is `cancelled` or anything else the caller understands. */
  signal?: AbortSignal;
}

export interface RunReport {
  verdict: Verdict;
  end: RunEnd;
  /** Whether we ended it, and why. */
  ended: 'timeout' | 'stuck' | 'output' | 'budget' | 'aborted' | null;
  /** What there is to say of that. */
  why: string;
  /** The process is gone and nobody kept its exit code: the machine stopped, or shim and agent were killed. */
  lost: boolean;
  duration_ms: number;
  health: Health;
}

/** Runs an agent to its end. Never rejects for what the agent does; a program that cannot be started is a `failed` verdict. */
export async function runAgent(options: RunOptions): Promise<RunReport> {
  const { agent, request, settings } = options;
  const dir = request.run_dir;
  const reader = agent.reader();
  const stdout = join(dir, 'stdout');
  let process = options.attach;
  let since: Birth | undefined;
  if (!process) {
    mkdirSync(dir, { recursive: true, mode: 0o700 });
    const launch = agent.launch(request, settings, options.lacks);
    const program = launch.argv[0] ?? '';
    if (!findProgram(program, options.env))
      throw new TowpathError(
        'agent',
        `agent ${agent.name}: cannot start ${program}: not found, or not executable`,
        `install it or set agents.${agent.name}.command, then "towpath retry ${request.task_id}"`,
      );
    const stdin = join(dir, 'stdin');
    writeFileSync(stdin, launch.stdin, { mode: 0o600 });
    const env = { ...launch.env, ...options.env };
    const cgroup = makeCgroup(options.marker);
    const started = await startShim({ runDir: dir, argv: launch.argv, cwd: request.worktree, env, stdin, cgroup });
    since = started.since;
    process = {
      ...(started.agent ?? started.shim),
      name: agent.name,
      session: request.session ?? (agent.getCapabilities().chooses_session ? request.new_session : null),
      shim: started.shim,
    };
    options.onStart?.(process);
  }
  let lastEvent: string | null = null;
  const output = new Output(dir, reader, options.output, (event) => {
    lastEvent = event.type === 'tool_call' ? `${event.type} ${event.name}` : event.type;
    options.onEvent?.(event);
  });
  const found: Target = { ...runTarget(dir, process), marker: options.marker, since };
  const watchdog = new Watchdog({
    dir,
    target: found,
    shim: process.shim?.pid,
    ...options.timeouts,
    elapsed_ms: options.elapsed_ms ?? 0,
    idle: agent.idle,
    onSuspect: (what) => options.onWarning?.(what),
  });
  let ended: RunReport['ended'] = null;
  let why = '';
  let lingering: number | null = null;
  let dismissed = false;
  let ending: Promise<void> | null = null;
  const sweep = async () => {
    const { left } = await endTree({ ...found, known: watchdog.members });
    if (left.length > 0) options.onWarning?.(`some of its processes cannot be ended: pid ${left.join(', ')}`);
    return left;
  };
  const stop = (reason: NonNullable<RunReport['ended']> | null, text = '') => {
    if (ended === null) why = text;
    ended ??= reason;
    ending ??= sweep().then((left) => {
      // In the kernel's hands, or another user's: it holds the run until it is gone, since no other may begin beside it.
      if (left.length > 0) setTimeout(() => (ending = null), AGAIN_MS).unref();
    });
  };
  const onAbort = () => stop('aborted');
  options.signal?.addEventListener('abort', onAbort);
  if (options.signal?.aborted) onAbort();
  const tick = async () => {
    const read = await output.poll();
    if (ended) return stop(ended);
    const dear = options.over?.(reader.spent) ?? null;
    // It only waits for a limit to pass: its reader says what that comes to, however it goes.
    if (reader.hopeless) return stop(null);
    if (reader.finished) {
      lingering ??= performance.now();
      if (performance.now() - lingering > LINGER_MS) {
        dismissed = true;
        stop(null);
      }
      return;
    }
    if (dear !== null) return stop('budget', dear);
    const over = output.over;
    const verdict = over ? 'output' : watchdog.check(read > 0, reader.openTools, lastEvent);
    if (verdict) stop(verdict, over ?? '');
  };
  const begun = performance.now();
  let busy: Promise<void> | null = null;
  const timer = setInterval(() => {
    busy ??= tick()
      // A disk that does not answer for a moment: looked at again.
      .catch(() => {})
      .finally(() => {
        busy = null;
      });
  }, POLL_MS);
  const exit = await waitForExit({ runDir: dir, agent: process, ...(process.shim ? { shim: process.shim } : {}) });
  clearInterval(timer);
  options.signal?.removeEventListener('abort', onAbort);
  await busy;
  // What a tool left running in the background goes with its agent.
  await sweep();
  await output.end();
  for (const name of ['stdout', 'stderr']) scrub(join(dir, name), guardedValues());
  // It had given its answer and did not leave: how it went when it was sent away says nothing about the answer.
  const left = dismissed && ended === null ? { code: 0, signal: null } : exit;
  const end: RunEnd = {
    code: left.code,
    signal: left.signal,
    stderr: tailOf(join(dir, 'stderr'), TAIL_BYTES),
    stdout: tailOf(stdout, TAIL_BYTES),
  };
  return {
    verdict: reader.conclude(end),
    end,
    ended,
    why,
    lost: exit.lost,
    duration_ms: (options.elapsed_ms ?? 0) + performance.now() - begun,
    health: watchdog.health,
  };
}

/** Whether the processes of a run that was found in a lock still live. */
export const stillRuns = (process: AgentProcess): boolean =>
  isAlive(process) || (process.shim !== undefined && isAlive(process.shim));

/** What the older adapters promised: one call in, one answer out. */
export interface Adapter {
  execute(
    request: AgentRequest,
  ): Promise<{ success: boolean; output: string; error: string | null; duration_ms: number; artifacts: string[] }>;
  validateConfig(): string[];
  getCapabilities(): ReturnType<Agent['getCapabilities']>;
}

/** An agent with its settings as such an adapter. `env` is the whole environment that it gets. */
export function adapter(agent: Agent, settings: AgentSettings, env: Record<string, string>): Adapter {
  return {
    validateConfig: () => agent.validateConfig(settings),
    getCapabilities: () => agent.getCapabilities(),
    execute: async (request) => {
      const marker = `${request.task_id}/${request.attempt}/${request.new_session}`;
      const total_ms = request.timeout_s * 1000;
      const timeouts = { total_ms, stuck_ms: total_ms, first_output_ms: total_ms };
      const report = await runAgent({
        agent,
        settings,
        request,
        marker,
        timeouts,
        output: { keep: 100e6, disk_free: 0 },
        env: { ...env, TOWPATH_RUN: marker },
      });
      const success = report.verdict.outcome === 'ok' && report.ended === null;
      return {
        success,
        output: report.verdict.output,
        error: success ? null : report.verdict.reason || report.ended,
        duration_ms: report.duration_ms,
        artifacts: report.verdict.artifacts,
      };
    },
  };
}
