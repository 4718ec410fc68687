// Time: now as ISO text, and durations as people write them (30s, 10m, 2h).

const UNITS = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const;

/** The current time as ISO 8601 with milliseconds, UTC. */
export const now = (): string => new Date().toISOString();

/**
 * Milliseconds on a clock that nobody can set, from the boot of the machine on: two of one boot can be compared, also by
 * two daemons. On Linux it stands still while the machine sleeps.
 */
export const monotonic = (): number => Number(process.hrtime.bigint() / 1_000_000n);

/** Milliseconds of `30s`, `10m`, `2h`, `1d`, `250ms`; undefined when the text is none of these. A bare number is refused: its unit is unknown. */
export function parseDuration(text: string): number | undefined {
  const found = /^(\d+(?:\.\d+)?)(ms|s|m|h|d)$/.exec(text.trim());
  return found ? Number(found[1]) * UNITS[found[2] as keyof typeof UNITS] : undefined;
}

/** A duration in ms for people: `850ms`, `4.2s`, `3m10s`, `2h05m`. */
export function formatDuration(ms: number): string {
  if (ms < 1000) return `${Math.round(ms)}ms`;
  if (ms < 60_000) return `${(ms / 1000).toFixed(ms < 10_000 ? 1 : 0)}s`;
  const s = Math.round(ms / 1000);
  if (s < 3600)
    return `${Math.floor(s / 60)}m${
      s % 60
        ? String(s % 60)
            .padStart(2, '0')
            .concat('s')
        : ''
    }`;
  if (s < 172_800) return `${Math.floor(s / 3600)}h${String(Math.floor((s % 3600) / 60)).padStart(2, '0')}m`;
  return `${Math.floor(s / 86_400)}d`;
}

/** Milliseconds since the epoch of an ISO date; NaN when it is none. */
export const epochMs = (iso: string): number => Date.parse(iso);

/** Local midnight before a time in ms, as ISO text: where its day begins. */
export const startOfDay = (ms: number): string => new Date(new Date(ms).setHours(0, 0, 0, 0)).toISOString();
