// Token counts in the two spellings of Claude Code, and their sum.
import type { Usage } from './port.ts';

type Json = Record<string, unknown>;

const num = (value: unknown): number => (typeof value === 'number' && Number.isFinite(value) ? value : 0);

/** Of a message or of one run: `input_tokens` and so on, no cost. */
export const snakeUsage = (usage: Json): Usage => ({
  input: num(usage['input_tokens']),
  output: num(usage['output_tokens']),
  cache_read: num(usage['cache_read_input_tokens']),
  cache_write: num(usage['cache_creation_input_tokens']),
  cost_usd: null,
});

/** Of one model in a result: `inputTokens` and so on, with its cost. */
export const camelUsage = (usage: Json): Usage => ({
  input: num(usage['inputTokens']),
  output: num(usage['outputTokens']),
  cache_read: num(usage['cacheReadInputTokens']),
  cache_write: num(usage['cacheCreationInputTokens']),
  cost_usd: num(usage['costUSD']),
});

export function plus(a: Usage, b: Usage): Usage {
  return {
    input: a.input + b.input,
    output: a.output + b.output,
    cache_read: a.cache_read + b.cache_read,
    cache_write: a.cache_write + b.cache_write,
    cost_usd: a.cost_usd === null && b.cost_usd === null ? null : (a.cost_usd ?? 0) + (b.cost_usd ?? 0),
  };
}
