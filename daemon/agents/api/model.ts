// One call to a model server through the AI SDK: messages and tools in, one answer or one fault out.
import { createAnthropic } from '@ai-sdk/anthropic';
import { createOpenAICompatible } from '@ai-sdk/openai-compatible';
import {
  APICallError,
  type FinishReason,
  jsonSchema,
  type LanguageModel,
  type LanguageModelUsage,
  type ModelMessage,
  streamText,
} from 'ai';
import { messageOf } from '../../errors.ts';
import type { Tokens } from '../../task/terms.ts';
import { isJson, str } from '../json.ts';
import { type Failure, Fault, faultOf } from './fault.ts';
import type { Server } from './job.ts';
import type { Tool } from './tools/tool.ts';

export type Message = ModelMessage;

export interface Call {
  id: string;
  name: string;
  input: unknown;
  /** Why the model's own input cannot be used: no such tool, no JSON. */
  invalid: string | null;
}

export interface Answer {
  text: string;
  reasoning: string;
  calls: Call[];
  finish: FinishReason;
  usage: Tokens;
  /** The model's message as the conversation keeps it; null when it said nothing. */
  message: Message | null;
}

/** A server that sends nothing at all for so long has failed, ms. */
const SILENCE_MS = 240_000;
const CACHED = { anthropic: { cacheControl: { type: 'ephemeral' } } };

/** Asks once. Throws a `Fault`, whatever went wrong. */
export async function ask(server: Server, system: string, messages: Message[], tools: Tool[]): Promise<Answer> {
  const model = modelOf(server);
  const silence = new AbortController();
  let timer = setTimeout(() => silence.abort(), SILENCE_MS);
  try {
    const cached = server.api === 'anthropic';
    const result = streamText({
      model,
      instructions: { role: 'system', content: system, ...(cached ? { providerOptions: CACHED } : {}) },
      messages: cached ? withCache(joined(messages)) : joined(messages),
      tools: Object.fromEntries(
        tools.map(({ name, description, schema }) => [name, { description, inputSchema: jsonSchema(schema) }]),
      ),
      // Who else to ask, and when, is decided outside.
      maxRetries: 0,
      abortSignal: silence.signal,
      onError: () => {},
    });
    const answer: Answer = {
      ...{ text: '', reasoning: '', calls: [], finish: 'other', message: null },
      usage: { input: 0, output: 0, cache_read: 0, cache_write: 0 },
    };
    let why: string | undefined;
    for await (const part of result.stream) {
      clearTimeout(timer);
      timer = setTimeout(() => silence.abort(), SILENCE_MS);
      if (part.type === 'error') throw part.error;
      if (part.type === 'abort') throw new Error('the call was broken off');
      if (part.type === 'text-delta') answer.text += part.text;
      else if (part.type === 'reasoning-delta') answer.reasoning += part.text;
      else if (part.type === 'tool-call')
        answer.calls.push({
          ...{ id: part.toolCallId, name: part.toolName, input: part.input },
          invalid: part.invalid ? messageOf(part.error) : null,
        });
      else if (part.type === 'finish-step') {
        answer.finish = part.finishReason;
        why = part.rawFinishReason;
        answer.usage = tokensOf(part.usage);
      }
    }
    if (why === 'model_context_window_exceeded') throw new Fault('context_exceeded', `${server.name}: ${why}`);
    if (answer.finish === 'interrupted' || answer.finish === 'error')
      throw new Fault('transient', `${server.name}: the answer was cut off`);
    answer.message = keptOf((await result.response).messages, answer.calls);
    return answer;
  } catch (thrown) {
    if (thrown instanceof Fault) throw thrown;
    if (silence.signal.aborted) throw new Fault('transient', `${server.name}: silent for ${SILENCE_MS / 1000} s`);
    throw faultOf(server.name, failureOf(thrown));
  } finally {
    clearTimeout(timer);
  }
}

function modelOf({ name, api, model, base_url, base_env, key_env }: Server): LanguageModel {
  const key = key_env ? process.env[key_env] : undefined;
  const base = base_url ?? (base_env ? process.env[base_env] : undefined);
  // A server of one's own may want none, when it is only named by OPENAI_BASE_URL.
  if (key_env && !key && !(api === 'openai' && base_env && base))
    throw new Fault('auth', `${name}: the variable ${key_env} is not set`);
  if (api === 'openai')
    return createOpenAICompatible({
      name: 'openai',
      baseURL: versioned(base ?? 'https://api.openai.com/v1', /./),
      includeUsage: true,
      ...(key ? { apiKey: key } : {}),
    })(model);
  return createAnthropic({ baseURL: versioned(base ?? 'https://api.anthropic.com', /\/v\d+$/), apiKey: key ?? 'none' })(
    model,
  );
}

/** People write such an address with or without the version: `/v1` is put on where the path does not look complete. */
function versioned(address: string, complete: RegExp): string {
  const bare = address.replace(/\/+$/, '');
  const path = bare.replace(/^\w+:\/\/[^/]*/, '');
  return complete.test(path) ? bare : `${bare}/v1`;
}

/** Many a local model refuses two messages of the user in a row, as a broken-off run leaves them. */
function joined(messages: Message[]): Message[] {
  const out: Message[] = [];
  for (const message of messages) {
    const last = out.at(-1);
    if (message.role === 'user' && last?.role === 'user')
      out[out.length - 1] = { role: 'user', content: `${textOf(last)}\n\n${textOf(message)}` };
    else out.push(message);
  }
  return out;
}

const textOf = ({ content }: Message): string => (typeof content === 'string' ? content : JSON.stringify(content));

/** All up to the last two messages that are not the model's is read from the cache at the next call. */
function withCache(messages: Message[]): Message[] {
  const marked = new Set(messages.filter(({ role }) => role !== 'assistant').slice(-2));
  return messages.map((message) => (marked.has(message) ? { ...message, providerOptions: CACHED } : message));
}

/** What is worth keeping of the answer: its text, its thoughts with their signatures, its calls. */
function keptOf(messages: readonly Message[], calls: readonly Call[]): Message | null {
  const unusable = new Set(calls.flatMap(({ id, input }) => (isJson(input) ? [] : [id])));
  for (const message of messages) {
    if (message.role !== 'assistant' || typeof message.content === 'string') continue;
    const content = message.content
      .filter((part) =>
        part.type === 'text' ? part.text !== '' : part.type === 'reasoning' || part.type === 'tool-call',
      )
      // Servers want an object, whatever the model wrote.
      .map((part) => (part.type === 'tool-call' && unusable.has(part.toolCallId) ? { ...part, input: {} } : part));
    if (content.some(({ type }) => type !== 'reasoning')) return { role: 'assistant', content };
  }
  return null;
}

function tokensOf({ inputTokens = 0, inputTokenDetails, outputTokens = 0 }: LanguageModelUsage): Tokens {
  const { cacheReadTokens = 0, cacheWriteTokens = 0 } = inputTokenDetails;
  const input = inputTokenDetails.noCacheTokens ?? Math.max(0, inputTokens - cacheReadTokens - cacheWriteTokens);
  return { input, output: outputTokens, cache_read: cacheReadTokens, cache_write: cacheWriteTokens };
}

function failureOf(thrown: unknown): Failure {
  if (APICallError.isInstance(thrown)) {
    // A good status with no good answer behind it: the connection went away.
    const bad = thrown.statusCode !== undefined && thrown.statusCode >= 300;
    return {
      status: bad ? thrown.statusCode! : null,
      headers: thrown.responseHeaders ?? {},
      body: parse(thrown.responseBody),
      message: thrown.message,
    };
  }
  // An error inside the stream: an object with what the server told.
  const told = isJson(thrown) ? thrown : {};
  const status = [told['statusCode'], told['code']].find((one) => typeof one === 'number') as number | undefined;
  return {
    status: status ?? null,
    headers: {},
    body: told['data'] ?? told,
    message: str(told['message']) ?? messageOf(thrown),
  };
}

function parse(text: string | undefined): unknown {
  try {
    return JSON.parse(text ?? '');
  } catch {
    return null;
  }
}
