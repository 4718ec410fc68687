// Reads what is kept of a task's runs: `.towpath/runs/<id>/<n>/`. Every file may be missing, cut off or half written.
import { closeSync, existsSync, fstatSync, openSync, readdirSync, readFileSync, readSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import type { AgentEvent, Reader } from '../../agents/port.ts';
import type { Workspace } from '../../paths.ts';
import { OUTCOMES } from '../../task/terms.ts';
import { clean } from './style.ts';

const evidence = z.object({
  command: z.string(),
  /** The role of the agent that named it; none for the user's own. */
  by: z.string().optional(),
  code: z.number().nullable(),
  ok: z.boolean(),
  output: z.string().default(''),
  tree: z.string().nullable().default(null),
  at: z.string().default(''),
  duration_ms: z.number().default(0),
});
export type Check = z.output<typeof evidence>;

const runRecord = z.object({
  agent: z.string(),
  model: z.string().nullable().catch(null),
  role: z.string().nullable().catch(null),
  started_at: z.string().nullable().catch(null),
});

const usage = z.object({
  input: z.number(),
  output: z.number(),
  cache_read: z.number(),
  cache_write: z.number(),
  cost_usd: z.number().nullable(),
});
const time = z.string().nullable().catch(null);
const amount = z.number().catch(0);
const health = z.object({
  seen_at: time,
  last_output: time,
  last_event: time,
  last_sign: time,
  open_tools: amount,
  processes: amount,
  cpu_percent: amount,
  cpu_ms: amount,
  io_bytes: amount,
  switches: amount,
  rss_bytes: amount,
});
/** What was last seen of a run's processes. */
export type RunHealth = z.output<typeof health>;
const verdictFile = z.object({
  verdict: z.object({
    outcome: z.enum(OUTCOMES),
    reason: z.string().catch(''),
    output: z.string().catch(''),
    model: z.string().nullable().catch(null),
    usage: usage.nullable().catch(null),
  }),
  duration_ms: z.number().nullable().catch(null),
  health: health.nullable().catch(null),
});

/** One run's folder, as far as it can be read. */
export interface Run {
  attempt: number;
  dir: string;
  agent: string | null;
  model: string | null;
  role: string | null;
  started_at: string | null;
  /** The agent has ended. */
  ended: boolean;
  verdict: z.output<typeof verdictFile>['verdict'] | null;
  duration_ms: number | null;
  /** null: not looked at yet. */
  health: RunHealth | null;
  checks: Check[];
}

/** The runs of a task, in order. */
export function readRuns(workspace: Workspace, id: string): Run[] {
  return runNumbers(workspace, id).map((attempt) => readRun(workspace, id, attempt));
}

export function runNumbers(workspace: Workspace, id: string): number[] {
  try {
    return readdirSync(workspace.runs(id))
      .filter((name) => /^[1-9]\d*$/.test(name))
      .map(Number)
      .sort((a, b) => a - b);
  } catch {
    return [];
  }
}

export function readRun(workspace: Workspace, id: string, attempt: number): Run {
  const dir = workspace.run(id, attempt);
  const record = parsed(join(dir, 'run.json'), runRecord);
  const end = parsed(join(dir, 'verdict.json'), verdictFile);
  return {
    attempt,
    dir,
    agent: record?.agent ?? null,
    model: end?.verdict.model ?? record?.model ?? null,
    role: record?.role ?? null,
    started_at: record?.started_at ?? null,
    ended: end !== null || existsSync(join(dir, 'exit')),
    verdict: end?.verdict ?? null,
    duration_ms: end?.duration_ms ?? null,
    health: end ? end.health : parsed(join(dir, 'health.json'), health),
    checks: parsed(join(dir, 'checks.json'), z.array(evidence)) ?? [],
  };
}

/** The last thing that a run did, in one line; null when it said nothing yet. Only the tail of its output is read. */
export function lastOf(runDir: string, reader: Reader): string | null {
  const lines = tail(join(runDir, 'stdout'), 64 * 1024, true);
  let last: AgentEvent | null = null;
  for (const line of lines)
    for (const event of reader.line(line)) if (event.type !== 'session' && headline(event) !== '') last = event;
  return last && headline(last);
}

/** An event in one line. */
export function headline(event: AgentEvent): string {
  if (event.type === 'session') return '';
  const content = clean(event.content.slice(0, 2000));
  return event.type === 'tool_call' ? clean(`${event.name} ${content === event.name ? '' : content}`) : content;
}

/** The lines in the last bytes of a file, without empty ones; `ended` leaves out one that is still being written. */
export function tail(path: string, bytes: number, ended = false): string[] {
  let fd: number;
  try {
    fd = openSync(path, 'r');
  } catch {
    return [];
  }
  try {
    const { size } = fstatSync(fd);
    const from = Math.max(0, size - bytes);
    const buffer = Buffer.alloc(size - from);
    const got = readSync(fd, buffer, 0, buffer.length, from);
    const lines = buffer.toString('utf8', 0, got).split('\n');
    if (from > 0) lines.shift();
    if (ended) lines.pop();
    return lines.filter((line) => line.trim() !== '');
  } catch {
    return [];
  } finally {
    closeSync(fd);
  }
}

function parsed<T extends z.ZodType>(path: string, schema: T): z.output<T> | null {
  try {
    const result = schema.safeParse(JSON.parse(readFileSync(path, 'utf8')));
    return result.success ? result.data : null;
  } catch {
    return null;
  }
}
