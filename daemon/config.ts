// Settings: towpath.yaml, then TOWPATH_* variables; every key has a default and an unknown key is an error that names it.
import { readFileSync } from 'node:fs';
import { type Document, isMap, isNode, isScalar, isSeq, LineCounter, parseDocument } from 'yaml';
import { errno, messageOf, TowpathError } from './errors.ts';
import { SETTINGS, type Workspace } from './paths.ts';
import { type Settings, settingsSchema } from './settings.ts';

/** Settings with where each value came from: `default`, `towpath.yaml` or the variable's name, by dotted key. */
export interface LoadedSettings {
  settings: Settings;
  origins: Map<string, string>;
}

/** Names that an older tool used: [variable, key]. Bare numbers are seconds there. */
export const ALIASES: readonly (readonly [string, string])[] = [
  ['HEADLESS_PM_API_KEY', 'server.api_key'],
  ['HEADLESS_PM_API_URL', 'server.api_url'],
  ['HEADLESS_PM_WORKTREE_BASE', 'worktrees.dir'],
  ['HEADLESS_PM_HOOK_TIMEOUT', 'hooks.timeout'],
  ['HEADLESS_PM_CLAUDE_TIMEOUT', 'timeouts.agent'],
  ['HEADLESS_PM_HEALTH_CHECK_INTERVAL', 'hooks.health_every'],
];

/** Keys that a TOWPATH_* variable may set; objects with free names (agents, projects …) are for the file alone. */
const ENV_KEYS = [
  ...[
    'repo',
    'base',
    'agent',
    'review',
    'fix',
    'on_accept',
    'durability',
    'concurrency',
    'concurrency.total',
    'concurrency.repo',
  ],
  ...['retry.max_attempts', 'retry.initial', 'retry.max', 'timeouts.agent', 'timeouts.stuck', 'timeouts.first_output'],
  ...[
    'hooks.timeout',
    'hooks.health_every',
    'limits.provisional',
    'limits.disk_free',
    'limits.run_output',
    'budget.task_usd',
    'budget.day_usd',
    'budget.attempt_usd',
    'budget.attempt_tokens',
    'budget.task_tokens',
    'budget.day_tokens',
  ],
  ...['pr.remote', 'pr.every'],
  ...['worktrees.dir', 'worktrees.keep_failed', 'ledger.keep', 'server.api_url', 'server.api_key'],
];
/** Texts, also when a variable holds nothing but digits. */
const TEXTS = new Set(['repo', 'base', 'pr.remote', 'worktrees.dir', 'server.api_url', 'server.api_key']);
/** A variable's value as YAML would have read it. */
const plain = (value: string): unknown =>
  /^\d+(\.\d+)?$/.test(value) ? Number(value) : /^(true|false)$/.test(value) ? value === 'true' : value;
export const envName = (key: string): string => `TOWPATH_${key.replaceAll('.', '_').toUpperCase()}`;

/** Reads and checks the settings. Throws `bad_settings` with the key, the value's place and what is allowed. */
export function loadSettings(workspace: Workspace, env: NodeJS.ProcessEnv = process.env): LoadedSettings {
  const origins = new Map<string, string>();
  const { raw, lineOf } = readYaml(workspace, origins);
  const set = (key: string, value: unknown, origin: string) => {
    const path = key.split('.');
    const last = path.pop()!;
    let at = raw;
    for (const part of path) {
      if (typeof at[part] !== 'object' || at[part] === null) at[part] = {};
      at = at[part] as Record<string, unknown>;
    }
    at[last] = value;
    origins.set(key, origin);
  };
  for (const [name, key] of ALIASES) {
    const value = env[name];
    if (value) set(key, /(timeout|agent|health_every)$/.test(key) && /^\d+$/.test(value) ? `${value}s` : value, name);
  }
  // Inside a run or a hook TOWPATH_AGENT, TOWPATH_REPO … describe the task there: they are no settings.
  if (!env['TOWPATH_TASK_ID'])
    for (const key of ENV_KEYS) {
      const value = env[envName(key)];
      if (value) set(key, TEXTS.has(key) ? value : plain(value), envName(key));
    }
  const parsed = settingsSchema.safeParse(raw);
  if (!parsed.success) {
    const issue = parsed.error.issues[0]!;
    const unknown = issue.code === 'unrecognized_keys' ? issue.keys.slice(0, 1) : [];
    const path = [...issue.path, ...unknown];
    const key = path.join('.');
    const origin = origins.get(key) ?? SETTINGS;
    const where = origin === SETTINGS ? `${workspace.settings}${lineOf(path)}` : origin;
    const what = unknown.length ? `unknown key "${key}"` : `"${key}": ${issue.message}`;
    throw new TowpathError('bad_settings', `${where}: ${what}`, 'see docs/settings.md');
  }
  return { settings: parsed.data, origins };
}

interface Yaml {
  raw: Record<string, unknown>;
  /** ` line N` of a key, or of the nearest one around it that is written there; else nothing. */
  lineOf: (path: readonly PropertyKey[]) => string;
}

function readYaml(workspace: Workspace, origins: Map<string, string>): Yaml {
  let text: string;
  try {
    text = readFileSync(workspace.settings, 'utf8');
  } catch (thrown) {
    if (errno(thrown) === 'ENOENT') return { raw: {}, lineOf: () => '' };
    throw thrown;
  }
  const lines = new LineCounter();
  const doc = parseDocument(text, { lineCounter: lines });
  const error = doc.errors[0] ?? doc.warnings[0];
  if (error)
    throw new TowpathError(
      'bad_settings',
      `${workspace.settings} line ${error.linePos?.[0].line ?? '?'}: ${error.message.split('\n')[0]!.replace(/:$/, '')}`,
      'mend the YAML',
    );
  const value = withoutEmpty(plainOf(doc, workspace.settings)) ?? {};
  if (typeof value !== 'object' || Array.isArray(value))
    throw new TowpathError('bad_settings', `${workspace.settings} holds no keys`, 'write "key: value" lines');
  const walk = (at: unknown, prefix: string) => {
    if (typeof at !== 'object' || at === null || Array.isArray(at)) origins.set(prefix, SETTINGS);
    else for (const [key, child] of Object.entries(at)) walk(child, prefix ? `${prefix}.${key}` : key);
  };
  walk(value, '');
  const lineOf: Yaml['lineOf'] = (path) => {
    let node: unknown = doc.contents;
    let at = '';
    for (const part of path) {
      const pair = isMap(node)
        ? node.items.find(({ key }) => isScalar(key) && String(key.value) === String(part))
        : null;
      const item = isSeq(node) ? node.items[Number(part)] : pair?.key;
      if (!isNode(item) || !item.range) break;
      at = ` line ${lines.linePos(item.range[0]).line}`;
      node = pair ? pair.value : item;
    }
    return at;
  };
  return { raw: value as Record<string, unknown>, lineOf };
}

function plainOf(doc: Document, path: string): unknown {
  try {
    return doc.toJS({ maxAliasCount: 100 });
  } catch (thrown) {
    throw new TowpathError('bad_settings', `${path} cannot be read: ${messageOf(thrown)}`, 'mend the YAML');
  }
}

/** A key with nothing behind it (all below it is a comment, say) is one that was not written. */
function withoutEmpty(value: unknown): unknown {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return value;
  const written = Object.entries(value).filter(([, one]) => one !== null);
  return Object.fromEntries(written.map(([key, one]) => [key, withoutEmpty(one)]));
}
