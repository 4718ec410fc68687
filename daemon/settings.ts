// The shape of towpath.yaml: every key, its values and its default.
import { resolve } from 'node:path';
import { z } from 'zod';
import { parseDuration } from './clock.ts';
import type { Workspace } from './paths.ts';
import { fixSchema, reviewSchema } from './task/keys.ts';
import { ON_ACCEPT, type Seniority } from './task/terms.ts';

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

const variable = z.string().regex(/^[A-Za-z_][A-Za-z0-9_]*$/, 'the name of a variable');
/** The name of a variable; a trailing `*` stands for any ending. */
const passed = z
  .string()
  .regex(/^[A-Za-z_][A-Za-z0-9_]*\*?$/, 'the name of a variable; a value is set as {NAME: value} at an agent');
const checkSchema = z.union([z.string().min(1), z.array(z.string()).min(1)], 'a command: a text, or a list of words');
const hookEvents = ['pre_task', 'post_task', 'health_check', 'setup', 'gate', 'notify', 'poll'] as const;
export type HookEvent = (typeof hookEvents)[number];
export const HOOK_EVENTS: readonly HookEvent[] = hookEvents;
const onFailure = z.enum(['ask', 'block', 'fail', 'ignore']);
const seniority = z.enum(['junior', 'senior', 'principal']);
const modelMap = z.partialRecord(seniority, z.string().min(1));
const count = z.number().int().positive();
const usd = z.number().positive();

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
    .union(
      [
        z.array(passed).transform((names) => Object.fromEntries(names.map((name) => [name, true as const]))),
        z.record(variable, z.union([z.string(), z.number(), z.boolean()]).transform(String)),
      ],
      'a list of names of variables to let through, or a map of names to values',
    )
    .default({}),
  models: modelMap.default({}),
  permissions: z.enum(['full', 'edits', 'read']).default('full'),
  wrap: z.array(z.string()).default([]),
  input: z.enum(['json', 'prompt']).default('json'),
  limits: z.union([z.enum(['on', 'off']), z.boolean().transform((b) => (b ? 'on' : 'off'))]).default('on'),
  budget: z.strictObject({ day_usd: usd.optional(), day_tokens: count.optional() }).default({}),
});

/** USD for a million tokens of each class. */
const price = z.strictObject({
  input: z.number().nonnegative(),
  output: z.number().nonnegative(),
  cache_read: z.number().nonnegative().default(0),
  cache_write: z.number().nonnegative().default(0),
});
export type Price = z.output<typeof price>;

const gpu = z.union([z.number().int().nonnegative(), z.string().regex(/^[A-Za-z0-9,._-]+$/)]).transform(String);
const endpoint = z.strictObject({
  name: z.string().regex(/^[A-Za-z0-9][A-Za-z0-9_-]*$/, 'letters, digits, "_" and "-"'),
  base_url: z.url({ protocol: /^https?$/, error: 'an address: http://127.0.0.1:8000/v1' }).optional(),
  /** The wire format that it speaks. */
  api: z.enum(['openai', 'responses', 'anthropic']).default('openai'),
  models: z.array(z.string().min(1)).min(1),
  slots: count.default(1),
  gpu: gpu.optional(),
  key_env: variable.optional(),
});
/** A model server, or (without `base_url`) the GPU that a local command owns while it runs. */
export type Endpoint = z.output<typeof endpoint>;

/** Where a secret comes from. */
const secret = z.union(
  [
    z.strictObject({ file: z.string().min(1) }),
    z.strictObject({ credential: z.string().regex(/^[A-Za-z0-9][A-Za-z0-9._-]*$/) }),
    z.strictObject({ env: z.string().min(1) }),
  ],
  'write {file: PATH}, {credential: NAME} or {env: NAME}: a secret does not belong into towpath.yaml',
);

const onAccept = z.enum(ON_ACCEPT);

const project = z.strictObject({
  repo: z.string().optional(),
  base: z.string().optional(),
  checks: z.array(checkSchema).optional(),
  agent: z.string().optional(),
  protect: z.array(z.string()).optional(),
  fix: fixSchema.optional(),
  on_accept: onAccept.optional(),
  review: reviewSchema.optional(),
  notes: z.string().min(1).optional(),
  budget: z.strictObject({ task_usd: usd.optional(), day_usd: usd.optional() }).default({}),
});

/** The programs that open a pull request and tell how it stands; `{branch}` and the like are put in, no shell is near. */
const pullRequest = z.strictObject({
  remote: z
    .string()
    .regex(/^[^-\s]\S*$/, 'the name of a remote')
    .default('origin'),
  command: z
    .array(z.string().min(1))
    .min(1)
    .default([
      ...['gh', 'pr', 'create', '--head', '{branch}', '--base', '{base}'],
      ...['--title', '{title}', '--body-file', '{body_file}'],
    ]),
  status: z
    .array(z.string().min(1))
    .min(1)
    .default([
      // Not `gh pr view`: that fails alike for a branch without a request and for a server that is away.
      ...['gh', 'pr', 'list', '--head', '{branch}', '--base', '{base}', '--state', 'all'],
      ...['--json', 'state,url,isCrossRepository', '--jq'],
      'map(select(.isCrossRepository | not)) | first // {state: "NONE"}',
    ]),
  every: duration.prefault('5m'),
});

const concurrency = z
  .union(
    [
      count.transform((total) => ({ total })),
      z.strictObject({
        total: count.default(2),
        agents: z.record(z.string(), count).default({}),
        roles: z.record(z.string(), count).default({}),
        repo: count.optional(),
      }),
    ],
    'a whole number above 0, or {total, agents, roles, repo} of them',
  )
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
  review: reviewSchema.default('none'),
  fix: fixSchema.default('none'),
  on_accept: onAccept.default('branch'),
  pr: pullRequest.prefault({}),
  durability: z.enum(['full', 'fast']).default('full'),
  protect: z.array(z.string()).default([]),
  checks: z.array(checkSchema).default([]),
  env: z.array(passed).default([]),
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
    .strictObject({
      attempt_usd: usd.optional(),
      task_usd: usd.default(5),
      day_usd: usd.default(50),
      attempt_tokens: count.optional(),
      task_tokens: count.optional(),
      day_tokens: count.optional(),
    })
    .prefault({}),
  prices: z.record(z.string().min(1), price).default({}).describe('by model'),
  questions: z
    .strictObject({ default_answer: z.string().min(1).optional(), after: duration.optional() })
    .refine(({ default_answer, after }) => (default_answer === undefined) === (after === undefined), {
      error: 'default_answer and after go together',
    })
    .prefault({}),
  subtasks: z
    .strictObject({
      depth: z.number().int().nonnegative().default(1),
      number: z.number().int().nonnegative().default(20),
    })
    .prefault({}),
  context: z.strictObject({ tokens: count.default(30_000) }).prefault({}),
  notes: z.string().min(1).optional().describe('a file of the workspace'),
  secrets: z.record(variable, secret).default({}),
  models: modelMap.default({}).describe('seniority to model for every agent; agents.<name>.models wins'),
  agents: z.record(z.string().regex(/^[A-Za-z0-9][A-Za-z0-9_-]*$/), agentSchema).default({}),
  endpoints: z
    .array(endpoint)
    .superRefine((all, ctx) => {
      const seen = new Set<string>();
      for (const [at, { name, base_url, gpu }] of all.entries()) {
        const path = [at, 'name'];
        if (seen.has(name)) ctx.addIssue({ code: 'custom', path, message: `"${name}" is there twice` });
        seen.add(name);
        if (base_url === undefined && gpu === undefined)
          ctx.addIssue({ code: 'custom', path: [at], message: 'write base_url, or the gpu that a local command owns' });
      }
    })
    .default([]),
  projects: z.record(z.string(), project).default({}),
  worktrees: z
    .strictObject({ dir: z.string().default('.worktrees'), keep_failed: z.boolean().default(true) })
    .prefault({}),
  ledger: z.strictObject({ keep: longDuration.prefault('90d') }).prefault({}),
  server: z.strictObject({ api_url: z.string().optional(), api_key: z.string().optional() }).prefault({}),
});

export type Settings = z.output<typeof settingsSchema>;

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
  budget: { day_usd?: number | undefined; day_tokens?: number | undefined };
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
