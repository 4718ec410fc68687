// The second phase: the agent runs, or is found running, until it ends; what it came to is written beside its output.

import { existsSync, mkdirSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { VARIABLE_CHARS } from '../agents/command.ts';
import { unseen } from '../agents/kept.ts';
import type { AgentEvent, AgentRequest } from '../agents/port.ts';
import { runAgent, stillRuns } from '../agents/run.ts';
import { monotonic, now } from '../clock.ts';
import { endTree } from '../process/end.ts';
import { childEnv } from '../process/env.ts';
import { bootId } from '../process/identity.ts';
import { readExit, readPid } from '../process/shim.ts';
import { treeOf } from '../process/tree.ts';
import type { AgentProcess, Claim, Lock } from '../queue/port.ts';
import { redactAll } from '../secrets.ts';
import { hearAnswer, payerOf } from './closing.ts';
import type { Context } from './context.ts';
import { Meter } from './meter.ts';
import { markerOf } from './own-server.ts';
import type { Plan } from './plan.ts';
import { hasQuestionFile } from './question.ts';
import { type RunRecord, type RunVerdict, readRun, readVerdict } from './record.ts';
import { copySkills } from './skills.ts';
import { readWork, writeJson } from './work.ts';

const at = (request: { run_dir: string }, name: string): string => join(request.run_dir, name);

/** Starts the agent and waits for its end. */
export async function execute(
  ctx: Context,
  { task: { spec }, lock }: Claim,
  plan: Plan,
  request: AgentRequest,
  hookEnv: Record<string, string>,
  signal: AbortSignal,
): Promise<RunVerdict> {
  mkdirSync(request.run_dir, { recursive: true, mode: 0o700 });
  const marker = markerOf(request);
  const record: RunRecord = {
    marker,
    started_at: now(),
    clock: { boot_id: bootId(), ms: monotonic() },
    agent: plan.chosen.agent.name,
    model: request.model,
    role: plan.role.name,
    session: request.session ?? (plan.chosen.agent.getCapabilities().chooses_session ? request.new_session : null),
    had_question: hasQuestionFile(request.worktree),
  };
  // Before anything is written down of the run: a secret or a flag that cannot be had holds the task, and nothing has begun.
  const lacks = await ctx.agents.lacks(plan.chosen.agent.name);
  const env = environment(ctx, plan, request, record, hookEnv);
  copySkills(ctx.workspace, request.skills);
  writeFileSync(at(request, 'prompt.md'), request.prompt, { mode: 0o600 });
  const { prompt: _p, body: _b, ...rest } = request;
  writeJson(at(request, 'run.json'), { ...record, spec, request: rest } satisfies RunRecord);
  lock.phase = 'execute';
  await ctx.queue.renew(lock);
  await stagger(plan);
  announce(ctx, lock, { ...record, request: rest }, request.session !== null);
  return watch(ctx, lock, plan, request, record, signal, { env, lacks });
}

/**
 * How a run ended. After the machine has stopped only a run counts whose work was put on the disk for good: an exit code or a
 * verdict may have outlived the files that it speaks of.
 */
export function readEnd(ctx: Context, { task, attempt }: Lock): RunVerdict | null {
  const dir = ctx.workspace.run(task, attempt);
  const verdict = readVerdict(dir);
  return verdict?.lost || !wentDown(ctx, task, attempt) ? verdict : null;
}

function wentDown({ workspace }: Context, task: string, attempt: number): boolean {
  const clock = readRun(workspace.run(task, attempt))?.clock;
  return clock !== undefined && clock.boot_id !== bootId() && readWork(workspace, task)?.kept !== attempt;
}

/** A shim that has not told after so many looks never will. */
const SHIM_LOOKS = 250;

/** Goes on with a run that an earlier daemon started; null when it never began. */
export async function reattach(ctx: Context, lock: Lock, plan: Plan, signal: AbortSignal): Promise<RunVerdict | null> {
  const run_dir = ctx.workspace.run(lock.task, lock.attempt);
  const record = readRun(run_dir);
  if (!record?.request) {
    if (existsSync(join(run_dir, 'pid')) || existsSync(join(run_dir, 'exit'))) await putAside(ctx, lock, run_dir);
    return null;
  }
  const request = { ...record.request, run_dir, prompt: '', body: '' };
  if (wentDown(ctx, lock.task, lock.attempt)) {
    const began = ['pid', 'exit', 'stdout'].some((name) => existsSync(join(run_dir, name)));
    return began ? store(request, await lostRun(ctx, plan, record, request)) : null;
  }
  // The shim may have been started a moment before the daemon died: it is about to write down whom it starts.
  for (let n = 0; !lock.agent && n < SHIM_LOOKS && !readPid(run_dir) && !readExit(run_dir); n++) {
    if (treeOf({ marker: record.marker, workspace: ctx.workspace.root }).length === 0) break;
    await sleep(20);
  }
  const process = lock.agent ?? findByPidFile(record, run_dir);
  if (!process && !readExit(run_dir)) await endTree({ marker: record.marker, workspace: ctx.workspace.root });
  if (!process && !readExit(run_dir)) {
    const started = existsSync(join(run_dir, 'stdout'));
    return started ? store(request, await lostRun(ctx, plan, record, request)) : null;
  }
  const alive = process !== null && stillRuns(process);
  ctx.events.emit('warning', {
    task: lock.task,
    message: alive ? 'found its agent still running, and goes on with it' : 'its agent ended while no daemon ran',
  });
  return watch(ctx, lock, plan, request, record, signal, {
    attach: process ?? { ...ctx.self, pid: -1, name: record.agent, session: record.session },
  });
}

/** A power cut left the record of a run empty: whoever ran is dead, and the run counts for nothing; what it printed stays beside. */
async function putAside(ctx: Context, lock: Lock, run_dir: string): Promise<void> {
  await endTree({ marker: lock.task, workspace: ctx.workspace.root });
  renameSync(run_dir, `${run_dir}-torn-${Date.now()}`);
  ctx.events.emit('warning', { task: lock.task, message: 'the record of its run was cut off: the run begins anew' });
}

/** The daemon died between the start and the note of it in the lock: the shim has kept who it started. */
function findByPidFile(record: RunRecord, dir: string): AgentProcess | null {
  const told = readPid(dir);
  return told
    ? { ...told.agent, name: record.agent, session: record.session, ...(told.shim ? { shim: told.shim } : {}) }
    : null;
}

async function watch(
  ctx: Context,
  lock: Lock,
  plan: Plan,
  request: AgentRequest,
  record: RunRecord,
  signal: AbortSignal,
  how: { env?: Record<string, string>; lacks?: readonly string[]; attach?: AgentProcess },
): Promise<RunVerdict> {
  const { settings, agent } = plan.chosen;
  const payer = payerOf(agent.name, request.endpoints);
  const keep = (process: AgentProcess) => {
    lock.agent = process;
    void ctx.queue
      .renew(lock)
      .catch((thrown: unknown) => ctx.events.emit('warning', { task: lock.task, message: String(thrown) }));
  };
  const meter = new Meter(ctx, lock.task, plan);
  const report = await runAgent({
    agent,
    settings,
    request,
    env: how.env ?? {},
    ...(how.lacks ? { lacks: how.lacks } : {}),
    marker: record.marker,
    ...(how.attach ? { elapsed_ms: elapsedOf(record) } : {}),
    output: { keep: ctx.settings.limits.run_output, disk_free: ctx.settings.limits.disk_free },
    timeouts: {
      total_ms: plan.timeout_ms,
      stuck_ms: ctx.settings.timeouts.stuck,
      first_output_ms: ctx.settings.timeouts.first_output,
    },
    ...(how.attach ? { attach: how.attach } : {}),
    onStart: keep,
    over: (spent) => meter.over(spent),
    onEvent: (event) => {
      meter.heard(event);
      if (event.type === 'session' && lock.agent && lock.agent.session !== event.session)
        keep({ ...lock.agent, session: event.session });
      hearAnswer(ctx, payer, event);
      tell(ctx, lock, event);
    },
    onWarning: (message) => ctx.events.emit('warning', { task: lock.task, message }),
    signal,
  });
  const { end: _, ...rest } = report;
  // An agent whose session is known from its start knows best whether it can be gone on with; the others may have told it only in passing.
  const { chooses_session, tells_session } = agent.getCapabilities();
  const told =
    rest.verdict.session ?? (chooses_session || tells_session ? null : (lock.agent?.session ?? record.session));
  const usage = meter.priced(rest.verdict.usage, rest.verdict.model ?? undefined);
  const verdict = { ...rest.verdict, session: told, usage };
  return store(request, { ...rest, resumed: request.session !== null, verdict });
}

/** How long a run takes already. A record of another boot, or without a clock, tells nothing that could be relied on. */
const elapsedOf = ({ clock }: RunRecord): number =>
  clock?.boot_id === bootId() ? Math.max(0, monotonic() - clock.ms) : 0;

function store(request: { run_dir: string }, verdict: RunVerdict): RunVerdict {
  const clean = redactAll(verdict);
  writeJson(at(request, 'verdict.json'), clean);
  return clean;
}

async function lostRun(ctx: Context, plan: Plan, record: RunRecord, request: AgentRequest): Promise<RunVerdict> {
  const verdict = plan.chosen.agent.reader().conclude({ code: null, signal: null, stdout: '', stderr: '' });
  const told = readVerdict(request.run_dir)?.verdict.usage;
  const usage = told ?? (await new Meter(ctx, request.task_id, plan).lost(request.run_dir));
  return {
    // What it cost is spent, whatever came of it.
    verdict: { ...verdict, session: record.session, usage },
    ended: null,
    lost: true,
    resumed: record.session !== null,
    duration_ms: 0,
    health: unseen(now()),
  };
}

/** When an agent may be started next, by `performance.now()`. */
const nextStart = new Map<string, number>();

async function stagger({ chosen: { agent } }: Plan): Promise<void> {
  if (!agent.stagger_ms) return;
  const at = Math.max(performance.now(), nextStart.get(agent.name) ?? 0);
  nextStart.set(agent.name, at + agent.stagger_ms);
  await sleep(Math.max(0, at - performance.now()));
}

function announce(ctx: Context, lock: Lock, record: RunRecord, resumed: boolean): void {
  const { agent, model, role } = record;
  ctx.events.emit('attempt_started', {
    task: lock.task,
    attempt: lock.attempt,
    agent,
    model,
    role,
    branch: lock.branch,
    resumed,
    endpoint: record.request?.endpoints?.[0]?.name,
    project: record.spec?.project,
  });
}

function tell(ctx: Context, lock: Lock, event: AgentEvent): void {
  const text = 'content' in event ? event.content : event.session;
  ctx.events.emit('agent_output', { task: lock.task, attempt: lock.attempt, kind: event.type, text });
}

function environment(
  ctx: Context,
  plan: Plan,
  request: AgentRequest,
  record: RunRecord,
  hookEnv: Record<string, string>,
): Record<string, string> {
  const { agent, settings } = plan.chosen;
  const [endpoint] = request.endpoints;
  const own = Object.entries(settings.env);
  const names = own.flatMap(([name, value]) => (value === true ? [name] : []));
  const values = Object.fromEntries(own.flatMap(([name, value]) => (value === true ? [] : [[name, value]])));
  return childEnv({
    allow: [...agent.env, ...ctx.settings.env, ...names, ...request.endpoints.flatMap((one) => one.key_env ?? [])],
    set: {
      ...values,
      ...hookEnv,
      TOWPATH_TASK_ID: request.task_id,
      TOWPATH_ATTEMPT: String(request.attempt),
      TOWPATH_MODEL: request.model ?? '',
      TOWPATH_WORKTREE: request.worktree,
      TOWPATH_WORKSPACE: ctx.workspace.root,
      TOWPATH_SESSION: request.session?.replaceAll('\0', '') ?? '',
      TOWPATH_TIMEOUT_S: String(request.timeout_s),
      TOWPATH_ROLE: record.role,
      TOWPATH_AGENT: record.agent,
      TOWPATH_PROMPT_FILE: join(request.run_dir, 'prompt.md'),
      ...(request.prompt.length <= VARIABLE_CHARS ? { TOWPATH_PROMPT: request.prompt } : {}),
      ...(endpoint ? { TOWPATH_ENDPOINT: endpoint.name, TOWPATH_BASE_URL: endpoint.base_url ?? '' } : {}),
      ...(endpoint?.gpu === undefined ? {} : { CUDA_VISIBLE_DEVICES: endpoint.gpu }),
      TOWPATH_RUN: record.marker,
    },
  });
}
