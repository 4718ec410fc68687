// Runs the hooks of one event in order, tells what they say, and stops at the first that does not say "continue".
import { basename } from 'node:path';
import type { Events } from '../events.ts';
import type { Workspace } from '../paths.ts';
import { childEnv } from '../process/env.ts';
import { run } from '../process/run.ts';
import { MARKER } from '../process/tree.ts';
import type { HookEvent } from '../settings.ts';
import { discoverHooks } from './discover.ts';
import { type HookEnd, splitDecision, type Verdict, verdictOf } from './verdict.ts';

export interface HooksOptions {
  workspace: Workspace;
  event: HookEvent;
  /** What stdin carries; keys of the contract that are missing become null. */
  payload: Readonly<Record<string, unknown>>;
  cwd: string;
  /** Names to let through from our environment, or values to set on top of the common ones. */
  env?: readonly string[] | Readonly<Record<string, string>>;
  /** For each hook. */
  timeout_ms: number;
  events: Events;
  signal?: AbortSignal | undefined;
}

export interface HookRun extends HookEnd {
  /** Absolute path. */
  hook: string;
  verdict: Verdict;
}

export interface HooksAnswer {
  /** That of the first hook that does not say "continue" (its reason names the hook's file where it has more than the event's name), else "continue" with the messages of all. */
  verdict: Verdict;
  /** Texts for the prompt, one a hook that gave one. */
  context: string[];
  /** Variables for the agent; a later hook sees those of an earlier one, and wins. */
  env: Record<string, string>;
  /** `stdout` is without the decision. */
  runs: HookRun[];
}

/** A decision that carries context, and a poll that lists many tasks, must come through whole. */
const OUTPUT_BYTES = 16 * 1024 * 1024;
/** What a variable of the environment may hold; the kernel refuses more than 128 KiB. */
const VARIABLE_CHARS = 4096;
/** Lines of one hook that are told and kept in the ledger: a hook that runs wild must not fill it. */
const LINES_TOLD = 1000;
const LINE_CHARS = 4000;
const KEYS = ['task', 'attempt', 'workspace', 'repo', 'worktree', 'branch', 'agent', 'model', 'result'];

/** Never rejects for what a hook does; throws when the hooks folder cannot be read. */
export async function runHooks(options: HooksOptions): Promise<HooksAnswer> {
  const { workspace, event, events, cwd, timeout_ms, signal } = options;
  const messages: string[] = [];
  const verdict: Verdict = { kind: 'continue', context: null, env: {}, messages };
  const answer: HooksAnswer = { verdict, context: [], env: {}, runs: [] };
  const { run: hooks, notExecutable } = discoverHooks(workspace.hooks, event);
  for (const path of notExecutable) warnOnce(events, path);
  if (hooks.length === 0) return answer;

  const payload: Record<string, unknown> = {
    version: 1,
    event,
    ...Object.fromEntries(KEYS.map((key) => [key, null])),
    workspace: workspace.root,
    ...options.payload,
  };
  const input = `${JSON.stringify(payload)}\n`;
  const task = idOf(payload);
  // With the task's own segments, so that what a killed daemon left running can be found.
  const marker = `${task ?? 'towpath'}/${payload['attempt'] ?? event}`;
  const names = Array.isArray(options.env) ? (options.env as readonly string[]) : [];
  const values = Array.isArray(options.env) ? {} : (options.env as Readonly<Record<string, string>> | undefined);
  for (const path of hooks) {
    const hook = path.slice(workspace.hooks.length + 1);
    let said = 0;
    const say = (line: string) => {
      if (++said > LINES_TOLD + 1) return;
      const text = said > LINES_TOLD ? `… more than ${LINES_TOLD} lines: the rest is not told` : line;
      events.emit('hook_output', {
        task,
        moment: event,
        hook,
        text: text.length > LINE_CHARS ? `${text.slice(0, LINE_CHARS)}…` : text,
      });
    };
    const lines = new Held(event, say);
    const end = await run({
      argv: [path],
      cwd,
      env: childEnv({ allow: names, set: { ...values, ...answer.env, ...variables(payload), [MARKER]: marker } }),
      input,
      timeout_ms,
      maxOutput: OUTPUT_BYTES,
      onLine: (text, stream) => (stream === 'stdout' ? lines.take(text) : say(text)),
      signal,
    });
    lines.flush();
    if (end.left.length > 0)
      events.emit('warning', {
        ...(task ? { task } : {}),
        message: `hook ${hook} left processes that cannot be ended: pid ${end.left.join(', ')}`,
      });
    const verdict = end.aborted
      ? ({ kind: 'failed', reason: 'called off', messages: [] } satisfies Verdict)
      : verdictOf({ ...end, duration_ms: end.timedOut ? timeout_ms : end.duration_ms }, event === 'poll');
    const reason = 'reason' in verdict ? verdict.reason : '';
    const { duration_ms } = end;
    const ok = verdict.kind !== 'failed';
    events.emit('hook_finished', { task, moment: event, hook, ok, decision: verdict.kind, reason, duration_ms });
    answer.runs.push({ ...end, stdout: verdict.messages.join('\n'), hook: path, verdict });
    if (verdict.kind !== 'continue') {
      const named = basename(path) === event ? reason : `${hook}: ${reason}`;
      answer.verdict = { ...verdict, reason: named };
      return answer;
    }
    // Not spread: there may be more of them than a call takes arguments.
    for (const message of verdict.messages) messages.push(message);
    if (verdict.context) answer.context.push(verdict.context);
    Object.assign(answer.env, verdict.env);
  }
  return answer;
}

/** Tells lines as they come, but holds what may be the decision: it is no message. The tasks of a poll are none either. */
class Held {
  readonly #event: HookEvent;
  readonly #say: (text: string) => void;
  #held: string[] = [];
  constructor(event: HookEvent, say: (text: string) => void) {
    this.#event = event;
    this.#say = say;
  }

  take(text: string): void {
    // A decision begins with a brace, on the last line or, pretty-printed, on a few lines.
    const begins = text.trimStart().startsWith('{');
    const pretty = this.#held[0]?.trimEnd() === '{' && this.#held.length < 100;
    if (begins || !pretty) this.flush(false);
    if (begins || this.#held.length > 0) this.#held.push(text);
    else if (text.trim() !== '') this.#say(text);
  }

  flush(atEnd = true): void {
    const held = this.#held;
    this.#held = [];
    const lines = atEnd ? splitDecision(held.join('\n'), this.#event === 'poll').lines : held;
    for (const line of lines)
      if (line.trim() !== '' && !(this.#event === 'poll' && line.startsWith('{'))) this.#say(line);
  }
}

/** The payload as TOWPATH_* variables; what is missing is not set. */
function variables(payload: Readonly<Record<string, unknown>>): Record<string, string> {
  const task = (payload['task'] ?? {}) as Record<string, unknown>;
  const given: Record<string, unknown> = {
    EVENT: payload['event'],
    TASK_ID: task['id'],
    TITLE: task['title'],
    QUEUE: task['queue'],
    ATTEMPT: payload['attempt'] ?? task['attempts'],
    WORKSPACE: payload['workspace'],
    REPO: payload['repo'],
    WORKTREE: payload['worktree'] ?? task['worktree'],
    BRANCH: payload['branch'] ?? task['branch'],
    AGENT: payload['agent'] ?? task['agent'],
    MODEL: payload['model'] ?? task['model'],
    ROLE: payload['role'] ?? task['role'],
    OUTCOME: payload['outcome'] ?? task['outcome'],
    REASON: payload['reason'] ?? task['reason'],
    RESULT: payload['result'] ?? task['result'],
    FROM: payload['from'],
    TO: payload['to'],
  };
  const set: Record<string, string> = {};
  for (const [name, value] of Object.entries(given)) {
    if (value === null || value === undefined) continue;
    const text = typeof value === 'object' ? JSON.stringify(value) : String(value);
    set[`TOWPATH_${name}`] = text.replaceAll('\0', '').slice(0, VARIABLE_CHARS);
  }
  return set;
}

function idOf(payload: Readonly<Record<string, unknown>>): string | null {
  const task = payload['task'] as { id?: unknown } | null;
  return typeof task?.id === 'string' ? task.id : null;
}

const warned = new Set<string>();

/** A gate that silently does not run is worse than none: said once for each file. */
function warnOnce(events: Events, path: string): void {
  if (warned.has(path)) return;
  warned.add(path);
  events.emit('warning', { message: `the hook ${path} is not executable and does not run: chmod +x it, or rename it` });
}
