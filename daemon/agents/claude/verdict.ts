// Judges how a Claude Code run failed: from its structured fields alone, never from prose.
import type { Outcome } from '../../task/terms.ts';

/** What the stream told about a failure. Older builds leave some of it out. */
export interface Failure {
  subtype: string | null;
  terminal_reason: string | null;
  /** HTTP status of the last model call. */
  status: number | null;
  /** The error type of the API, and the CLI's own kind of error (on its synthetic assistant message). */
  type: string | null;
  kind: string | null;
  /** The account's window is used up (rate_limit_event). */
  rejected: boolean;
}

const BY_END: Record<string, Outcome> = {
  error_max_turns: 'max_turns',
  max_turns: 'max_turns',
  error_max_budget_usd: 'budget',
  budget_exhausted: 'budget',
  prompt_too_long: 'context_exceeded',
};

const BY_KIND: Record<string, Outcome> = {
  authentication_failed: 'auth',
  oauth_org_not_allowed: 'auth',
  account_on_hold: 'auth',
  verification_required: 'auth',
  cloud_credential_error: 'auth',
  billing_error: 'billing',
  rate_limit: 'rate_limited',
  overloaded: 'transient',
  server_error: 'transient',
  model_not_found: 'failed',
};

const BY_STATUS: Record<number, Outcome> = {
  401: 'auth',
  402: 'billing',
  403: 'auth',
  408: 'transient',
  413: 'context_exceeded',
  429: 'rate_limited',
};

export function outcomeOf(failure: Failure): Outcome {
  const end = BY_END[failure.subtype ?? ''] ?? BY_END[failure.terminal_reason ?? ''];
  if (end) return end;
  if (failure.type === 'billing_error') return 'billing';
  const kind = BY_KIND[failure.kind ?? ''];
  if (kind) return kind;
  const status = failure.status === null ? undefined : BY_STATUS[failure.status];
  if (status) return status;
  if (failure.rejected) return 'rate_limited';
  if (failure.status !== null) return failure.status >= 500 ? 'transient' : 'failed';
  // A model call that failed with no status at all never reached a server.
  const asked = failure.kind === 'invalid_request' || failure.kind === 'max_output_tokens';
  return failure.terminal_reason === 'api_error' && !asked ? 'transient' : 'failed';
}

/** ISO time of `resetsAt`, which is in seconds. */
export function resetTime(value: unknown): string | null {
  if (typeof value !== 'number' || !Number.isFinite(value) || value <= 0) return null;
  const date = new Date(value > 1e12 ? value : value * 1000);
  return Number.isNaN(date.getTime()) ? null : date.toISOString();
}

const MONTHS = ['jan', 'feb', 'mar', 'apr', 'may', 'jun', 'jul', 'aug', 'sep', 'oct', 'nov', 'dec'];
const RESETS =
  /resets\s+(?:at\s+)?(?:([a-z]{3})[a-z]*\s+(\d{1,2}),?\s+(?:at\s+)?)?(\d{1,2})(?::(\d{2}))?\s*([ap]m)\s*\(([\w/+-]+)\)/i;

/**
 * The time in `You've hit your limit · resets 10:09pm (UTC)`, the only place where some builds tell it.
 * It is asked only once the structured fields have said that this is a limit.
 */
export function resetTimeInText(text: string, nowMs: number): string | null {
  const found = RESETS.exec(text);
  if (!found) return null;
  const [, month, day, hour, minute, half, zone] = found;
  const offset = zoneOffset(zone!, nowMs);
  if (offset === null) return null;
  const wall = new Date(nowMs + offset);
  const monthIndex = month ? MONTHS.indexOf(month.toLowerCase()) : wall.getUTCMonth();
  if (monthIndex < 0) return null;
  const hours = (Number(hour) % 12) + (half!.toLowerCase() === 'pm' ? 12 : 0);
  const at = (year: number) =>
    Date.UTC(year, monthIndex, day ? Number(day) : wall.getUTCDate(), hours, Number(minute ?? 0)) - offset;
  let ms = at(wall.getUTCFullYear());
  if (ms <= nowMs) ms = month ? at(wall.getUTCFullYear() + 1) : ms + 86_400_000;
  return new Date(ms).toISOString();
}

/** Milliseconds that a zone's clock is ahead of UTC now; null when the zone is unknown. */
function zoneOffset(zone: string, nowMs: number): number | null {
  try {
    const parts = new Intl.DateTimeFormat('en-US', {
      timeZone: zone,
      hourCycle: 'h23',
      ...{ year: 'numeric', month: 'numeric', day: 'numeric', hour: 'numeric', minute: 'numeric', second: 'numeric' },
    }).formatToParts(nowMs);
    const get = (type: string) => Number(parts.find((part) => part.type === type)?.value);
    const wall = Date.UTC(get('year'), get('month') - 1, get('day'), get('hour'), get('minute'), get('second'));
    return wall - Math.floor(nowMs / 1000) * 1000;
  } catch {
    return null;
  }
}
