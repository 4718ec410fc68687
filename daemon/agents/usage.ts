// Adds up what runs use.
import type { Tokens } from '../task/terms.ts';
import type { Usage } from './port.ts';

/** The sum; its cost is null only where neither tells one. */
export function plus(a: Usage, b: Usage): Usage {
  return {
    input: a.input + b.input,
    output: a.output + b.output,
    cache_read: a.cache_read + b.cache_read,
    cache_write: a.cache_write + b.cache_write,
    cost_usd: a.cost_usd === null && b.cost_usd === null ? null : (a.cost_usd ?? 0) + (b.cost_usd ?? 0),
  };
}

/** Tokens of all classes together: what is read from a cache counts too. */
export const tokensOf = ({ input, output, cache_read, cache_write }: Tokens): number =>
  input + output + cache_read + cache_write;
