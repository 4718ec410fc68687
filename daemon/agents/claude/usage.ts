// Token counts in the two spellings of Claude Code.
import { type Json, num } from '../json.ts';
import type { Usage } from '../port.ts';

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
