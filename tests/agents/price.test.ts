// The price table: which price a model has, and what it makes of usage that tells no cost.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ClaudeReader } from '../../daemon/agents/claude/stream.ts';
import { priced, priceOf } from '../../daemon/agents/price.ts';
import { StreamReader } from '../../daemon/agents/stream.ts';

const price = (input: number) => ({ input, output: 10, cache_read: 0.5, cache_write: 2 });
const prices = { big: price(1), 'acme/big': price(2), 'host/acme/huge': price(3) };
const usage = { input: 1_000_000, output: 100_000, cache_read: 2_000_000, cache_write: 500_000, cost_usd: null };

describe('the price of a model', () => {
  it.each([
    ['big', 1],
    ['acme/big', 2],
    ['other/big', 1],
    ['host/other/big', 1],
    ['host/acme/big', 2],
    ['huge', null],
    ['acme/huge', null],
    ['toString', null],
    ['', null],
    ['/', null],
    [null, null],
  ])('of %s', (model, input) => {
    expect(priceOf(prices, model)?.input ?? null).toBe(input);
  });
  it('is that of the first name that has one', () => {
    expect(priceOf(prices, 'unknown', null, 'big')?.input).toBe(1);
    expect(priceOf(prices, 'acme/big', 'big')?.input).toBe(2);
  });
  it('is found for any name, and ends', () => {
    fc.assert(
      fc.property(fc.string(), fc.string(), (a, b) => priceOf({ [b]: price(1) }, `${a}/${b}`)?.input === 1 || b === ''),
    );
  });
});

describe('usage', () => {
  it('counts every class by its own price', () => {
    expect(priced(usage, price(3))).toEqual({ ...usage, cost_usd: 3 + 1 + 1 + 1 });
  });
  it('keeps a cost that was told, also none at all, and stays unknown where nobody knows', () => {
    expect(priced({ ...usage, cost_usd: 0 }, price(3)).cost_usd).toBe(0);
    expect(priced(usage, null).cost_usd).toBeNull();
    expect(
      priced({ input: 0, output: 0, cache_read: 0, cache_write: 0, cost_usd: null }, price(3)).cost_usd,
    ).toBeNull();
  });
  it('of a claude run that was killed has a price too', () => {
    const reader = new ClaudeReader();
    reader.line('{"type":"system","subtype":"init","session_id":"s","model":"claude-x"}');
    const told = {
      input_tokens: 1000,
      output_tokens: 100,
      cache_read_input_tokens: 4000,
      cache_creation_input_tokens: 500,
    };
    reader.line(
      JSON.stringify({ type: 'assistant', message: { id: 'm', model: 'claude-x', content: [], usage: told } }),
    );
    const { usage: spent, model } = reader.conclude({ code: null, signal: 'SIGKILL', stderr: '', stdout: '' });
    expect(spent.cost_usd).toBeNull();
    expect(priced(spent, priceOf({ 'claude-x': price(1) }, model)).cost_usd).toBeCloseTo(0.001 + 0.001 + 0.002 + 0.001);
  });
});

describe('a command agent that tells its usage as it goes', () => {
  const end = { code: null, signal: 'SIGTERM', stderr: '', stdout: '' };
  const tell = (reader: StreamReader, type: string, cost_usd: number) =>
    reader.line(JSON.stringify({ type, usage: { input_tokens: 5, cost_usd } }));
  it('has used what it told last, also when it is ended, and after a restart', () => {
    const reader = new StreamReader();
    tell(reader, 'usage', 0.1);
    tell(reader, 'usage', 0.3);
    expect([reader.spent.cost_usd, reader.spent.input]).toEqual([0.3, 5]);
    const other = new StreamReader();
    other.restore(JSON.parse(JSON.stringify(reader.state)));
    expect(other.conclude(end).usage).toEqual(reader.spent);
  });
  it('has the last word in its result', () => {
    const reader = new StreamReader();
    tell(reader, 'usage', 0.1);
    tell(reader, 'result', 0.4);
    expect(reader.spent.cost_usd).toBe(0.4);
  });
});
