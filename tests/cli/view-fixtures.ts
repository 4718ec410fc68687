// Tasks, queues and screens for the tests of the views.
import { mkdirSync, mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { Writable } from 'node:stream';
import { type AgentEvent, NO_USAGE, type Reader } from '../../daemon/agents/port.ts';
import type { Output } from '../../daemon/cli/view/output.ts';
import { Workspace } from '../../daemon/paths.ts';
import { self } from '../../daemon/process/identity.ts';
import type { Lock, QueuePort, Task } from '../../daemon/queue/port.ts';
import { QUEUES, type Queue } from '../../daemon/task/terms.ts';

export const NOW = Date.parse('2026-11-20T12:00:00Z');
export const ago = (ms: number): string => new Date(NOW - ms).toISOString();

/** Everything that could play with a terminal: colour, title, clipboard, cursor, a link, C1 controls, turned text, a carriage return. */
export const HOSTILE =
  'a\x1b[31mred\x1b[2J\x1b]0;owned\x07b\x1b]52;c;ZXZpbA==\x1b\\c\x9b31md\x90q\x9ce\u202ef\rg\x1b]8;;http://x\x07h\x00i\x08j\u200bk\nl';

/** Controls that must never reach a terminal, line feeds aside. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: these are what is looked for
export const CONTROLS = /[\x00-\x09\x0b-\x1a\x1c-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]/u;
/** The same, for text without colour. */
export const ESCAPE = '\x1b';

export function tempWorkspace(): Workspace {
  const workspace = new Workspace(mkdtempSync(join(tmpdir(), 'towpath-view-')));
  for (const queue of QUEUES) mkdirSync(workspace.queue(queue), { recursive: true });
  mkdirSync(workspace.state);
  return workspace;
}

export function put(path: string, content: unknown): void {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, typeof content === 'string' ? content : JSON.stringify(content));
}

export function task(id: string, queue: Queue, more: Partial<Task> = {}): Task {
  return {
    ...{
      id,
      title: `Title of ${id}`,
      queue,
      path: `/w/queues/${queue}/${id}.md`,
      data: {},
      body: 'Do it.',
      refusal: null,
    },
    spec: {
      ...{ seniority: 'senior', complexity: 'major', priority: 'P2', depends_on: [], on_dependency_failure: 'hold' },
    },
    state: {},
    created_at: ago(3_600_000),
    ...more,
  };
}

export function lockOf(id: string, more: Partial<Lock> = {}): Lock {
  return {
    ...{ version: 1, task: id, attempt: 1, epoch: 1, phase: 'execute', owner: self(), repo: '/r', worktree: '/w' },
    ...{ branch: `towpath/${id}`, claimed_at: ago(190_000), heartbeat_at: ago(1000) },
    agent: { ...self(), name: 'claude', session: 's' },
    ...more,
  };
}

/** A queue that only shows what it was given. */
export function queueOf(...tasks: Task[]): QueuePort {
  const list = async (queue?: Queue) => tasks.filter((one) => queue === undefined || one.queue === queue);
  return {
    list,
    get: async (id: string) => tasks.find((one) => one.id === id) ?? null,
    counts: async () =>
      Object.fromEntries(QUEUES.map((queue) => [queue, tasks.filter((one) => one.queue === queue).length])) as Record<
        Queue,
        number
      >,
  } as unknown as QueuePort;
}

export function putDaemon(workspace: Workspace, more: Record<string, unknown> = {}): void {
  put(join(workspace.state, 'daemon.json'), {
    ...{ ...self(), started_at: ago(7_200_000), socket: '/s', version: '0.1.0', paused: null, faults: [], waiting: {} },
    ...more,
  });
}

/** Keeps what is printed. */
export function memory(): Output & { text: string; leave(): void } {
  let gone = false;
  return {
    text: '',
    /** The reader has seen enough. */
    leave: () => {
      gone = true;
    },
    get closed() {
      return gone;
    },
    line(text) {
      this.text += `${text}\n`;
    },
    bytes(chunk) {
      this.text += typeof chunk === 'string' ? chunk : Buffer.from(chunk).toString('utf8');
    },
  };
}

/** A stream that can be taken for a terminal, or for a pipe whose reader leaves. */
export class FakeStream extends Writable {
  text = '';
  isTTY: boolean;
  columns: number;
  rows: number;
  broken = false;
  constructor({ isTTY = false, columns = 80, rows = 24 } = {}) {
    super();
    this.isTTY = isTTY;
    this.columns = columns;
    this.rows = rows;
  }
  override _write(chunk: Buffer, _: string, done: (error?: Error) => void): void {
    if (!this.broken) this.text += chunk.toString('utf8');
    done(this.broken ? Object.assign(new Error('write EPIPE'), { code: 'EPIPE' }) : undefined);
  }
}

/** Lines are JSON events, anything else is a log line. */
export const jsonReader = (): Reader => ({
  line(text): AgentEvent[] {
    try {
      return [JSON.parse(text) as AgentEvent];
    } catch {
      return [{ type: 'log', content: text }];
    }
  },
  conclude: () => {
    throw new Error('not asked here');
  },
  openTools: 0,
  finished: false,
  spent: NO_USAGE,
  state: null,
  restore: () => {},
});
