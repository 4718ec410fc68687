// The OpenAI Responses wire format of the scripted model: streamed answers, calls of functions and of free-form tools, errors.
import type { ServerResponse } from 'node:http';
import { type Dialect, type Step, sendEvent, sendJson, type ToolUse } from './dialect.ts';

type Item =
  | { type: 'message'; role: 'assistant'; id: string; content: { type: 'output_text'; text: string }[] }
  | { type: 'function_call'; id: string; call_id: string; name: string; namespace?: string; arguments: string }
  | { type: 'custom_tool_call'; id: string; call_id: string; name: string; input: string };

const ERROR_CODES: Record<number, [type: string, code: string | null]> = {
  400: ['invalid_request_error', null],
  401: ['invalid_request_error', 'invalid_api_key'],
  403: ['invalid_request_error', null],
  404: ['invalid_request_error', 'model_not_found'],
  429: ['requests', 'rate_limit_exceeded'],
};

let serial = 0;
const fresh = (prefix: string): string => {
  serial += 1;
  return `${prefix}_${String(serial).padStart(8, '0')}`;
};

/** `server/tool` is a tool of an MCP server; an `input` that is a lone text is for a free-form tool. */
function callOf({ name, input, id }: ToolUse): Item {
  const call_id = id ?? fresh('call');
  const free = Object.keys(input).join() === 'input' ? input['input'] : undefined;
  if (typeof free === 'string') return { type: 'custom_tool_call', id: fresh('ctc'), call_id, name, input: free };
  const [tool, namespace] = name.split('/').reverse() as [string, string?];
  const call = { type: 'function_call' as const, id: fresh('fc'), call_id, name: tool };
  return { ...call, ...(namespace ? { namespace } : {}), arguments: JSON.stringify(input) };
}

function itemsOf(step: Step): Item[] {
  const calls = (step.tools ?? []).map(callOf);
  const text = step.text ?? (calls.length === 0 ? 'All done.' : undefined);
  if (text === undefined) return calls;
  return [{ type: 'message', role: 'assistant', id: fresh('msg'), content: [{ type: 'output_text', text }] }, ...calls];
}

/** OpenAI counts cached input among the input. */
function usageOf(step: Step) {
  const { input = 100, output = 10, cache_read = 0 } = step.usage ?? {};
  return {
    input_tokens: input + cache_read,
    input_tokens_details: { cached_tokens: cache_read },
    output_tokens: output,
    output_tokens_details: { reasoning_tokens: 0 },
    total_tokens: input + cache_read + output,
  };
}

async function stream(step: Step, response: ServerResponse): Promise<void> {
  response.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-cache' });
  const send = (type: string, data: object) => sendEvent(response, type, { type, ...data });
  const id = fresh('resp');
  send('response.created', { response: { id } });
  for (const [output_index, item] of itemsOf(step).entries()) {
    const [begun, deltas] =
      item.type === 'message' ? [{ ...item, content: [] }, item.content.map(({ text }) => text)] : [item, []];
    send('response.output_item.added', { output_index, item: begun });
    for (const delta of deltas)
      send('response.output_text.delta', { item_id: item.id, output_index, content_index: 0, delta });
    if (step.network === 'cut') {
      // The bytes must be on the wire before the connection goes away.
      await new Promise((done) => setTimeout(done, 50));
      response.destroy();
      return;
    }
    send('response.output_item.done', { output_index, item });
  }
  if (step.truncated)
    send('response.incomplete', { response: { id, incomplete_details: { reason: 'max_output_tokens' } } });
  else send('response.completed', { response: { id, usage: usageOf(step) } });
  response.end();
}

export const responses: Dialect = {
  claims: (_method, path) => path.endsWith('/v1/responses') || path.endsWith('/v1/models'),
  // Some models of Codex are given their tools in the input.
  isMain: (path, body) => path.endsWith('/v1/responses') && Array.isArray(body['input']),
  side(call, response) {
    if (call.path.endsWith('/models')) return sendJson(response, 200, { object: 'list', data: [] });
    if (call.method !== 'POST') return sendJson(response, 405, responses.fault(405, 'post it'));
    void stream({ text: 'ok' }, response);
  },
  answer: (step, _call, response) => stream(step, response),
  fault: (status, message) => {
    const [type, code] = ERROR_CODES[status] ?? ['server_error', null];
    return { error: { message, type, code, param: null } };
  },
};
