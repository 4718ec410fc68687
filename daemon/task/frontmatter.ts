// Front matter: cut off by gray-matter, read by yaml, and every looser habit of either is a refusal with its line.
import matter from 'gray-matter';
import { type Document, isMap, isScalar, LineCounter, parseDocument, visit, YAMLParseError } from 'yaml';

export const BOM = '\ufeff';
/** A line that opens or closes front matter. */
export const FENCE = /^---[ \t]*$/;

export type Split = { matter: string | null; open: string; close: string; body: string } | { problem: string };

/** Cuts text into front matter and body. gray-matter cuts; each of its looser habits is a refusal here, and no engine of it ever runs. */
export function splitText(whole: string): Split {
  const text = whole.startsWith(BOM) ? whole.slice(1) : whole;
  const first = /^[^\n]*/.exec(text)![0].replace(/\r$/, '');
  if (/^\+\+\+[ \t]*$/.test(first))
    return { problem: 'line 1: the front matter is TOML: only YAML between --- lines is read' };
  if (!first.startsWith('---') || /^----+[ \t]*$/.test(first)) return { matter: null, open: '', close: '', body: text };
  if (!FENCE.test(first))
    return {
      problem: `line 1: "${first.slice(0, 40)}": the front matter is not YAML; only a line of exactly --- opens it, and no code is ever evaluated`,
    };
  const rows = text.split('\n');
  const end = rows.findIndex((row, at) => at > 0 && FENCE.test(row.replace(/\r$/, '')));
  if (end < 0) return { problem: 'line 1: the front matter is not closed: end it with a line of exactly ---' };
  const loose = rows.findIndex((row, at) => at > 0 && at < end && row.startsWith('---'));
  if (loose > 0)
    return { problem: `line ${loose + 1}: a line of the front matter begins with ---: only its last line may` };
  const never = () => {
    throw new Error('only YAML is read');
  };
  const engine = { parse: () => ({}), stringify: never };
  const cut = matter(text, { language: 'yaml', engines: { yaml: engine, json: never, javascript: never, js: never } });
  const open = `${rows[0]}\n`;
  const close = end + 1 < rows.length ? `${rows[end]}\n` : rows[end]!;
  const body = text.slice(rows.slice(0, end + 1).join('\n').length + (end + 1 < rows.length ? 1 : 0));
  if (cut.content.trim() !== body.trim())
    return { problem: 'the front matter cannot be told from the body: write --- alone on its lines' };
  return {
    matter: rows
      .slice(1, end)
      .map((row) => `${row}\n`)
      .join(''),
    open,
    close,
    body,
  };
}

/** Documents read lately: in one attempt the same front matter is read a dozen times. */
const lately = new Map<string, { doc: Document; lineStarts: number[] }>();
const LATELY = 32;
const LATELY_CHARS = 4096;

function parse(source: string, lines: LineCounter): Document {
  const known = lately.get(source);
  if (known) {
    lines.lineStarts = [...known.lineStarts];
    return known.doc;
  }
  // yaml holds each key against all before it: a minute for a file of nothing but keys.
  const options = { lineCounter: lines, prettyErrors: false, logLevel: 'silent', uniqueKeys: false } as const;
  const doc = parseDocument(source, options);
  const twice = doc.errors.length > 0 ? undefined : keyTwice(doc);
  if (twice !== undefined)
    doc.errors.push(new YAMLParseError([twice, twice + 1], 'DUPLICATE_KEY', 'Map keys must be unique'));
  if (source.length > LATELY_CHARS || doc.errors.length > 0) return doc;
  if (lately.size >= LATELY) lately.delete(lately.keys().next().value!);
  lately.set(source, { doc, lineStarts: [...lines.lineStarts] });
  return doc;
}

/** Where the first key stands that its map has already. */
function keyTwice(doc: Document): number | undefined {
  let at: number | undefined;
  visit(doc, {
    Map: (_, { items }) => {
      const seen = new Set<unknown>();
      for (const { key } of items) {
        if (!isScalar(key)) continue;
        if (seen.has(key.value)) {
          at = key.range?.[0] ?? 0;
          return visit.BREAK;
        }
        seen.add(key.value);
      }
      return undefined;
    },
  });
  return at;
}

export function readYaml(
  source: string,
  lines: LineCounter,
): { doc: Document; data: Record<string, unknown> } | { problem: string } {
  // parseDocument would read what stands before it and drop the rest without a word.
  const end = source.split('\n').findIndex((row) => /^\.\.\.\s*$/.test(row));
  if (end >= 0) return { problem: `line ${end + 2}: bad YAML: "..." ends the document: remove the line` };
  try {
    const doc = parse(source, lines);
    const error = doc.errors[0] ?? doc.warnings[0];
    if (error)
      return { problem: `line ${lines.linePos(error.pos[0]).line + 1}: bad YAML: ${error.message.split('\n')[0]}` };
    if (doc.contents === null) return { doc, data: {} };
    if (!isMap(doc.contents)) return { problem: 'line 2: the front matter holds no "key: value" lines' };
    return { doc, data: doc.toJS({ maxAliasCount: 100 }) as Record<string, unknown> };
  } catch (thrown) {
    // Alias bombs and nesting that overflows the stack end here.
    return {
      problem: `line 2: the front matter cannot be read: ${thrown instanceof Error ? thrown.message : 'too deep'}`,
    };
  }
}

/** Front matter and body of a text, for files that are only read (roles). */
export function readFrontMatter(text: string): { data: Record<string, unknown>; body: string } | { problem: string } {
  const split = splitText(text);
  if ('problem' in split) return split;
  const read = readYaml(split.matter ?? '', new LineCounter());
  return 'problem' in read ? read : { data: read.data, body: split.body };
}
