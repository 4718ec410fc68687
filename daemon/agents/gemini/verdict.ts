// Judges how a Gemini CLI run failed: from its exit code, and from the API's error where the CLI passes it on whole.
import type { Outcome } from '../../task/terms.ts';
import { isJson, type Json, list, str } from '../json.ts';

/** The CLI's own exit codes. */
const BY_EXIT: Record<number, Outcome> = { 41: 'auth', 53: 'max_turns' };

const BY_STATUS: Record<number, Outcome> = {
  401: 'auth',
  402: 'billing',
  403: 'auth',
  408: 'transient',
  413: 'context_exceeded',
  429: 'rate_limited',
  499: 'transient',
};

/** `ErrorInfo.reason` of Google's APIs. */
const BY_REASON: Record<string, Outcome> = {
  API_KEY_INVALID: 'auth',
  API_KEY_EXPIRED: 'auth',
  API_KEY_SERVICE_BLOCKED: 'auth',
  BILLING_DISABLED: 'billing',
};

/** The HTTP status behind an exit code: what is left of it in 8 bits. Codes below 8 are no status of any service. */
export function statusOf(code: number | null): number | null {
  if (code === null) return null;
  if (code >= 144) return code + 256;
  return code >= 8 && code < 40 ? code + 512 : null;
}

/** `[API Error: {"error": …}]`: the body of the service's answer, as the CLI wraps it. */
function bodyOf(message: string): Json {
  const found = /^\[API Error: (\{.*\})\]/s.exec(message);
  try {
    const body: unknown = JSON.parse(found?.[1] ?? '');
    return isJson(body) && isJson(body['error']) ? body['error'] : {};
  } catch {
    return {};
  }
}

/** What is wrong in words: the service's message without its wrapping. */
export const wordsOf = (message: string): string =>
  str(bodyOf(message)['message']) ?? /^\[API Error: ([\s\S]*?)\](?:\n|$)/.exec(message)?.[1] ?? message;

// Google tells an overflow in these words alone: the status and the code are those of any bad request.
const TOO_LONG = /^The input token count (?:\(\d+\) )?exceeds the maximum number of tokens allowed/;
// No status can be had where no answer came: undici's and the SDK's fixed words.
const NO_ANSWER = /^\[API Error: (?:exception TypeError: fetch failed|terminated\]|Incomplete JSON segment)/;

/** `error` is that of the result event; null when there was none. */
export function outcomeOf(code: number | null, error: string | null): Outcome {
  const own = BY_EXIT[code ?? -1];
  if (own) return own;
  if (error === null) return 'failed';
  const body = bodyOf(error);
  for (const detail of list(body['details'])) {
    const reason = BY_REASON[str(detail['reason']) ?? ''];
    if (reason) return reason;
  }
  const status = statusOf(code);
  if (status === null) return NO_ANSWER.test(error) ? 'transient' : 'failed';
  if (status === 400 && body['status'] === 'FAILED_PRECONDITION') return 'billing';
  if (status === 400 && TOO_LONG.test(str(body['message']) ?? '')) return 'context_exceeded';
  return BY_STATUS[status] ?? (status >= 500 ? 'transient' : 'failed');
}

/** Seconds after which the service wants to be asked again, once it is known to be a limit. */
export function waitOf(error: string, stderr: string): number | null {
  // The CLI dumps its error object on stderr; its message has the same for those with RetryInfo.
  const dumped = /^ {2}retryDelayMs: (\d+(?:\.\d+)?),?$/m.exec(stderr);
  if (dumped) return Number(dumped[1]) / 1000;
  const told = /\bSuggested retry after (\d+(?:\.\d+)?)s\./.exec(error);
  return told ? Number(told[1]) : null;
}
