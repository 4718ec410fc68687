// Judges how a Codex run failed: by the HTTP status of its last model call and by the fixed sentences that Codex has for its kinds of errors.
import type { Outcome } from '../../task/terms.ts';

/**
 * `codex exec` tells the kind of an error nowhere else: these are its own texts, one for each kind, and not the model's or the
 * server's. Matched from their first character.
 */
const KINDS: readonly [RegExp, Outcome][] = [
  [/^You[’']ve hit your usage limit/, 'rate_limited'],
  [/^Quota exceeded\. Check your plan and billing details\./, 'billing'],
  [/^To use Codex with your ChatGPT plan, upgrade to Plus/, 'billing'],
  [/^Codex ran out of room in the model's context window\./, 'context_exceeded'],
  [/^We[’']re currently experiencing high demand/, 'transient'],
  [/^Selected model is at capacity\./, 'transient'],
  [/^Missing environment variable: `\w+`/, 'auth'],
  [/^stream disconnected before completion: /, 'transient'],
  [/^Connection failed: /, 'transient'],
  [/^request timed out/, 'transient'],
];

const STATUS = /^(?:unexpected status|exceeded retry limit, last status:) (\d{3})\b/;

const BY_STATUS: Record<number, Outcome> = {
  401: 'auth',
  402: 'billing',
  403: 'auth',
  408: 'transient',
  413: 'context_exceeded',
  429: 'rate_limited',
};

/** The codes of the API, where its answer stands as it came in place of a text. */
const BY_CODE: Record<string, Outcome> = {
  context_length_exceeded: 'context_exceeded',
  insufficient_quota: 'billing',
  billing_hard_limit_reached: 'billing',
  billing_not_active: 'billing',
  invalid_api_key: 'auth',
};

/** `status`: of the last model call; 0: it reached no server; null: nobody told. */
export function outcomeOf(message: string, status: number | null): Outcome {
  const kind = KINDS.find(([text]) => text.test(message));
  if (kind) return kind[1];
  const code = BY_CODE[codeIn(message)];
  if (code) return code;
  const told = STATUS.exec(message);
  return byStatus(told ? Number(told[1]) : status);
}

export function byStatus(status: number | null): Outcome {
  if (status === null) return 'failed';
  return BY_STATUS[status] ?? (status === 0 || status >= 500 ? 'transient' : 'failed');
}

/** The status in `unexpected status 429 Too Many Requests: …`. */
export function statusIn(message: string): number | null {
  const told = STATUS.exec(message);
  return told ? Number(told[1]) : null;
}

function codeIn(message: string): string {
  if (!message.startsWith('{')) return '';
  try {
    const { error } = JSON.parse(message) as { error?: { code?: unknown; type?: unknown } };
    return [error?.code, error?.type].find((it) => typeof it === 'string' && it in BY_CODE) as string;
  } catch {
    return '';
  }
}

const MONTHS = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec'];
const RESETS = /try again at (?:([A-Z][a-z]{2}) (\d{1,2})(?:st|nd|rd|th), (\d{4}) )?(\d{1,2}):(\d{2}) ([AP]M)/;

/**
 * The time in `… try again at 9:35 PM.` or `… at Nov 24th, 2026 9:35 PM.`, by the clock of this machine: the only place where
 * Codex tells it. Asked only once it is known to be a limit.
 */
export function resetTimeInText(text: string, nowMs: number): string | null {
  const found = RESETS.exec(text);
  if (!found) return null;
  const [, month, day, year, hour, minute, half] = found;
  const now = new Date(nowMs);
  const hours = (Number(hour) % 12) + (half === 'PM' ? 12 : 0);
  if (month) {
    const at = new Date(Number(year), MONTHS.indexOf(month), Number(day), hours, Number(minute));
    return MONTHS.includes(month) ? at.toISOString() : null;
  }
  const at = new Date(now.getFullYear(), now.getMonth(), now.getDate(), hours, Number(minute));
  // Told to the minute: one that began already is this one, not tomorrow's.
  if (at.getTime() <= nowMs - 60_000) at.setDate(at.getDate() + 1);
  return at.toISOString();
}
