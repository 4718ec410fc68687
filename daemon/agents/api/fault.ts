// What a failed model call means: an outcome, and when to come back. From status, headers and the error object alone.
import type { Outcome } from '../../task/terms.ts';
import { isJson, str } from '../json.ts';

/** A call that failed, as the client tells it. */
export interface Failure {
  /** HTTP status; null: the server was not reached, or the answer was cut off. */
  status: number | null;
  headers: Record<string, string>;
  /** The server's answer, parsed where it is JSON. */
  body: unknown;
  message: string;
}

export class Fault extends Error {
  override name = 'Fault';
  readonly outcome: Outcome;
  /** ISO time from which a try makes sense again. */
  readonly resets_at: string | null;

  constructor(outcome: Outcome, message: string, resets_at: string | null = null) {
    super(message);
    this.outcome = outcome;
    this.resets_at = resets_at;
  }
}

const BY_STATUS: Record<number, Outcome> = {
  401: 'auth',
  402: 'billing',
  403: 'auth',
  408: 'transient',
  413: 'context_exceeded',
  429: 'rate_limited',
};

/** Codes and types of error objects that say more than the status beside them. */
const BY_NAME: Record<string, Outcome> = {
  context_length_exceeded: 'context_exceeded',
  exceed_context_size_error: 'context_exceeded',
  request_too_large: 'context_exceeded',
  insufficient_quota: 'billing',
  billing_error: 'billing',
  billing_not_active: 'billing',
};

// Three servers tell these in a message of fixed form and nowhere else: Anthropic twice, vLLM.
const BY_FORM: readonly [RegExp, Outcome][] = [
  [/^prompt is too long: \d+ tokens > \d+ maximum/, 'context_exceeded'],
  [/^Your credit balance is too low to access the Anthropic API/, 'billing'],
  [/^This model's maximum context length is \d+ tokens/, 'context_exceeded'],
];

/** The fault that a failed call is, with the server's name before what it said. */
export function faultOf(server: string, failure: Failure, now = Date.now()): Fault {
  const { status, headers, message } = failure;
  const error = errorOf(failure.body);
  const told = str(error['message']) ?? message;
  const named = [error['code'], error['type']].flatMap((name) => BY_NAME[String(name)] ?? []);
  const formed = status === 400 ? BY_FORM.flatMap(([form, means]) => (form.test(told) ? [means] : [])) : [];
  const outcome = named[0] ?? formed[0] ?? byStatus(status);
  const at = outcome === 'rate_limited' ? resetOf(headers, now) : null;
  return new Fault(outcome, `${server}: ${status === null ? '' : `${status} `}${told.slice(0, 500)}`, at);
}

function byStatus(status: number | null): Outcome {
  if (status === null) return 'transient';
  return BY_STATUS[status] ?? (status >= 500 ? 'transient' : 'failed');
}

/** The error object of an answer: below `error` with all whom we speak to, or the answer itself. */
function errorOf(body: unknown): Record<string, unknown> {
  if (!isJson(body)) return {};
  return isJson(body['error']) ? body['error'] : body;
}

const WINDOWS = ['requests', 'tokens', 'input-tokens', 'output-tokens'];

/** When a limit resets: what `retry-after` says, else the last of Anthropic's windows that is used up. */
function resetOf(headers: Record<string, string>, now: number): string | null {
  const after = headers['retry-after'];
  if (after !== undefined) {
    const at = /^\d+(\.\d+)?$/.test(after) ? now + Number(after) * 1000 : Date.parse(after);
    if (Number.isFinite(at)) return new Date(at).toISOString();
  }
  const unified = Number(headers['anthropic-ratelimit-unified-reset']) * 1000;
  const used = WINDOWS.filter((name) => headers[`anthropic-ratelimit-${name}-remaining`] === '0');
  const times = (used.length > 0 ? used : WINDOWS).map((name) =>
    Date.parse(headers[`anthropic-ratelimit-${name}-reset`] ?? ''),
  );
  const last = Math.max(...[unified, ...times].filter((at) => at > 0 && at < 8e15));
  return Number.isFinite(last) ? new Date(last).toISOString() : null;
}
