// Reads the lines of Codex' own log on stderr that tell what its event stream leaves out: statuses, usage, waits.
import type { Usage } from '../port.ts';

export type Logged =
  | { what: 'call'; status: number; model: string | null }
  | { what: 'usage'; usage: Usage }
  /** It sleeps before the next try; `until` in ms since 1970. */
  | { what: 'wait'; until: number; error: string }
  /** A tool call that the sandbox or the settings did not let pass. */
  | { what: 'refused'; error: string };

const LINE =
  /^(\d{4}-\d\d-\d\dT[\d:.]+Z)\s+[A-Z]+ (?:.*: )?(codex_otel\.trace_safe|codex_core::responses_retry|codex_core::tools::router): (.*)$/;
const WAIT = / \(\d+\/\d+ in ([\d.]+)(ns|µs|ms|s)\)\.\.\. .*?sampling_error=(.*)$/;
const UNITS: Record<string, number> = { ns: 1e-6, µs: 1e-3, ms: 1, s: 1000 };

/** What a line tells, or null when it is another one. */
export function readLog(text: string): Logged | null {
  const found = LINE.exec(text);
  if (!found) return null;
  const [, at, target, rest] = found as unknown as [string, string, string, string];
  if (target === 'codex_core::responses_retry') {
    const wait = WAIT.exec(rest);
    const until = wait ? Date.parse(at) + Number(wait[1]) * UNITS[wait[2]!]! : Number.NaN;
    return Number.isFinite(until) ? { what: 'wait', until, error: wait![3]! } : null;
  }
  if (target === 'codex_core::tools::router') return { what: 'refused', error: rest.replace(/^error=/, '') };
  const field = (name: string) => new RegExp(`(?:^| )${name}="?([^" ]*)`).exec(rest)?.[1];
  const amount = (name: string) => Number(field(name) ?? 0) || 0;
  const event = field('event\\.name');
  if (event === 'codex.sse_event' && field('input_token_count') !== undefined) {
    const cached = amount('cached_token_count');
    const written = amount('cache_write_token_count');
    return {
      what: 'usage',
      usage: {
        input: Math.max(0, amount('input_token_count') - cached - written),
        output: amount('output_token_count'),
        ...{ cache_read: cached, cache_write: written, cost_usd: null },
      },
    };
  }
  // A call without a status never reached a server.
  if (event === 'codex.api_request' || event === 'codex.websocket_connect')
    return { what: 'call', status: amount('http\\.response\\.status_code'), model: field('model') ?? null };
  return null;
}
