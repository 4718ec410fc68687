// The text of a service: a template of systemd/ filled in for one workspace.
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { basename } from 'node:path';
import { mustBeWritable, WRITINGS } from './quote.ts';

export type Form = 'systemd' | 'launchd';
/** The user's own service manager, or the machine's. */
export type Scope = 'user' | 'system';

/** What differs from one service to another. Paths are absolute. */
export interface Service {
  form: Form;
  scope: Scope;
  name: string;
  workspace: string;
  /** Node, and towpath.js. */
  node: string;
  program: string;
  /** PATH of the agents. */
  path: string;
  /** The optional file with secrets. */
  environment: string;
  user: string;
  /** launchd keeps no journal. */
  log: string;
}

/** By this line a file is known to be ours. */
export const MARK = 'Written by "towpath service install".';

/** The name of a workspace's service: what people call the folder, and what makes it unique. */
export function serviceName(workspace: string): string {
  const slug = basename(workspace)
    .normalize('NFKD')
    .replace(/[^A-Za-z0-9]+/g, '-')
    .replace(/^-+|-+$/g, '')
    .slice(0, 40)
    .replace(/-+$/, '');
  const unique = createHash('sha256').update(workspace).digest('hex').slice(0, 8);
  return ['towpath', slug, unique].filter(Boolean).join('-');
}

const TEMPLATES: Record<Form, URL> = {
  systemd: new URL('../../systemd/towpath.service', import.meta.url),
  launchd: new URL('../../systemd/towpath.plist', import.meta.url),
};

/** Throws `bad_usage` when a path holds what no service file can. */
export function render(service: Service): string {
  const { form, scope, ...rest } = service;
  const values: Record<string, string> = { ...rest, scope: scope === 'user' ? '--user ' : '' };
  for (const [key, value] of Object.entries(values)) mustBeWritable(value, key);
  const kept = readFileSync(TEMPLATES[form], 'utf8')
    .split('\n')
    .flatMap((line) => {
      const [, only, text] = /^ *@(user|system)@(.*)$/.exec(line) ?? [null, scope, line];
      return only === scope ? [text!] : [];
    });
  return kept.join('\n').replace(/\{\{(\w+)(?::(\w+))?\}\}/g, (place, key: string, how?: string) => {
    const value = values[key];
    const write = how ? WRITINGS[how as keyof typeof WRITINGS] : (text: string) => text;
    if (value === undefined || !write) throw new Error(`the template of ${form} asks for ${place}`);
    return write(value);
  });
}

/** The names of the lines (or keys) in which two texts of one form differ. */
export function differences(form: Form, one: string, other: string): string[] {
  const [a, b] = [partsOf(form, one), partsOf(form, other)];
  return [...new Set([...a.keys(), ...b.keys()])].filter((key) => a.get(key) !== b.get(key));
}

/** Each line under the key that it belongs to; a comment belongs to none. */
function partsOf(form: Form, text: string): Map<string, string> {
  const keyOf = form === 'systemd' ? /^(?:Environment="(\w+)|([A-Z]\w*))=/ : /<key>([^<]+)<\/key>/;
  const found = new Map<string, string>();
  let key = '';
  for (const line of text.split('\n')) {
    if (/^\s*(#|<!--|$)/.test(line)) continue;
    const named = keyOf.exec(line);
    if (named) key = named[1] ?? named[2]!;
    found.set(key, `${found.get(key) ?? ''}${line}\n`);
  }
  return found;
}
