// A schema as the strict kind that OpenAI takes for structured output, where it can be put so: https://platform.openai.com/docs/guides/structured-outputs
import type { Schema } from './answer.ts';

/** Keywords that say something of a value, with those that only describe it. Any other is refused, or may be. */
const KNOWN = new Set([
  ...['type', 'properties', 'required', 'additionalProperties', 'items', 'enum', 'const', 'anyOf', '$ref', '$defs'],
  ...['definitions', 'title', 'description', 'pattern', 'multipleOf', 'maximum', 'exclusiveMaximum', 'minimum'],
  ...['exclusiveMinimum', 'minItems', 'maxItems'],
]);
const TYPES = new Set(['string', 'number', 'integer', 'boolean', 'null', 'object', 'array']);
/** The service's own bounds. */
const DEPTH = 10;
const PROPERTIES = 5000;
const ENUMS = 1000;

/** What only narrows texts: an answer is judged by it afterwards all the same. */
const LEFT_OUT = new Set(['minLength', 'maxLength']);

/**
 * The schema with all its objects closed, and what may be left out or null required, so null. Null when that is not enough: an answer
 * that fits what is returned must fit the schema itself.
 */
export function strictOf(schema: Schema): Schema | null {
  const closed = close(schema) as Schema;
  return isStrict(closed) ? closed : null;
}

function close(schema: unknown): unknown {
  if (!isMap(schema)) return schema;
  const kept = Object.entries(schema).filter(([key]) => !LEFT_OUT.has(key));
  const all = (of: unknown) => (isMap(of) ? mapped(of) : of);
  const inner = kept.map(([key, value]): [string, unknown] => {
    if (key === 'properties' || key === '$defs' || key === 'definitions') return [key, all(value)];
    if (key === 'items') return [key, close(value)];
    return [key, key === 'anyOf' && Array.isArray(value) ? value.map(close) : value];
  });
  const found = Object.fromEntries(inner);
  const { properties, required = [] } = schema;
  if (!isMap(properties) || !Array.isArray(required)) return found;
  const optional = Object.keys(properties).filter((key) => !required.includes(key));
  if (!optional.every((key) => mayBeNull(properties[key]))) return found;
  return { ...found, additionalProperties: schema['additionalProperties'] ?? false, required: Object.keys(properties) };
}

const mapped = (of: Schema): Schema =>
  Object.fromEntries(Object.entries(of).map(([key, value]) => [key, close(value)]));

const mayBeNull = (schema: unknown): boolean =>
  isMap(schema) &&
  [schema['type']].flat().includes('null') &&
  (schema['enum'] === undefined || hasNull(schema['enum']));
const hasNull = (values: unknown): boolean => Array.isArray(values) && values.includes(null);

/**
 * Every object names all its keys, requires them and allows no others; nothing but keywords that are known to be taken; the root
 * is an object; references stay inside. In doubt it is not: the answer is then asked for by the prompt alone, and judged all the same.
 */
function isStrict(schema: Schema): boolean {
  const count = { properties: 0, enums: 0 };
  return schema['type'] === 'object' && schema['anyOf'] === undefined && fits(schema, 0, count);
}

function fits(schema: unknown, depth: number, count: { properties: number; enums: number }): boolean {
  if (!isMap(schema) || Object.keys(schema).some((key) => !KNOWN.has(key) && key !== '$schema')) return false;
  if (schema['$schema'] !== undefined && depth > 0) return false;
  const { $ref, anyOf, items, enum: values } = schema;
  const inner = (one: unknown) => fits(one, depth + 1, count);
  for (const kept of [schema['$defs'], schema['definitions']])
    if (kept !== undefined && !(depth === 0 && isMap(kept) && Object.values(kept).every(inner))) return false;
  // Beside a reference nothing else may stand.
  if ($ref !== undefined)
    return (
      typeof $ref === 'string' && /^#(\/(\$defs|definitions)\/[^/]+)?$/.test($ref) && Object.keys(schema).length === 1
    );
  if (anyOf !== undefined)
    return schema['type'] === undefined && Array.isArray(anyOf) && anyOf.length > 0 && anyOf.every(inner);
  if (Array.isArray(values)) count.enums += values.length;
  if (count.enums > ENUMS) return false;
  const types = [schema['type']].flat();
  if (types.length === 0 || !types.every((type) => TYPES.has(type as string))) return false;
  if (types.includes('array') && !(items !== undefined && inner(items))) return false;
  return !types.includes('object') || (depth < DEPTH && isClosed(schema, count, inner));
}

function isClosed(schema: Schema, count: { properties: number }, inner: (one: unknown) => boolean): boolean {
  const { properties, required, additionalProperties } = schema;
  if (additionalProperties !== false || !isMap(properties) || !Array.isArray(required)) return false;
  const keys = Object.keys(properties);
  count.properties += keys.length;
  const all = required.length === keys.length && keys.every((key) => required.includes(key));
  return all && count.properties <= PROPERTIES && Object.values(properties).every(inner);
}

const isMap = (value: unknown): value is Schema => typeof value === 'object' && value !== null && !Array.isArray(value);
