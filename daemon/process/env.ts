// What a child process may see of our environment: a short list, the names that someone asked for, and what we set.
import { secretOf } from '../secrets.ts';

const COMMON = ['PATH', 'HOME', 'USER', 'LOGNAME', 'SHELL', 'LANG', 'LC_*', 'TERM', 'TMPDIR', 'TZ'];

export interface ChildEnv {
  /** Names to let through beside the common ones; a trailing `*` stands for any ending. */
  allow?: readonly string[];
  /** Values that win over what is let through. */
  set?: Readonly<Record<string, string>>;
  from?: NodeJS.ProcessEnv;
}

/** The whole environment of a child. Keys are never inherited by accident: what is not named does not pass. Throws `bad_settings` when a secret that is allowed cannot be had. */
export function childEnv({ allow = [], set = {}, from = process.env }: ChildEnv): Record<string, string> {
  const env: Record<string, string> = {};
  const starts: string[] = [];
  for (const name of [...COMMON, ...allow]) {
    const value = secretOf(name, from) ?? from[name];
    if (name.length > 1 && name.endsWith('*')) starts.push(name.slice(0, -1));
    else if (value !== undefined) env[name] = value;
  }
  for (const [name, value] of Object.entries(from))
    if (value !== undefined && starts.some((start) => name.startsWith(start))) env[name] = value;
  return Object.assign(env, set);
}
