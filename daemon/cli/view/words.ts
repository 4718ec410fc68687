// Figures as people say them: times as "3m ago", money, tokens, counts.
import { formatDuration } from '../../clock.ts';
import { clean } from './style.ts';

/** A span in its largest unit only: `45s`, `3m`, `2h`, `5d`. */
export function span(ms: number): string {
  const s = Math.max(0, Math.round(ms / 1000));
  if (s < 60) return `${s}s`;
  if (s < 3600) return `${Math.floor(s / 60)}m`;
  if (s < 172_800) return `${Math.floor(s / 3600)}h`;
  return `${Math.floor(s / 86_400)}d`;
}

/** `just now`, `3m ago`, `in 5m`; empty without a time. */
export function relative(iso: string | null | undefined, now: number): string {
  const at = iso ? Date.parse(iso) : Number.NaN;
  if (Number.isNaN(at)) return '';
  if (Math.abs(now - at) < 1500) return 'just now';
  return at > now ? `in ${span(at - now)}` : `${span(now - at)} ago`;
}

/** How long something has gone on, from its start. */
export function age(iso: string | null | undefined, now: number): string {
  const at = iso ? Date.parse(iso) : Number.NaN;
  return Number.isNaN(at) ? '' : span(now - at);
}

/** `14:05:09`, local. */
export function clockTime(iso: string): string {
  const at = new Date(iso);
  return Number.isNaN(at.getTime())
    ? '--:--:--'
    : [at.getHours(), at.getMinutes(), at.getSeconds()].map((n) => String(n).padStart(2, '0')).join(':');
}

/** `2026-11-20 14:05`, local. */
export function dateTime(iso: string | null | undefined): string {
  const at = new Date(iso ?? Number.NaN);
  if (Number.isNaN(at.getTime())) return '';
  const two = (n: number) => String(n).padStart(2, '0');
  return `${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())} ${two(at.getHours())}:${two(at.getMinutes())}`;
}

/** `$1.24`, `<$0.01`; empty when it is not told. */
export function money(usd: number | null | undefined): string {
  if (usd === null || usd === undefined) return '';
  return usd > 0 && usd < 0.01 ? '<$0.01' : `$${usd.toFixed(2)}`;
}

/** `950`, `1.2k`, `34k`, `3.4M`. */
export function short(n: number): string {
  for (const [unit, size] of [
    ['G', 1e9],
    ['M', 1e6],
    ['k', 1e3],
  ] as const)
    if (n >= size) return `${(n / size).toFixed(n < 10 * size ? 1 : 0).replace(/\.0$/, '')}${unit}`;
  return String(n);
}

export const percent = (part: number, whole: number): string =>
  whole === 0 ? '' : `${Math.round((100 * part) / whole)}%`;

/** A commit's id as git abbreviates it; other names stay. */
export const shortSha = (name: string): string => (/^[0-9a-f]{40,64}$/.test(name) ? name.slice(0, 10) : name);

export const plural = (n: number, one: string, many = `${one}s`): string => `${n} ${n === 1 ? one : many}`;

export const duration = (ms: number | null | undefined): string =>
  ms === null || ms === undefined ? '' : formatDuration(ms);

/** A word of a command line as it can be pasted into a shell. */
export function shellWord(word: string): string {
  const plain = clean(word);
  return /^[\w./:@%+=,-]+$/.test(plain) ? plain : `'${plain.replaceAll("'", `'\\''`)}'`;
}
