// The daemon's log: one JSON line an event, written at once, with everything that looks like a secret blotted out.
import { mkdirSync, renameSync, statSync } from 'node:fs';
import { dirname } from 'node:path';
import { type Logger, pino } from 'pino';
import { errno, messageOf } from './errors.ts';
import type { Events, TowpathEvent } from './events.ts';

export type Log = Logger;

export const LOG_LEVELS = ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];

const ROTATE_BYTES = 10e6;
const DEPTH_MAX = 8;
const SECRET = /(?:[_-](?:key|token)|api_?key|[a-z](?:Key|Token)|secret|password|passwd|authorization)$/i;

export interface LogOptions {
  level?: LogLevel;
  /** A file's path, or standard error. */
  destination?: string | 'stderr';
}

/** A synchronous log (redaction covers the fields of a line, not what a child logger was bound to): the last line before a signal is there too. A log that cannot be written is lost, and stops nothing. */
export function createLog({ level = 'info', destination = 'stderr' }: LogOptions = {}): Log {
  if (destination !== 'stderr') rotate(destination);
  const stream = openStream(destination);
  // A full disk or a closed pipe would else be an uncaught error.
  stream.on('error', () => {});
  return pino(
    {
      level,
      base: { pid: process.pid },
      serializers: { err: (err: unknown) => err },
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: {
        level: (label) => ({ level: label }),
        log: (fields) => redact(fields) as Record<string, unknown>,
      },
    },
    stream,
  );
}

/** A file that cannot be opened (a full or read-only disk) must not keep the daemon from starting. */
function openStream(destination: string) {
  try {
    return pino.destination({ dest: destination === 'stderr' ? 2 : destination, sync: true, mkdir: true });
  } catch (thrown) {
    process.stderr.write(
      `the log ${destination} cannot be written (${messageOf(thrown)}): it goes to standard error\n`,
    );
    return pino.destination({ dest: 2, sync: true });
  }
}

/** A copy without secrets, at any depth that a line should have; errors become their message and stack. */
export function redact(value: unknown, depth = 0): unknown {
  if (typeof value === 'bigint') return String(value);
  if (typeof value !== 'object' || value === null) return value;
  if (depth >= DEPTH_MAX) return '[deep]';
  if (value instanceof Error) return redactError(value, depth);
  if (Array.isArray(value)) return value.map((item) => redact(item, depth + 1));
  if (value instanceof Date) return value;
  if (value instanceof Map) return redact(Object.fromEntries(value), depth);
  if (value instanceof Set) return redact([...value], depth);
  return Object.fromEntries(
    Object.entries(value).map(([key, item]) => [
      key,
      SECRET.test(key) && item !== null && item !== undefined ? '[redacted]' : redact(item, depth + 1),
    ]),
  );
}

function redactError(error: Error, depth: number): unknown {
  const { name, message, stack, cause } = error;
  const rest = redact({ ...error }, depth + 1) as Record<string, unknown>;
  return { ...rest, type: name, message, stack, ...(cause ? { cause: redact(cause, depth + 1) } : {}) };
}

/** Writes every event as a line from now on. Returns the function that ends it. */
export function logEvents(log: Log, events: Events): () => void {
  return events.on((event) => {
    const { at: _, ...fields } = event;
    log[levelOf(event)](fields, messageFor(event));
  });
}

function levelOf(event: TowpathEvent): 'debug' | 'info' | 'warn' {
  switch (event.event) {
    case 'agent_output':
    case 'hook_output':
      return 'debug';
    case 'warning':
    case 'claiming_paused':
    case 'operator_asked':
      return 'warn';
    case 'hook_finished':
      return event.ok ? 'debug' : 'warn';
    default:
      return 'info';
  }
}

function messageFor(event: TowpathEvent): string {
  const task = 'task' in event && event.task ? `${event.task}: ` : '';
  switch (event.event) {
    case 'transition':
      return `${task}${event.from ?? 'new'} → ${event.to}`;
    case 'attempt_finished':
      return `${task}attempt ${event.attempt} ${event.outcome}`;
    case 'warning':
      return `${task}${event.message}`;
    default:
      return `${task}${event.event.replaceAll('_', ' ')}`;
  }
}

/** Keeps one older file beside the log. */
function rotate(path: string): void {
  try {
    if (statSync(path).size > ROTATE_BYTES) renameSync(path, `${path}.1`);
  } catch (thrown) {
    if (errno(thrown) === 'ENOENT') mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
  }
}
