// What a hook's end means: exit code, last line and stderr become one verdict. Pure.
import { formatDuration, parseDuration } from '../clock.ts';

/** How a hook ended; the texts are whole or bounded, the end of each is there. */
export interface HookEnd {
  code: number | null;
  signal: string | null;
  stdout: string;
  stderr: string;
  timedOut: boolean;
  duration_ms: number;
  spawnError?: string | undefined;
}

export type Verdict =
  /** `context` is text for the prompt; `env` goes to the agent; `messages` are the lines before the decision. */
  | { kind: 'continue'; context: string | null; env: Record<string, string>; messages: string[] }
  | { kind: 'block' | 'skip'; reason: string; messages: string[] }
  | { kind: 'retry'; reason: string; retry_after_ms?: number; messages: string[] }
  /** The hook itself is at fault: the operator is asked. */
  | { kind: 'failed'; reason: string; messages: string[] };

interface Decision {
  decision: 'continue' | 'block' | 'retry' | 'skip';
  reason: string;
  retry_after_ms?: number;
  context: string | null;
  env: Record<string, string>;
}

const DECISIONS = ['continue', 'block', 'retry', 'skip'] as const;
const KEYS = ['decision', 'reason', 'retry_after', 'context', 'env'];
const TRY_LATER = 75;
const REASON_CHARS = 2000;

/**
 * `onlyMarked` takes a last JSON line for a decision when it has the key `decision`, and for a message otherwise: for
 * hooks whose very output is JSON lines (poll).
 */
export function verdictOf(end: HookEnd, onlyMarked = false): Verdict {
  const { lines: messages, decision } = splitDecision(end.stdout, onlyMarked);
  const failed = (reason: string): Verdict => ({ kind: 'failed', reason, messages });
  if (end.spawnError) return failed(end.spawnError);
  if (end.timedOut)
    return failed(withOutput(`took longer than ${formatDuration(end.duration_ms)} and was ended`, end, messages));
  if (end.code === null) return failed(withOutput(`ended by ${end.signal ?? 'a signal'}`, end, messages));
  if (end.code !== 0 && end.code !== TRY_LATER)
    return failed(tail(end.stderr) || withOutput(`exit code ${end.code}`, end, messages));
  if (typeof decision === 'string') return failed(decision);
  if (end.code === TRY_LATER || decision?.decision === 'retry') {
    const reason = decision?.reason || tail(end.stderr) || messages.at(-1)?.slice(0, REASON_CHARS) || 'no reason given';
    const after = decision?.retry_after_ms;
    return { kind: 'retry', reason, ...(after === undefined ? {} : { retry_after_ms: after }), messages };
  }
  if (decision?.decision === 'block' || decision?.decision === 'skip') {
    const reason = decision.reason || tail(end.stderr) || messages.at(-1)?.slice(0, REASON_CHARS) || 'no reason given';
    return { kind: decision.decision, reason, messages };
  }
  return { kind: 'continue', context: decision?.context ?? null, env: decision?.env ?? {}, messages };
}

/** The lines of stdout, and the decision if the last one is one; a text says why it is none that can be followed. */
export function splitDecision(
  stdout: string,
  onlyMarked: boolean,
): { lines: string[]; decision: Decision | string | undefined } {
  const lines = stdout.split(/\r?\n/);
  while (lines.length > 0 && lines.at(-1)!.trim() === '') lines.pop();
  const last = lines.at(-1)?.trim() ?? '';
  // A pretty-printed object ends in a line of its own: it is meant as the last line, and must not pass unheard.
  const from = last === '}' ? lines.findLastIndex((line) => line.trimEnd() === '{') : lines.length - 1;
  const text = lines.slice(from).join('\n').trim();
  if (from < 0 || !text.startsWith('{')) return { lines, decision: undefined };
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    const meant = /^\{\s*["']?decision\b/.test(text);
    if (!meant) return { lines, decision: undefined };
    return { lines: lines.slice(0, from), decision: `its decision is no valid JSON: ${text.slice(0, 200)}` };
  }
  const object = value as Record<string, unknown>;
  // Without the key itself it may be a line of a log: then it must hold nothing else than a decision does.
  const names = Object.keys(object);
  const bare = !onlyMarked && names.length > 0 && names.every((name) => KEYS.includes(name));
  const known = 'decision' in object || bare;
  return known ? { lines: lines.slice(0, from), decision: readDecision(object) } : { lines, decision: undefined };
}

function readDecision(given: Record<string, unknown>): Decision | string {
  const show = (value: unknown) => JSON.stringify(value).slice(0, 100);
  const { decision = 'continue', reason = '', retry_after, context = null, env = {} } = given;
  const known = DECISIONS.find((one) => one === decision);
  if (!known) return `its decision is ${show(decision)}: allowed are ${DECISIONS.join(', ')}`;
  if (typeof reason !== 'string') return `its decision has the reason ${show(reason)}, which is no text`;
  if (context !== null && typeof context !== 'string')
    return `its decision has the context ${show(context)}, which is no text`;
  const after = typeof retry_after === 'string' ? parseDuration(retry_after) : undefined;
  if (retry_after !== undefined && retry_after !== null && after === undefined)
    return `its decision has retry_after ${show(retry_after)}: write 30s, 5m or 2h`;
  const values = readEnv(env);
  if (typeof values === 'string') return values;
  const when = after === undefined ? {} : { retry_after_ms: after };
  return { decision: known, reason: reason.trim().slice(0, REASON_CHARS), context, env: values, ...when };
}

/** PATH and the like are the user's own to set; TOWPATH_* says which run this is, and stays as it is. */
function readEnv(env: unknown): Record<string, string> | string {
  if (env === null) return {};
  if (typeof env !== 'object' || Array.isArray(env)) return 'its decision has an env that is no object';
  const values: Record<string, string> = {};
  for (const [name, value] of Object.entries(env)) {
    const shown = JSON.stringify(name);
    if (!/^[A-Za-z_][A-Za-z0-9_]*$/.test(name)) return `its decision sets ${shown}, which is no name of a variable`;
    if (name.startsWith('TOWPATH_')) return `its decision sets ${shown}: TOWPATH_* is Towpath's own`;
    if (!['string', 'number', 'boolean'].includes(typeof value)) return `its decision sets ${shown} to what is no text`;
    if (String(value).includes('\0')) return `its decision sets ${shown} to a text with a NUL byte`;
    values[name] = String(value);
  }
  return values;
}

function withOutput(what: string, end: HookEnd, messages: string[]): string {
  const said = tail(end.stderr) || messages.at(-1)?.slice(0, REASON_CHARS);
  return said ? `${what}: ${said}` : what;
}

const tail = (text: string): string => text.trim().slice(-REASON_CHARS);
