// The Anthropic Messages wire format of the scripted model: streamed and whole answers, token counts, errors.
import type { ServerResponse } from 'node:http';
import { type Dialect, type Step, sendEvent, sendJson } from './dialect.ts';

type Block =
  | { type: 'text'; text: string }
  | { type: 'tool_use'; id: string; name: string; input: Record<string, unknown> };

const ERROR_TYPES: Record<number, string> = {
  400: 'invalid_request_error',
  401: 'authentication_error',
  402: 'billing_error',
  403: 'permission_error',
  404: 'not_found_error',
  413: 'request_too_large',
  429: 'rate_limit_error',
  529: 'overloaded_error',
};

let serial = 0;
const fresh = (prefix: string): string => {
  serial += 1;
  return `${prefix}_${String(serial).padStart(8, '0')}`;
};

function blocksOf(step: Step): Block[] {
  const blocks: Block[] = [];
  if (step.text !== undefined) blocks.push({ type: 'text', text: step.text });
  for (const tool of step.tools ?? [])
    blocks.push({ type: 'tool_use', id: tool.id ?? fresh('toolu'), name: tool.name, input: tool.input });
  return blocks.length ? blocks : [{ type: 'text', text: 'All done.' }];
}

function messageOf(step: Step, model: unknown, content: Block[]) {
  const usage = { input: 100, output: 10, cache_read: 0, cache_write: 0, ...step.usage };
  return {
    id: fresh('msg'),
    type: 'message',
    role: 'assistant',
    model: typeof model === 'string' ? model : 'scripted',
    content,
    stop_reason: step.truncated ? 'max_tokens' : step.tools?.length ? 'tool_use' : 'end_turn',
    stop_sequence: null,
    usage: {
      input_tokens: usage.input,
      cache_creation_input_tokens: usage.cache_write,
      cache_read_input_tokens: usage.cache_read,
      output_tokens: usage.output,
    },
  };
}

async function stream(step: Step, message: ReturnType<typeof messageOf>, response: ServerResponse): Promise<void> {
  response.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-cache' });
  const send = (event: string, data: object) => sendEvent(response, event, { type: event, ...data });
  // Real servers tell one output token at the start and the true count at the end.
  const opening = { ...message, content: [], stop_reason: null, usage: { ...message.usage, output_tokens: 1 } };
  send('message_start', { message: opening });
  for (const [index, block] of message.content.entries()) {
    const [empty, delta] =
      block.type === 'text'
        ? [
            { type: 'text', text: '' },
            { type: 'text_delta', text: block.text },
          ]
        : [
            { type: 'tool_use', id: block.id, name: block.name, input: {} },
            { type: 'input_json_delta', partial_json: JSON.stringify(block.input) },
          ];
    send('content_block_start', { index, content_block: empty });
    send('content_block_delta', { index, delta });
    if (step.network === 'cut') {
      // The bytes must be on the wire before the connection goes away.
      await new Promise((done) => setTimeout(done, 50));
      response.destroy();
      return;
    }
    send('content_block_stop', { index });
  }
  send('message_delta', {
    delta: { stop_reason: message.stop_reason, stop_sequence: null },
    usage: { output_tokens: message.usage.output_tokens },
  });
  send('message_stop', {});
  response.end();
}

export const anthropic: Dialect = {
  claims: (_method, path) => path.startsWith('/v1/messages') || path.startsWith('/v1/models'),
  isMain: (path, body) => path === '/v1/messages' && Array.isArray(body['tools']) && body['tools'].length > 0,
  side(call, response) {
    if (call.path === '/v1/messages/count_tokens') return sendJson(response, 200, { input_tokens: 100 });
    if (call.path.startsWith('/v1/models')) return sendJson(response, 200, { data: [], has_more: false });
    const message = messageOf({}, call.body['model'], [{ type: 'text', text: 'ok' }]);
    if (call.body['stream'] === true) void stream({}, message, response);
    else sendJson(response, 200, message);
  },
  async answer(step, call, response) {
    const message = messageOf(step, call.body['model'], blocksOf(step));
    if (call.body['stream'] === true) return stream(step, message, response);
    if (step.network === 'cut') return void response.destroy();
    sendJson(response, 200, message);
  },
  fault: (status, message) => ({
    type: 'error',
    error: { type: ERROR_TYPES[status] ?? 'api_error', message },
    request_id: fresh('req'),
  }),
};
