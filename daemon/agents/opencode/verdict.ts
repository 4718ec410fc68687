// Judges how an opencode run failed: by the name, the status and the code of its last error.
import type { Outcome } from '../../task/terms.ts';
import { isJson, type Json, str } from '../json.ts';

const BY_NAME: Record<string, Outcome> = {
  ContextOverflowError: 'context_exceeded',
  ProviderAuthError: 'auth',
};

const BY_STATUS: Record<number, Outcome> = {
  401: 'auth',
  402: 'billing',
  403: 'auth',
  408: 'transient',
  413: 'context_exceeded',
  429: 'rate_limited',
};

const dataOf = (error: Json): Json => (isJson(error['data']) ? error['data'] : {});

/** The error of the service's answer. */
function bodyOf(error: Json): Json {
  try {
    const body: unknown = JSON.parse(str(dataOf(error)['responseBody']) ?? '');
    return isJson(body) && isJson(body['error']) ? body['error'] : {};
  } catch {
    return {};
  }
}

export const wordsOf = (error: Json): string =>
  str(dataOf(error)['message']) ?? str(error['name']) ?? 'no reason given';

export function outcomeOf(error: Json): Outcome {
  const name = BY_NAME[str(error['name']) ?? ''];
  if (name) return name;
  const { code, type } = bodyOf(error);
  if (code === 'insufficient_quota' || type === 'insufficient_quota' || type === 'billing_error') return 'billing';
  if (code === 'context_length_exceeded') return 'context_exceeded';
  const { statusCode, isRetryable } = dataOf(error);
  // A call that may be tried again and has no status never reached a server.
  if (typeof statusCode !== 'number') return isRetryable === true ? 'transient' : 'failed';
  return BY_STATUS[statusCode] ?? (statusCode >= 500 ? 'transient' : 'failed');
}

/** When the service wants to be asked again, ms since the epoch; `at` is when it said so. */
export function retryOf(error: Json, at: number): number | null {
  const { responseHeaders } = dataOf(error);
  const headers = isJson(responseHeaders) ? responseHeaders : {};
  const resets = bodyOf(error)['resets_at'];
  if (typeof resets === 'number' && resets > 0) return resets * 1000;
  const ms = Number.parseFloat(str(headers['retry-after-ms']) ?? '');
  if (ms >= 0) return at + ms;
  const after = str(headers['retry-after']);
  if (after === null) return null;
  const time = /^\d+(?:\.\d+)?$/.test(after) ? at + Number(after) * 1000 : Date.parse(after);
  return Number.isFinite(time) ? time : null;
}
