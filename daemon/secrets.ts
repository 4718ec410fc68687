// Keys and tokens: where they come from when the settings say so, and that nothing of them is written down.
import { lstatSync, readFileSync, statSync } from 'node:fs';
import { homedir } from 'node:os';
import { join, resolve } from 'node:path';
import { TowpathError } from './errors.ts';
import type { Settings } from './settings.ts';

type Source = Settings['secrets'][string];

/** Names whose values are taken for secrets wherever they come from. */
const SECRET_NAME = /(^|_)(API_?KEY|KEY|TOKEN|SECRET|PASSWORD|PASSWD|CREDENTIALS?|AUTH)($|_)/i;
/** A shorter value may be a word like any other, characters. */
const GUARDED_MIN = 12;
const MAX_BYTES = 64 * 1024;

let sources: Readonly<Record<string, Source>> = {};
let root = '/';
const guarded = new Map<string, string>();

/** Takes over `secrets:` of the settings, and guards every secret that can be seen from here. Never throws: what is wrong is told at use. */
export function useSecrets(settings: Pick<Settings, 'secrets'>, workspace: string, env = process.env): void {
  sources = settings.secrets;
  root = workspace;
  for (const [name, value] of Object.entries(env)) if (value && SECRET_NAME.test(name)) guard(name, value);
  for (const name of Object.keys(sources))
    try {
      secretOf(name, env);
    } catch {
      // Told when a run needs it, and by doctor.
    }
}

/** From now on this value is taken out of all that is written. */
export function guard(name: string, value: string): void {
  // A path that a variable holds (GOOGLE_APPLICATION_CREDENTIALS) is no secret.
  if (value.length >= GUARDED_MIN && !value.startsWith('/')) guarded.set(value, name);
}

/** The value that the settings name a source for; undefined when they name none. Throws `bad_settings` when it cannot be had. */
export function secretOf(name: string, env: NodeJS.ProcessEnv = process.env): string | undefined {
  const source = sources[name];
  if (!source) return undefined;
  const value = 'env' in source ? env[source.env] : readSecret(name, pathOf(name, source, env));
  if (!value) throw problem(name, 'env' in source ? `the variable ${source.env} is not set` : 'it is empty');
  guard(name, value);
  return value;
}

/** The environment together with all secrets that can be had. */
export function outside(env: NodeJS.ProcessEnv = process.env): NodeJS.ProcessEnv {
  const all = { ...env };
  for (const name of Object.keys(sources))
    try {
      all[name] = secretOf(name, env);
    } catch {
      delete all[name];
    }
  return all;
}

function pathOf(name: string, source: Exclude<Source, { env: string }>, env: NodeJS.ProcessEnv): string {
  if ('file' in source)
    return source.file.startsWith('~/') ? join(homedir(), source.file.slice(2)) : resolve(root, source.file);
  const dir = env['CREDENTIALS_DIRECTORY'];
  if (!dir)
    throw problem(name, `there is no systemd credential "${source.credential}": CREDENTIALS_DIRECTORY is not set`);
  return join(dir, source.credential);
}

/** Of a file that others may read the secret is none. */
function readSecret(name: string, path: string): string {
  const found = lstatSync(path, { throwIfNoEntry: false }) && statSync(path, { throwIfNoEntry: false });
  if (!found) throw problem(name, `${path} does not exist`);
  if (!found.isFile() || found.size > MAX_BYTES) throw problem(name, `${path} is no small file`);
  if (found.mode & 0o077)
    throw problem(
      name,
      `${path} may be read by others (mode ${(found.mode & 0o777).toString(8).padStart(4, '0')})`,
      `chmod 600 ${path}`,
    );
  const own = process.getuid?.();
  if (own !== undefined && found.uid !== own && found.uid !== 0) throw problem(name, `${path} belongs to another user`);
  try {
    return readFileSync(path, 'utf8').replace(/\r?\n$/, '');
  } catch (thrown) {
    throw problem(name, `${path} cannot be read (${String((thrown as NodeJS.ErrnoException).code)})`);
  }
}

const problem = (name: string, what: string, next = `mend it, or secrets.${name} in towpath.yaml`): TowpathError =>
  new TowpathError('bad_settings', `secrets.${name}: ${what}`, next);

/** A text without any guarded value: its name stands in its place. */
export function redact(text: string): string {
  let clean = text;
  for (const [value, name] of guarded) if (clean.includes(value)) clean = clean.replaceAll(value, `[${name}]`);
  return clean;
}

/** The same for every text in a value of plain JSON. What holds none is returned as it is. */
export function redactAll<T>(value: T): T {
  if (guarded.size === 0) return value;
  const text = JSON.stringify(value);
  if (text === undefined || ![...guarded.keys()].some((secret) => text.includes(inJson(secret)))) return value;
  return JSON.parse(text, (_, at: unknown) => (typeof at === 'string' ? redact(at) : at)) as T;
}

const inJson = (text: string): string => JSON.stringify(text).slice(1, -1);

/** The guarded values, for whoever looks through files. */
export const guardedValues = (): readonly string[] => [...guarded.keys()];
