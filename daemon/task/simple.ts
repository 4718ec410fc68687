// Front matter of the plainest kind, read without a YAML parser: exactly what yaml would say, or undefined when it is not that plain.

/** Texts without quotes: they begin with a letter and hold nothing that YAML could take for something else. */
const LETTERS =
  'A-Za-z\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u024f\u0391-\u03a1\u03a3-\u03c9\u0410-\u044f\u3041-\u3096\u4e00-\u9fa5\uac00-\ud7a3';
const WORD = `[${LETTERS}0-9_.,/()+@'"!?;=-]+`;
const PLAIN = new RegExp(`^[${LETTERS}](?:${WORD})?(?: ${WORD})*$`);
const ITEM = /^[A-Za-z][A-Za-z0-9_./-]*$/;
const NUMBER = /^(?:0|[1-9]\d{0,14})(?:\.\d{1,9})?$/;
/** One line of printable ASCII in quotes, with nothing in it that is escaped. */
const DOUBLE = /^"[ !#-[\]-~]*"$/;
const SINGLE = /^'[ -&(-~]*'$/;
/** What YAML takes for null, true or false. */
const SPECIAL = /^(?:null|true|false)$/i;
const LINE = /^([A-Za-z][A-Za-z0-9_-]*):(?: (.*))?$/;
const COMMENT = /^#[ -~]*$/;

/** `source` is the text between the fences, each line with its newline. */
export function readSimple(source: string): Record<string, unknown> | undefined {
  const rows = source.split('\n');
  if (rows.pop() !== '') return undefined;
  const data: Record<string, unknown> = {};
  for (let at = 0; at < rows.length; at++) {
    const row = rows[at]!;
    if (row === '' || COMMENT.test(row)) continue;
    const [, key, text] = LINE.exec(row) ?? [];
    if (key === undefined || SPECIAL.test(key) || Object.hasOwn(data, key)) return undefined;
    if (text !== undefined) {
      const value = text.startsWith('[') ? listOf(text) : scalarOf(text);
      if (value === undefined) return undefined;
      data[key] = value;
      continue;
    }
    const block = rows[at + 1]?.startsWith('  - ') ? itemsFrom(rows, at + 1) : membersFrom(rows, at + 1);
    if (!block) return undefined;
    data[key] = block.value;
    at = block.last;
  }
  return data;
}

function scalarOf(text: string): string | number | undefined {
  if (PLAIN.test(text)) return SPECIAL.test(text) ? undefined : text;
  if (NUMBER.test(text)) return Number(text);
  return DOUBLE.test(text) || SINGLE.test(text) ? text.slice(1, -1) : undefined;
}

/** `[a, b]`: names alone. */
function listOf(text: string): string[] | undefined {
  if (text === '[]') return [];
  if (!text.endsWith(']')) return undefined;
  const items = text.slice(1, -1).split(', ');
  return items.every((item) => ITEM.test(item) && !SPECIAL.test(item)) ? items : undefined;
}

type Block = { value: unknown; last: number } | undefined;

/** Lines of `  - value`. */
function itemsFrom(rows: readonly string[], first: number): Block {
  const value: unknown[] = [];
  let at = first;
  for (; rows[at]?.startsWith('  - '); at++) {
    const one = scalarOf(rows[at]!.slice(4));
    if (one === undefined) return undefined;
    value.push(one);
  }
  return value.length > 0 ? { value, last: at - 1 } : undefined;
}

/** Lines of `  key: value`, one level deep, as the daemon's own key mostly is. */
function membersFrom(rows: readonly string[], first: number): Block {
  const value: Record<string, unknown> = {};
  let at = first;
  for (; rows[at]?.startsWith('  '); at++) {
    const [, key, text] = LINE.exec(rows[at]!.slice(2)) ?? [];
    if (key === undefined || text === undefined || SPECIAL.test(key) || Object.hasOwn(value, key)) return undefined;
    const one = scalarOf(text);
    if (one === undefined) return undefined;
    value[key] = one;
  }
  return at > first ? { value, last: at - 1 } : undefined;
}
