// The OpenAI Chat Completions wire format of the scripted model: streamed and whole answers, the list of models, errors.
import type { ServerResponse } from 'node:http';
import { type Call, type Dialect, type Step, sendEvent, sendJson } from './dialect.ts';

/** Type and code of an error, as the service sends them beside a status. */
const ERRORS: Record<number, [type: string, code: string | null]> = {
  400: ['invalid_request_error', null],
  401: ['invalid_request_error', 'invalid_api_key'],
  402: ['billing_error', 'insufficient_quota'],
  403: ['permission_error', null],
  404: ['invalid_request_error', 'model_not_found'],
  413: ['invalid_request_error', null],
  429: ['requests', 'rate_limit_exceeded'],
};

const LENGTH = 7;

let serial = 0;
const fresh = (prefix: string): string => {
  serial += 1;
  return `${prefix}${String(serial).padStart(8, '0')}`;
};

interface ToolCall {
  id: string;
  type: 'function';
  function: { name: string; arguments: string };
}

interface Answer {
  /** What a whole answer and each part of a streamed one have in common. */
  head: { id: string; created: number; model: string };
  text: string | null;
  calls: ToolCall[];
  finish: 'stop' | 'length' | 'tool_calls';
  usage: object;
}

function answerOf(step: Step, call: Call): Answer {
  const calls = (step.tools ?? []).map(
    ({ id, name, input }): ToolCall => ({
      id: id ?? fresh('call_'),
      type: 'function',
      function: { name, arguments: JSON.stringify(input) },
    }),
  );
  const usage = { input: 100, output: 10, cache_read: 0, cache_write: 0, ...step.usage };
  // Unlike Anthropic's, this count of the prompt has the cached part in it.
  const prompt = usage.input + usage.cache_read + usage.cache_write;
  const model = call.body['model'];
  return {
    head: {
      id: fresh('chatcmpl-'),
      created: Math.floor(Date.now() / 1000),
      model: typeof model === 'string' ? model : 'scripted',
    },
    text: step.text ?? (calls.length ? null : 'All done.'),
    calls,
    finish: step.truncated ? 'length' : calls.length ? 'tool_calls' : 'stop',
    usage: {
      prompt_tokens: prompt,
      completion_tokens: usage.output,
      total_tokens: prompt + usage.output,
      prompt_tokens_details: { cached_tokens: usage.cache_read },
      completion_tokens_details: { reasoning_tokens: 0 },
    },
  };
}

async function stream(step: Step, answer: Answer, call: Call, response: ServerResponse): Promise<void> {
  response.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-cache' });
  const asked = call.body['stream_options'];
  const usageAsked = typeof asked === 'object' && asked !== null && (asked as Record<string, unknown>)['include_usage'];
  const send = (choices: object[], usage?: object) =>
    sendEvent(response, null, {
      ...answer.head,
      object: 'chat.completion.chunk',
      choices,
      // Where it was asked for, every part but the last one says null.
      ...(usageAsked ? { usage: usage ?? null } : {}),
    });
  const delta = (part: object) => send([{ index: 0, delta: part, logprobs: null, finish_reason: null }]);
  delta({ role: 'assistant', content: answer.text === null ? null : '' });
  for (const part of piecesOf(answer.text ?? '')) delta({ content: part });
  for (const [index, { id, type, function: asks }] of answer.calls.entries()) {
    delta({ tool_calls: [{ index, id, type, function: { name: asks.name, arguments: '' } }] });
    const pieces = piecesOf(asks.arguments);
    for (const part of step.network === 'cut' ? pieces.slice(0, 1) : pieces)
      delta({ tool_calls: [{ index, function: { arguments: part } }] });
  }
  if (step.network === 'cut') {
    // The bytes must be on the wire before the connection goes away.
    await new Promise((done) => setTimeout(done, 50));
    response.destroy();
    return;
  }
  send([{ index: 0, delta: {}, logprobs: null, finish_reason: answer.finish }]);
  if (usageAsked) send([], answer.usage);
  sendEvent(response, null, '[DONE]');
  response.end();
}

/** A text in a few parts, as the service sends it. Long ones are not cut finer than that. */
function piecesOf(text: string): string[] {
  const length = Math.max(LENGTH, Math.ceil(text.length / 8));
  return Array.from({ length: Math.ceil(text.length / length) }, (_, n) => text.slice(n * length, (n + 1) * length));
}

const whole = ({ head, text, calls, finish, usage }: Answer) => ({
  ...head,
  object: 'chat.completion',
  choices: [
    {
      index: 0,
      message: { role: 'assistant', content: text, refusal: null, ...(calls.length ? { tool_calls: calls } : {}) },
      logprobs: null,
      finish_reason: finish,
    },
  ],
  usage,
});

export const openaiChat: Dialect = {
  claims: (_method, path) => path === '/v1/chat/completions' || path.startsWith('/v1/models'),
  isMain: (path, body) => path === '/v1/chat/completions' && Array.isArray(body['tools']) && body['tools'].length > 0,
  side(call, response) {
    if (call.path.startsWith('/v1/models'))
      return sendJson(response, 200, {
        object: 'list',
        data: [{ id: 'scripted', object: 'model', created: 0, owned_by: 'tests' }],
      });
    void openaiChat.answer({ text: 'ok' }, call, response);
  },
  async answer(step, call, response) {
    const answer = answerOf(step, call);
    if (call.body['stream'] === true) return stream(step, answer, call, response);
    if (step.network === 'cut') return void response.destroy();
    sendJson(response, 200, whole(answer));
  },
  fault(status, message) {
    const [type, code] = ERRORS[status] ?? ['server_error', null];
    return { error: { message, type, param: null, code } };
  },
};

/** For agents that edit by text and offer no tools: every completion is their main loop. */
export const openaiChatPlain: Dialect = { ...openaiChat, isMain: (path) => path === '/v1/chat/completions' };
