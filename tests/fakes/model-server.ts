// A scripted model on loopback for tests: answers, tool calls and faults in the order they are written down.
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { anthropic } from './anthropic-messages.ts';
import { type Call, type Dialect, type Script, type Step, sendJson } from './dialect.ts';

export type { Call, Dialect, Script, Step } from './dialect.ts';

export interface ModelServer {
  /** `http://127.0.0.1:<port>`, without a slash at the end. */
  url: string;
  /** Every request, side calls too. */
  calls: Call[];
  /** Those of the main loop. */
  readonly main: Call[];
  /** Replaces what is left of the script. */
  play(script: Script): void;
  close(): Promise<void>;
}

/** Starts the server. When a list of steps is used up the model says `All done.` */
export async function startModelServer(script: Script, dialects: Dialect[] = [anthropic]): Promise<ModelServer> {
  const calls: Call[] = [];
  let next = player(script);
  const server = createServer((request, response) => {
    serve(request, response).catch(() => response.destroy());
  });

  async function serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const path = (request.url ?? '/').split('?')[0]!;
    const method = request.method ?? 'GET';
    const body = await jsonBody(request);
    const dialect = dialects.find((d) => d.claims(method, path));
    const main = dialect?.isMain(path, body) ?? false;
    const call: Call = { method, path, headers: request.headers, body, main, at: Date.now() };
    calls.push(call);
    if (!dialect) return void sendJson(response, 404, { error: { message: `nothing at ${path}` } });
    if (!main) return dialect.side(call, response);
    const step = next(call);
    if (step.delay_ms) await sleep(step.delay_ms);
    if (step.network === 'hang') return;
    if (step.network === 'drop') return void response.destroy();
    if (step.fault) {
      const { status, headers, body: own, message = `scripted ${status}` } = step.fault;
      return void sendJson(response, status, own ?? dialect.fault(status, message), headers);
    }
    await dialect.answer(step, call, response);
  }

  await new Promise<void>((done, failed) => {
    server.once('error', failed);
    server.listen(0, '127.0.0.1', done);
  });
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    calls,
    get main() {
      return calls.filter((call) => call.main);
    },
    play(replacement) {
      next = player(replacement);
    },
    close() {
      server.closeAllConnections();
      return new Promise((done) => server.close(() => done()));
    },
  };
}

function player(script: Script): (call: Call) => Step {
  let n = 0;
  if (typeof script === 'function') return (call) => script(call, n++);
  const left = script.map((step) => ({ step, times: step.times ?? 1 }));
  return () => {
    while (left[0] && left[0].times <= 0) left.shift();
    const head = left[0];
    if (!head) return { text: 'All done.' };
    head.times -= 1;
    return head.step;
  };
}

async function jsonBody(request: IncomingMessage): Promise<Record<string, unknown>> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  try {
    return JSON.parse(Buffer.concat(chunks).toString('utf8')) as Record<string, unknown>;
  } catch {
    return {};
  }
}
