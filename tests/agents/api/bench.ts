// What the tests of the api agent share: its program as a real child, model servers in each form, and steps of the script.
import type { Endpoint } from '../../../daemon/agents/port.ts';
import type { Call, Step } from '../../fakes/model-server.ts';

export const FORMS = ['openai', 'anthropic'] as const;
export const KEY = 'sk-marker-5f2e9c';

export const endpoint = (api: Endpoint['api'], url: string, over: Partial<Endpoint> = {}): Endpoint => ({
  ...{ name: api, api, base_url: `${url}/v1`, models: ['m'], slots: 1, key_env: 'MY_MODEL_KEY' },
  ...over,
});

/** A step in which the model uses a tool. */
export const use = (name: string, input: Record<string, unknown>): Step => ({ tools: [{ name, input }] });

/** What the model was sent at a call. */
export const sent = (call: Call | undefined): string => JSON.stringify(call?.body['messages'] ?? null);

/** What the model was told of its tools, in order, in either form. */
export function results(call: Call | undefined): string[] {
  const messages = (call?.body['messages'] ?? []) as { role: string; content: unknown }[];
  return messages.flatMap(({ role, content }) => {
    if (role === 'tool') return [String(content)];
    if (!Array.isArray(content)) return [];
    return (content as { type: string; content?: unknown }[]).flatMap((part) => {
      if (part.type !== 'tool_result') return [];
      return [typeof part.content === 'string' ? part.content : (part.content as { text: string }[])[0]!.text];
    });
  });
}

/** The tools that a call offered. */
export const offered = (call: Call | undefined): string[] =>
  ((call?.body['tools'] ?? []) as { name?: string; function?: { name: string } }[]).map(
    (tool) => tool.name ?? tool.function!.name,
  );
