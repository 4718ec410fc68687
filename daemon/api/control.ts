// The daemon's control socket: one JSON request a line, one JSON answer a line. Only the owner may connect.

import { createHash } from 'node:crypto';
import { chmodSync, rmSync } from 'node:fs';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { z } from 'zod';
import { messageOf, TowpathError } from '../errors.ts';
import type { Workspace } from '../paths.ts';

const id = z.string().min(1);
/** What can be asked of a running daemon. */
const requestSchema = z.discriminatedUnion('op', [
  z.object({ op: z.literal('info') }),
  z.object({ op: z.literal('stop'), now: z.boolean().default(false), keep: z.boolean().default(false) }),
  z.object({ op: z.literal('dropped'), name: id }),
  z.object({ op: z.literal('waiting'), limit: z.number().int().positive() }),
  z.object({ op: z.literal('pause_all'), reason: z.string() }),
  z.object({ op: z.literal('resume_all') }),
  z.object({ op: z.literal('open_agent'), agent: id }),
  z.object({ op: z.enum(['accept', 'retry', 'cancel', 'pause', 'resume']), id }),
  z.object({ op: z.literal('retry_from'), run: id, step: id }),
  z.object({ op: z.literal('reject'), id, message: z.string().min(1) }),
  // The verb itself says why an empty one will not do.
  z.object({ op: z.literal('answer'), id, message: z.string() }),
  z.object({ op: z.literal('resolve'), id, decision: z.enum(['retry', 'skip', 'abort']) }),
]);
export type Request = z.input<typeof requestSchema>;
export type ParsedRequest = z.output<typeof requestSchema>;

const answerSchema = z.union([
  z.object({ ok: z.literal(true), value: z.unknown() }),
  z.object({ ok: z.literal(false), code: z.string(), message: z.string(), next: z.string() }),
]);

/** The kernel allows some 107 bytes for the path of a socket; a deep workspace gets one below the temporary folder. */
export function socketPath(workspace: Workspace): string {
  const near = join(workspace.state, 'control.sock');
  if (Buffer.byteLength(near) <= 100) return near;
  return join(tmpdir(), `towpath-${createHash('sha256').update(workspace.root).digest('hex').slice(0, 16)}.sock`);
}

const MAX_LINE = 1024 * 1024;

/** Listens. The caller holds the workspace, so a socket that lies there is a dead one's. */
export async function serveControl(
  path: string,
  handle: (request: ParsedRequest) => Promise<unknown>,
): Promise<Server> {
  rmSync(path, { force: true });
  const server = createServer((socket) => {
    socket.on('error', () => socket.destroy());
    readLines(socket, (line) => {
      void answerTo(line, handle).then((answer) => socket.writable && socket.write(`${JSON.stringify(answer)}\n`));
    });
  });
  const mask = process.umask(0o077);
  try {
    await new Promise<void>((resolve, reject) => server.once('error', reject).listen(path, resolve));
  } finally {
    process.umask(mask);
  }
  chmodSync(path, 0o600);
  return server;
}

async function answerTo(
  line: string,
  handle: (request: ParsedRequest) => Promise<unknown>,
): Promise<z.input<typeof answerSchema>> {
  try {
    const parsed = requestSchema.safeParse(JSON.parse(line));
    if (!parsed.success)
      throw new TowpathError('bad_usage', `the daemon does not know this request: ${z.prettifyError(parsed.error)}`);
    return { ok: true, value: (await handle(parsed.data)) ?? null };
  } catch (thrown) {
    const error = thrown instanceof TowpathError ? thrown : new TowpathError('failed', messageOf(thrown));
    return { ok: false, code: error.code, message: error.message, next: error.next };
  }
}

/** Asks the daemon at a socket. Throws `daemon_not_running` when nobody listens, else what the daemon answered. */
export async function ask(path: string, request: Request): Promise<unknown> {
  const socket = connect(path);
  const line = await new Promise<string>((resolve, reject) => {
    socket.once('error', () =>
      reject(new TowpathError('daemon_not_running', 'the daemon does not answer', 'run "towpath start"')),
    );
    socket.once('close', () =>
      reject(new TowpathError('daemon_not_running', 'the daemon went away without an answer', 'see "towpath status"')),
    );
    readLines(socket, resolve);
    socket.write(`${JSON.stringify(request)}\n`);
  }).finally(() => socket.destroy());
  const answer = answerSchema.parse(JSON.parse(line));
  if (answer.ok) return answer.value;
  throw new TowpathError(answer.code as TowpathError['code'], answer.message, answer.next);
}

function readLines(socket: Socket, onLine: (line: string) => void): void {
  let rest = '';
  socket.setEncoding('utf8').on('data', (chunk: string) => {
    const lines = (rest + chunk).split('\n');
    rest = lines.pop()!;
    if (rest.length > MAX_LINE) socket.destroy();
    for (const line of lines) onLine(line);
  });
}
