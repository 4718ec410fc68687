// Google's generateContent wire format of the scripted model: streamed and whole answers, token counts, errors.
import type { ServerResponse } from 'node:http';
import { type Dialect, type Step, sendEvent, sendJson } from './dialect.ts';

type Part = { text: string } | { functionCall: { name: string; args: Record<string, unknown> } };

const STATUS: Record<number, string> = {
  400: 'INVALID_ARGUMENT',
  401: 'UNAUTHENTICATED',
  403: 'PERMISSION_DENIED',
  404: 'NOT_FOUND',
  429: 'RESOURCE_EXHAUSTED',
  500: 'INTERNAL',
  503: 'UNAVAILABLE',
};

function partsOf(step: Step): Part[] {
  const parts: Part[] = step.text === undefined ? [] : [{ text: step.text }];
  for (const tool of step.tools ?? []) parts.push({ functionCall: { name: tool.name, args: tool.input } });
  return parts.length ? parts : [{ text: 'All done.' }];
}

function chunkOf(path: string, parts: Part[], end?: Step) {
  const usage = { input: 100, output: 10, cache_read: 0, ...end?.usage };
  return {
    candidates: [
      {
        ...{ content: { role: 'model', parts }, index: 0 },
        ...(end ? { finishReason: end.truncated ? 'MAX_TOKENS' : 'STOP' } : {}),
      },
    ],
    ...(end
      ? {
          usageMetadata: {
            promptTokenCount: usage.input + usage.cache_read,
            candidatesTokenCount: usage.output,
            ...(usage.cache_read ? { cachedContentTokenCount: usage.cache_read } : {}),
            totalTokenCount: usage.input + usage.cache_read + usage.output,
          },
        }
      : {}),
    modelVersion: /models\/([^:]+):/.exec(path)?.[1] ?? 'scripted',
  };
}

async function stream(step: Step, path: string, response: ServerResponse): Promise<void> {
  response.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-cache' });
  const parts = partsOf(step);
  const last = parts.length - 1;
  for (const [index, part] of parts.entries()) {
    if (step.network === 'cut') {
      const text = JSON.stringify(chunkOf(path, [part]));
      response.write(`data: ${text.slice(0, text.length / 2)}`);
      // The bytes must be on the wire before the connection goes away.
      await new Promise((done) => setTimeout(done, 50));
      return void response.destroy();
    }
    sendEvent(response, null, chunkOf(path, [part], index === last ? step : undefined));
  }
  response.end();
}

export const google: Dialect = {
  claims: (_method, path) => /^\/v1(beta|alpha|beta1)?\/models/.test(path),
  isMain: (path, body) =>
    path.endsWith(':streamGenerateContent') && Array.isArray(body['tools']) && body['tools'].length > 0,
  side(call, response) {
    if (call.path.endsWith(':countTokens')) return sendJson(response, 200, { totalTokens: 100 });
    if (call.path.endsWith(':streamGenerateContent')) return void stream({ text: 'ok' }, call.path, response);
    sendJson(response, 200, chunkOf(call.path, [{ text: 'ok' }], {}));
  },
  async answer(step, call, response) {
    await stream(step, call.path, response);
  },
  fault: (status, message) => ({ error: { code: status, message, status: STATUS[status] ?? 'UNKNOWN' } }),
};
