// Which schemas are handed to OpenAI's structured output: those of its strict kind alone.
import { describe, expect, test } from 'vitest';
import { divisionSchema } from '../../daemon/task/breakdown.ts';
import { fixSchemaOf } from '../../daemon/task/fix.ts';
import { REVIEW_SCHEMA } from '../../daemon/task/review.ts';
import { strictOf } from '../../daemon/task/strict.ts';
import { TEST_SCHEMA } from '../../daemon/task/test.ts';

const object = (properties: Record<string, unknown>, more: Record<string, unknown> = {}) => ({
  ...{ type: 'object', properties, required: Object.keys(properties), additionalProperties: false },
  ...more,
});
const text = { type: 'string' };
let deep: Record<string, unknown> = object({ at: text });
for (let n = 0; n < 12; n++) deep = object({ in: deep });

describe('strictOf', () => {
  test.each<[string, Record<string, unknown>]>([
    ['a fix', fixSchemaOf(true)],
    ['no keys', object({})],
    ['a choice', object({ a: { type: ['string', 'null'] }, b: { anyOf: [text, { type: 'integer', minimum: 1 }] } })],
    [
      'a list',
      object({ a: { type: 'array', items: object({ b: { type: 'string', enum: ['x', 'y'] } }), minItems: 1 } }),
    ],
    ['definitions', object({ a: { $ref: '#/$defs/b' } }, { $defs: { b: object({ c: text }) } })],
    ['itself', object({ next: { anyOf: [{ $ref: '#' }, { type: 'null' }] } })],
    ['its dialect named', object({ a: text }, { $schema: 'https://json-schema.org/draft/2020-12/schema' })],
  ])('takes %s', (_, schema) => {
    expect(strictOf(schema)).toEqual(schema);
  });

  test.each<[string, Record<string, unknown>]>([
    ['a review', REVIEW_SCHEMA],
    ['tests', TEST_SCHEMA],
    ['a plan', divisionSchema({ most: 5, checks: true })],
    ['a plan without checks', divisionSchema({ most: 5, checks: false })],
    ['what may be left out or null', { type: 'object', properties: { a: { type: ['string', 'null'] }, b: text } }],
  ])('closes %s', (_, schema) => {
    const found = strictOf({ ...schema, required: schema['required'] ?? ['b'] });
    expect(found).toMatchObject({ additionalProperties: false, required: Object.keys(schema['properties'] as object) });
    expect(strictOf(found!)).toEqual(found);
  });

  test('leaves out what only narrows texts', () => {
    expect(strictOf(object({ a: { type: 'string', minLength: 1, maxLength: 9 } }))).toEqual(object({ a: text }));
  });

  test.each<[string, Record<string, unknown>]>([
    ['nothing', {}],
    ['a root that is no object', { type: 'array', items: text }],
    ['a root with a choice', object({ a: text }, { anyOf: [] })],
    ['a key that is not required', object({ a: text }, { required: [] })],
    ['a required key that is none', object({ a: text }, { required: ['b'] })],
    ['other keys', { ...object({ a: text }), additionalProperties: true }],
    ['an open object further in', object({ a: { type: 'object' } })],
    ['one in a list', object({ a: { type: 'array', items: { type: 'object', properties: { b: text } } } })],
    ['a list of anything', object({ a: { type: 'array' } })],
    ['anything', object({ a: {} })],
    ['a keyword that is not taken', object({ a: { type: 'array', items: text, uniqueItems: true } })],
    ['conditions', object({ a: text }, { if: {}, allOf: [] })],
    ['a default', object({ a: { type: 'string', default: 'x' } })],
    ['a reference elsewhere', object({ a: { $ref: 'https://example.org/schema.json' } })],
    ['an unknown type', object({ a: { type: 'text' } })],
    ['an open definition', object({ a: { $ref: '#/$defs/b' } }, { $defs: { b: { type: 'object' } } })],
    ['more depth than it takes', deep],
    ['more values than it takes', object({ a: { type: 'string', enum: Array.from({ length: 1001 }, String) } })],
  ])('refuses %s', (_, schema) => {
    expect(strictOf(schema)).toBeNull();
  });
});
