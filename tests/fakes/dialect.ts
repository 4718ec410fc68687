// The words of a scripted model: steps, calls, and what a wire format must be able to do.
import type { IncomingHttpHeaders, ServerResponse } from 'node:http';

export interface ToolUse {
  name: string;
  input: Record<string, unknown>;
  /** Default: a fresh one. */
  id?: string;
}

export interface StepUsage {
  input?: number;
  output?: number;
  cache_read?: number;
  cache_write?: number;
}

/** What the model does at one call. With no `tools` the turn ends; a fault takes the place of the answer. */
export interface Step {
  text?: string;
  tools?: ToolUse[];
  usage?: StepUsage;
  /** Stops at the output limit. */
  truncated?: boolean;
  /** Waits before anything is sent. */
  delay_ms?: number;
  /** An HTTP error: `body` is sent as JSON; without it the wire format's own error for that status. */
  fault?: { status: number; headers?: Record<string, string>; body?: unknown; message?: string };
  /** `hang`: never answers; `drop`: closes before the headers; `cut`: closes in the middle of the answer. */
  network?: 'hang' | 'drop' | 'cut';
  /** How many calls this step serves; default 1. */
  times?: number;
}

/** One request as it came. `main` is the agent's own loop, as against side calls (titles, token counts, probes). */
export interface Call {
  method: string;
  path: string;
  headers: IncomingHttpHeaders;
  body: Record<string, unknown>;
  main: boolean;
  at: number;
}

/** A list of steps, or a function of the call and its number (from 0) for servers that several agents share. */
export type Script = Step[] | ((call: Call, n: number) => Step);

/** A wire format. Each one claims its paths; the steps are the same for all. */
export interface Dialect {
  /** True when this path is this format's, whatever comes of it. */
  claims(method: string, path: string): boolean;
  /** A call of the agent's own loop, which takes the next step. */
  isMain(path: string, body: Record<string, unknown>): boolean;
  /** Answers everything that is not the main loop. */
  side(call: Call, response: ServerResponse): void;
  answer(step: Step, call: Call, response: ServerResponse): Promise<void>;
  fault(status: number, message: string): unknown;
}

export function sendJson(
  response: ServerResponse,
  status: number,
  body: unknown,
  headers: Record<string, string> = {},
): void {
  response.writeHead(status, { 'content-type': 'application/json', ...headers });
  response.end(JSON.stringify(body));
}

/** Server-sent events. `event: name` is left out where the format has none. */
export function sendEvent(response: ServerResponse, event: string | null, data: unknown): void {
  response.write(
    `${event ? `event: ${event}\n` : ''}data: ${typeof data === 'string' ? data : JSON.stringify(data)}\n\n`,
  );
}
