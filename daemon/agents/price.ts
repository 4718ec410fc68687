// What tokens cost, by the price table of the settings: for agents that do not tell it themselves. Pure.
import type { Price } from '../settings.ts';
import type { Usage } from './port.ts';
import { tokensOf } from './usage.ts';

const MILLION = 1_000_000;

/** The price of the first model that has one: by its exact name, then without the names of providers before it. */
export function priceOf(prices: Readonly<Record<string, Price>>, ...models: (string | null)[]): Price | null {
  for (const model of models)
    for (let name = model ?? ''; name !== ''; name = name.slice(`${name.split('/')[0]}/`.length))
      if (Object.hasOwn(prices, name)) return prices[name]!;
  return null;
}

/** With a cost where none was told. Without a price it stays unknown, and so it does where no tokens were told either. */
export function priced(usage: Usage, price: Price | null): Usage {
  if (usage.cost_usd !== null || price === null || tokensOf(usage) === 0) return usage;
  const { input, output, cache_read, cache_write } = usage;
  const sum =
    input * price.input + output * price.output + cache_read * price.cache_read + cache_write * price.cache_write;
  return { ...usage, cost_usd: Number((sum / MILLION).toFixed(6)) };
}
