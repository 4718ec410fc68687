// Settings: towpath.yaml, then TOWPATH_* variables; every key has a default and an unknown key is an error that names it.
import { readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { LineCounter, parseDocument } from 'yaml';
import { z } from 'zod';
import { parseDuration } from './clock.ts';
import { errno, TowpathError } from './errors.ts';
import { SETTINGS, type Workspace } from './paths.ts';
import type { Seniority } from './task/terms.ts';

const duration = z
  .string('write 30s, 10m or 2h')
  .transform((text, ctx) => {
    const ms = parseDuration(text);
    if (ms === undefined) ctx.addIssue({ code: 'custom', message: `"${text}" is no duration: write 30s, 10m or 2h` });
    return ms ?? 0;
  })
  .describe('a duration: 30s, 10m, 2h');

/** What is younger than two days is needed: the day's budget is counted from it. */
const longDuration = duration.refine((ms) => ms >= 2 * 86_400_000, 'at least 2d');

const BYTES = { B: 1, KB: 1e3, MB: 1e6, GB: 1e9, TB: 1e12 } as const;
const bytes = z.union([z.number().int().nonnegative(), z.string()]).transform((value, ctx) => {
  if (typeof value === 'number') return value;
  const found = /^(\d+(?:\.\d+)?)\s*(B|KB|MB|GB|TB)$/i.exec(value.trim());
  if (!found) ctx.addIssue({ code: 'custom', message: `"${value}" is no size: write 500MB or 1GB` });
  return found ? Number(found[1]) * BYTES[found[2]!.toUpperCase() as keyof typeof BYTES] : 0;
});

/** What is read of a run's end, with room to spare. */
const RUN_OUTPUT_MIN = 1e6;

export const checkSchema = z.union([z.string().min(1), z.array(z.string()).min(1)]);
const hookEvents = ['pre_task', 'post_task', 'health_check', 'setup', 'gate', 'notify', 'poll'] as const;
export type HookEvent = (typeof hookEvents)[number];
export const HOOK_EVENTS: readonly HookEvent[] = hookEvents;
const onFailure = z.enum(['ask', 'block', 'fail', 'ignore']);
const seniority = z.enum(['junior', 'senior', 'principal']);
const modelMap = z.partialRecord(seniority, z.string().min(1));
const count = z.number().int().positive();

const agentSchema = z.strictObject({
  command: z
    .union([
      z
        .string()
        .min(1)
        .transform((c) => [c]),
      z.array(z.string().min(1)).min(1),
    ])
    .optional(),
  args: z.array(z.string()).default([]),
  env: z
    .union([
      z.array(z.string()).transform((names) => Object.fromEntries(names.map((name) => [name, true as const]))),
      z.record(z.string(), z.union([z.string(), z.number(), z.boolean()]).transform(String)),
    ])
    .default({}),
  models: modelMap.default({}),
  permissions: z.enum(['full', 'edits', 'read']).default('full'),
  wrap: z.array(z.string()).default([]),
  input: z.enum(['json', 'prompt']).default('json'),
  limits: z.union([z.enum(['on', 'off']), z.boolean().transform((b) => (b ? 'on' : 'off'))]).default('on'),
});

const project = z.strictObject({
  repo: z.string().optional(),
  base: z.string().optional(),
  checks: z.array(checkSchema).optional(),
  agent: z.string().optional(),
  protect: z.array(z.string()).optional(),
});

const concurrency = z
  .union([
    count.transform((total) => ({ total })),
    z.strictObject({
      total: count.default(2),
      agents: z.record(z.string(), count).default({}),
      roles: z.record(z.string(), count).default({}),
      repo: count.optional(),
    }),
  ])
  .transform((c) => ({
    agents: {} as Record<string, number>,
    roles: {} as Record<string, number>,
    repo: undefined as number | undefined,
    ...c,
  }));

/** The shape of towpath.yaml. docs/settings.md lists every key (a test holds them together). */
export const settingsSchema = z.strictObject({
  repo: z.string().default('.'),
  base: z.string().optional().describe('default: the branch that is checked out'),
  agent: z.string().default('auto'),
  review: z.enum(['none', 'agent', 'human']).default('none'),
  on_accept: z.enum(['branch'], 'this version keeps the branch: write branch').default('branch'),
  durability: z.enum(['full', 'fast']).default('full'),
  protect: z.array(z.string()).default([]),
  checks: z.array(checkSchema).default([]),
  env: z.array(z.string()).default([]),
  concurrency: concurrency.prefault(2),
  retry: z
    .strictObject({ max_attempts: count.default(3), initial: duration.prefault('10s'), max: duration.prefault('10m') })
    .prefault({}),
  timeouts: z
    .strictObject({
      agent: duration.prefault('10m'),
      stuck: duration.prefault('5m'),
      first_output: duration.prefault('2m'),
    })
    .prefault({}),
  hooks: z
    .strictObject({
      timeout: duration.prefault('30s'),
      health_every: duration.prefault('5m'),
      on_failure: z.partialRecord(z.enum(hookEvents), onFailure).default({}),
    })
    .prefault({}),
  limits: z
    .strictObject({
      provisional: count.default(20),
      disk_free: bytes.prefault('1GB'),
      run_output: bytes.refine((size) => size >= RUN_OUTPUT_MIN, 'at least 1MB').prefault('100MB'),
    })
    .prefault({}),
  budget: z
    .strictObject({ task_usd: z.number().positive().default(5), day_usd: z.number().positive().default(50) })
    .prefault({}),
  models: modelMap.default({}).describe('seniority to model for every agent; agents.<name>.models wins'),
  agents: z.record(z.string().regex(/^[A-Za-z0-9][A-Za-z0-9_-]*$/), agentSchema).default({}),
  endpoints: z.array(z.unknown()).max(0, 'this version has no model endpoints: leave it empty').default([]),
  projects: z.record(z.string(), project).default({}),
  worktrees: z
    .strictObject({ dir: z.string().default('.worktrees'), keep_failed: z.boolean().default(true) })
    .prefault({}),
  ledger: z.strictObject({ keep: longDuration.prefault('90d') }).prefault({}),
  server: z.strictObject({ api_url: z.string().optional(), api_key: z.string().optional() }).prefault({}),
});

export type Settings = z.output<typeof settingsSchema>;

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
  ],
  ...['worktrees.dir', 'worktrees.keep_failed', 'ledger.keep', 'server.api_url', 'server.api_key'],
];
export const envName = (key: string): string => `TOWPATH_${key.replaceAll('.', '_').toUpperCase()}`;

/** Reads and checks the settings. Throws `bad_settings` with the key, the value's place and what is allowed. */
export function loadSettings(workspace: Workspace, env: NodeJS.ProcessEnv = process.env): LoadedSettings {
  const origins = new Map<string, string>();
  const raw = readYaml(workspace, origins);
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
      if (value)
        set(
          key,
          /^\d+(\.\d+)?$/.test(value) ? Number(value) : /^(true|false)$/.test(value) ? value === 'true' : value,
          envName(key),
        );
    }
  const parsed = settingsSchema.safeParse(raw);
  if (!parsed.success) throw badSettings(parsed.error, workspace, origins);
  return { settings: parsed.data, origins };
}

function readYaml(workspace: Workspace, origins: Map<string, string>): Record<string, unknown> {
  let text: string;
  try {
    text = readFileSync(workspace.settings, 'utf8');
  } catch (thrown) {
    if (errno(thrown) === 'ENOENT') return {};
    throw thrown;
  }
  const lines = new LineCounter();
  const doc = parseDocument(text, { lineCounter: lines });
  const error = doc.errors[0];
  if (error)
    throw new TowpathError(
      'bad_settings',
      `${SETTINGS} line ${error.linePos?.[0].line ?? '?'}: ${error.message.split('\n')[0]!.replace(/:$/, '')}`,
      'mend the YAML',
    );
  const value: unknown = doc.toJS({ maxAliasCount: 100 }) ?? {};
  if (typeof value !== 'object' || Array.isArray(value))
    throw new TowpathError('bad_settings', `${SETTINGS} holds no keys`, 'write "key: value" lines');
  const walk = (at: unknown, prefix: string) => {
    if (typeof at !== 'object' || at === null || Array.isArray(at)) origins.set(prefix, SETTINGS);
    else for (const [key, child] of Object.entries(at)) walk(child, prefix ? `${prefix}.${key}` : key);
  };
  walk(value, '');
  return value as Record<string, unknown>;
}

function badSettings(error: z.ZodError, workspace: Workspace, origins: Map<string, string>): TowpathError {
  const issue = error.issues[0]!;
  const unknown = issue.code === 'unrecognized_keys' ? issue.keys : [];
  const key = [...issue.path, ...unknown.slice(0, 1)].join('.');
  const where = origins.get(key) ?? join(workspace.root, SETTINGS);
  const what = unknown.length ? `unknown key "${key}"` : `"${key}": ${issue.message}`;
  return new TowpathError('bad_settings', `${where}: ${what}`, 'see docs/settings.md');
}

/** Settings of one agent: `agents.<name>` in towpath.yaml, checked, with defaults. */
export interface AgentSettings {
  command?: string[];
  args: string[];
  /** Names to let through, or values to set. */
  env: Record<string, string | true>;
  models: Partial<Record<Seniority, string>>;
  permissions: 'full' | 'edits' | 'read';
  wrap: string[];
  input: 'json' | 'prompt';
  limits: 'on' | 'off';
}

/** The settings of one agent by name, with every default filled in. */
export function agentSettings(settings: Settings, name: string): AgentSettings {
  const { command, ...rest } = settings.agents[name] ?? agentSchema.parse({});
  const models = { ...rest.models };
  for (const [key, model] of Object.entries(settings.models)) models[key as keyof typeof models] ??= model;
  return { ...rest, models, ...(command ? { command } : {}) };
}

/** Where worktrees go: an absolute path. */
export const worktreesDir = (settings: Settings, workspace: Workspace): string =>
  resolve(workspace.root, settings.worktrees.dir);
