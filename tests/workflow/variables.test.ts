// Variables: one pass and no more, whatever the values hold; outputs out of answers; lists.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  fencedBlock,
  itemsOf,
  outputOf,
  referencesIn,
  substitute,
  unescaped,
} from '../../daemon/workflow/variables.ts';

const name = fc.stringMatching(/^[A-Z_][A-Z0-9_]{0,5}$/);
const nasty = fc.string({ unit: fc.constantFrom('$', '{', '}', 'A', 'B', '&', '`', '\\', '\n', "'", '1') });

describe('substitution', () => {
  it('puts each value in as it is, and reads none of it again', () => {
    const parts = fc.array(
      fc.oneof(
        fc.record({ text: fc.string({ unit: fc.constantFrom('x', ' ', '\n', 'é', '&') }) }),
        fc.record({ name }),
      ),
    );
    fc.assert(
      fc.property(parts, fc.dictionary(name, nasty), (all, given) => {
        const values = new Map(Object.entries(given));
        const text = all.map((one) => ('name' in one ? `\${${one.name}}` : one.text)).join('');
        const wanted = all
          .map((one) => ('name' in one ? (values.get(one.name) ?? `\${${one.name}}`) : one.text))
          .join('');
        expect(substitute(text, values)).toBe(wanted);
        const named = all.flatMap((one) => ('name' in one ? [one.name] : []));
        expect(referencesIn(text).map((one) => one.name)).toEqual(named);
      }),
    );
  });

  it('leaves what is no variable, and takes one mark off what is escaped', () => {
    const values = new Map([['A', '1']]);
    expect(substitute('$A ${} ${A:-x} ${{A}} ${A B} $${A} ${A}', values)).toBe('$A ${} ${A:-x} ${{A}} ${A B} ${A} 1');
    expect(unescaped('$${A} ${A} $$')).toBe('${A} ${A} $$');
    expect(referencesIn('$${A} ${B}')).toEqual([{ name: 'B', at: 6 }]);
  });

  it('takes a value of a megabyte', () => {
    const value = '${A}$&`x`\n'.repeat(100_000);
    expect(substitute('<${A}>', new Map([['A', value]]))).toBe(`<${value}>`);
  });
});

describe('outputs', () => {
  it('are what is named, else the last block of that name, else all of the answer', () => {
    const output = 'first\n```A\nold\n```\n~~~~A more words\nnew\n```\nstill\n~~~~\n```sh\nA\n```\nlast';
    expect(outputOf({ output, outputs: { A: 7 } }, 'A')).toBe(7);
    expect(outputOf({ output, outputs: {} }, 'A')).toBe('new\n```\nstill');
    expect(outputOf({ output, outputs: {} }, 'B')).toBe(output);
    // A name that every object has is none that was put out.
    expect(outputOf({ output: 'x', outputs: {} }, 'constructor')).toBe('x');
    expect(fencedBlock('```A\nnever closed', 'A')).toBe(null);
    expect(fencedBlock('````md\n```A\ninner\n```\n````', 'A')).toBe(null);
  });

  it('come out of a block as they went in', () => {
    const line = fc.string({ unit: fc.constantFrom('$', '{', 'A', '}', ' ', '~', 'b') });
    fc.assert(
      fc.property(fc.array(line, { minLength: 1 }), (lines) => {
        const value = lines.join('\n');
        expect(fencedBlock(`words\n\`\`\`\`A\n${value}\n\`\`\`\`\nwords`, 'A')).toBe(value);
      }),
    );
  });
});

it('reads lists as JSON or as lines', () => {
  expect(itemsOf(' ["a", {"b": 1}, 2] ')).toEqual({ items: ['a', '{"b":1}', '2'] });
  expect(itemsOf('- a\n\n* b\n3. c  \n  d - e')).toEqual({ items: ['a', 'b', 'c', 'd - e'] });
  expect(itemsOf('[not json\nb')).toEqual({ items: ['[not json', 'b'] });
  expect(itemsOf(' \n')).toEqual({ items: [] });
  expect(itemsOf(JSON.stringify(Array(101).fill('x')))).toEqual({ problem: 'it has 101 items: at most 100' });
});
