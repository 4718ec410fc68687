// The one reader and writer of task files. The daemon writes the key `towpath:` and nothing else: every other byte stays.

import { isDeepStrictEqual } from 'node:util';
import { Document, isMap, isNode, isScalar, LineCounter, visit } from 'yaml';
import { redactAll } from '../secrets.ts';
import { BOM, readYaml, splitText } from './frontmatter.ts';
import { checkSpec, lineOf } from './schema.ts';
import { readSimple } from './simple.ts';
import { readState } from './state.ts';
import type { State, TaskSpec } from './terms.ts';

/** Of a user's own; larger ones are refused. */
export const MAX_BYTES = 1024 * 1024;
/** With what we write into it a file may be larger; beyond this none is read. */
export const MAX_READ = 2 * MAX_BYTES;

export const tooLarge = (size: number): string => `the file is larger than 1 MiB (${size} bytes): shorten it`;

/** What a file says. `refusal` is why it can never run as it stands; its spec then has the defaults. */
export interface ParsedFile {
  spec: TaskSpec;
  /** The user's frontmatter, without `towpath`. */
  data: Record<string, unknown>;
  body: string;
  state: State;
  refusal: string | null;
}

const DEFAULTS = checkSpec({}, null, new LineCounter()) as { spec: TaskSpec };

/** Reads a task from its bytes. Never throws, whatever they are. */
export function parseTask(bytes: Uint8Array): ParsedFile {
  const own = unwrap(bytes);
  // We put one block in front; another behind it is the user's.
  return own ? { ...parsePlain(own.original), state: own.state } : parsePlain(bytes);
}

function parsePlain(bytes: Uint8Array): ParsedFile {
  const refused = (refusal: string, rest: Partial<ParsedFile> = {}): ParsedFile => ({
    spec: DEFAULTS.spec,
    data: {},
    body: '',
    state: {},
    ...rest,
    refusal,
  });
  const large = bytes.byteLength > MAX_BYTES;
  if (bytes.byteLength > MAX_READ || (large && !Buffer.from(bytes).includes('\ntowpath:')))
    return refused(tooLarge(bytes.byteLength));
  let text: string;
  try {
    text = new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    return refused('the file is not valid UTF-8: save it as UTF-8');
  }
  if (text.includes('\0')) return refused('the file holds a NUL byte: it is no text');
  const split = splitText(text);
  if ('problem' in split) return refused(split.problem, { body: text });
  if (split.matter === null) return finish({}, null, new LineCounter(), split.body, {});
  const simple = large ? undefined : readSimple(split.matter);
  if (simple) {
    const { towpath, ...data } = simple;
    const file = finish(data, null, new LineCounter(), split.body, readState(towpath));
    // A refusal names its line, which only the parser knows.
    if (!file.refusal) return file;
  }
  const lines = new LineCounter();
  const read = readYaml(split.matter, lines);
  if ('problem' in read) return refused(read.problem, { body: split.body });
  const { towpath, ...data } = read.data;
  const size = bytes.byteLength - (large ? ownBytes(split.matter, read.doc, data) : 0);
  const rest = { data, body: split.body, state: readState(towpath) };
  if (size > MAX_BYTES) return refused(tooLarge(size), rest);
  const nul = split.matter.includes('\\') ? keyWithNul(read.doc) : undefined;
  if (nul !== undefined) return refused(`${nul}: a NUL is not allowed (line ${lineOf(read.doc, [nul], lines)})`, rest);
  return finish(data, read.doc, lines, split.body, readState(towpath));

  function finish(
    data: Record<string, unknown>,
    doc: Document | null,
    at: LineCounter,
    body: string,
    state: State,
  ): ParsedFile {
    const checked = checkSpec(data, doc, at);
    if ('problem' in checked) return refused(checked.problem, { data, body, state });
    if (body.trim() === '')
      return refused('the body is empty: write below the front matter what is to be done', { data, body, state });
    return { spec: checked.spec, data, body, state, refusal: null };
  }
}

/** The key of the user's whose text holds a NUL: YAML can write one, and no argument, variable or path can hold it. */
function keyWithNul({ contents }: Document): string | undefined {
  for (const { key, value } of isMap(contents) ? contents.items : []) {
    if (!isScalar(key) || !isNode(value) || key.value === 'towpath') continue;
    let found = false;
    visit(value, {
      Scalar: (_, node) => {
        found = typeof node.value === 'string' && node.value.includes('\0');
        return found ? visit.BREAK : undefined;
      },
    });
    if (found) return String(key.value);
  }
  return undefined;
}

/** The same file with another `towpath:` key. Every other byte stays; a file whose front matter cannot be edited in place gets a block of its own in front. */
export function withState(bytes: Uint8Array, told: State): Uint8Array {
  const state = redactAll(told);
  const original = unwrap(bytes)?.original ?? bytes;
  // As JSON has it: no undefined, no prototype, no -0; so that what is read back can be held against it.
  const { wrapped: _, ...plain } = JSON.parse(JSON.stringify(state)) as State;
  return (
    (original.byteLength > MAX_READ ? undefined : editInPlace(original, plain)) ??
    Buffer.concat([Buffer.from(block({ ...plain, wrapped: true }, '\n')), original])
  );
}

/** A reason against one key of a file (`role: …`) with the line of that key, where it is written there. */
export function placed(reason: string, bytes: Uint8Array): string {
  const key = /^([a-z_]+)[:.]/.exec(reason)?.[1];
  const split = splitText(Buffer.from(bytes).toString('utf8'));
  if (!key || 'problem' in split || /\(line \d+\)$/.test(reason)) return reason;
  const lines = new LineCounter();
  const read = readYaml(split.matter ?? '', lines);
  const line = 'problem' in read ? undefined : lineOf(read.doc, [key], lines);
  return line === undefined ? reason : `${reason} (line ${line})`;
}

/** The title: the frontmatter's, else the first heading, else null. */
export function titleOf(file: ParsedFile): string | null {
  if (file.spec.title) return file.spec.title;
  const given = file.data['title'];
  if (typeof given === 'string' && given) return given;
  return firstHeading(file.body);
}

/** A line of a fence, one of #, and one that underlines the text above it. */
const MARKED = /^ {0,3}(?:(`{3,}|~{3,})|#{1,6}[ \t]+(\S.*)|(?:=+|-+)[ \t]*\r?$)/gm;
/** What is no paragraph, so that a line below it underlines nothing. */
const NO_TEXT = /^(?:\s*$| {0,3}(?:[-*+>`~#]|\d+[.)])| {4}|\t)/;

/** The text of the first heading, as Markdown has it: a # in a fenced block begins a comment of some program. */
function firstHeading(body: string): string | null {
  let fence: string | null = null;
  for (const { 1: mark, 2: text, index } of body.matchAll(MARKED)) {
    if (fence !== null || mark) {
      fence = fence === null ? mark! : mark?.startsWith(fence) ? null : fence;
      continue;
    }
    if (text) return withoutClosing(text.trim());
    const above = body.slice(body.lastIndexOf('\n', index - 2) + 1, Math.max(0, index - 1));
    if (!NO_TEXT.test(above)) return above.trim();
  }
  return null;
}

/** Without the #s that may end a heading. A pattern for it would take the cube of a long line's time. */
function withoutClosing(text: string): string {
  const at = Math.max(text.lastIndexOf(' '), text.lastIndexOf('\t'));
  return at >= 0 && /^#+$/.test(text.slice(at + 1)) ? text.slice(0, at).trimEnd() : text;
}

/** Replaces or adds `towpath:` in readable front matter; undefined when the result would not say exactly what it should. */
function editInPlace(original: Uint8Array, state: State): Uint8Array | undefined {
  let text: string;
  try {
    text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(original);
  } catch {
    return undefined;
  }
  const split = splitText(text);
  if ('problem' in split) return undefined;
  const bom = text.startsWith(BOM) ? BOM : '';
  const eol = /^[^\n]*\r\n/.test(text) ? '\r\n' : '\n';
  if (split.matter === null) return Buffer.from(bom + block(state, eol) + split.body);
  const lines = new LineCounter();
  const read = readYaml(split.matter, lines);
  if ('problem' in read) return undefined;
  const edited = editMatter(split.matter, read.doc, yamlOf(state, eol));
  if (edited === undefined) return undefined;
  const result = bom + split.open + edited + split.close + split.body;
  return saysExactly(result, read.data, state) ? Buffer.from(result) : undefined;
}

/** Whether a file, read again, holds the user's data, our state, and the cut between front matter and body where it was. */
function saysExactly(text: string, data: Record<string, unknown>, state: State): boolean {
  const split = splitText(text);
  if ('problem' in split || split.matter === null) return false;
  const again = readYaml(split.matter, new LineCounter());
  if ('problem' in again) return false;
  const { towpath: _, ...before } = data;
  const { towpath, ...after } = again.data;
  return isDeepStrictEqual(before, after) && isDeepStrictEqual(towpath, state);
}

function editMatter(source: string, doc: Document, key: string): string | undefined {
  if (doc.contents === null) return source + key;
  if (!isMap(doc.contents) || doc.contents.flow) return undefined;
  const first = doc.contents.items[0];
  if (!first || !isScalar(first.key) || !first.key.range) return undefined;
  const at = doc.contents.items.findIndex((item) => isScalar(item.key) && item.key.value === 'towpath');
  if (at < 0) return first.key.range[0] !== lineStart(source, first.key.range[0]) ? undefined : source + key;
  const own = doc.contents.items[at]!;
  const start = isScalar(own.key) ? own.key.range?.[0] : undefined;
  if (start === undefined || start !== lineStart(source, start)) return undefined;
  // Our block is the key's line and every line after it that is indented; a blank line or a comment at the margin is the user's.
  let end = source.indexOf('\n', start) + 1 || source.length;
  while (end < source.length && /^[ \t]+\S/.test(source.slice(end, source.indexOf('\n', end) + 1 || source.length)))
    end = source.indexOf('\n', end) + 1 || source.length;
  return source.slice(0, start) + key + source.slice(end);
}

/** How many bytes of a file are our key, and the front matter around it where it has no other. */
function ownBytes(source: string, doc: Document, data: Record<string, unknown>): number {
  const without = editMatter(source, doc, '') ?? source;
  const fences = without.trim() === '' && Object.keys(data).length === 0 ? Buffer.byteLength('---\r\n---\r\n') : 0;
  return Buffer.byteLength(source) - Buffer.byteLength(without) + fences;
}

const lineStart = (source: string, at: number): number => source.lastIndexOf('\n', at - 1) + 1;

/** The key as YAML in which every text is on one line, so that our block is known again by its indented lines. */
function yamlOf(state: State, eol: string): string {
  const doc = new Document({ towpath: state }, { aliasDuplicateObjects: false });
  visit(doc, {
    Scalar: (key, node) => {
      if (key !== 'key' && typeof node.value === 'string' && !PLAIN.test(node.value)) node.type = 'QUOTE_DOUBLE';
    },
  });
  const out = doc.toString({
    lineWidth: 0,
    blockQuote: false,
    doubleQuotedMinMultiLineLength: Number.MAX_SAFE_INTEGER,
  });
  return eol === '\n' ? out : out.replaceAll('\n', eol);
}

/** Texts that read well without quotes; yaml still quotes those that would be a number or the like. */
const PLAIN = /^[\w./@+ -]*$/;

const block = (state: State, eol: string): string => `---${eol}${yamlOf(state, eol)}---${eol}`;

/** The state in the head of a file that is not read as a whole. */
export const stateOfHead = (head: Uint8Array): State => unwrap(head)?.state ?? {};

/** Undoes the block that withState put before a file that it could not edit. */
function unwrap(bytes: Uint8Array): { original: Uint8Array; state: State } | undefined {
  const head = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (head.subarray(0, 13).toString('latin1') !== '---\ntowpath:\n') return undefined;
  const end = head.indexOf('\n---\n');
  if (end < 0) return undefined;
  const read = readYaml(head.subarray(4, end + 1).toString('utf8'), new LineCounter());
  if ('problem' in read || Object.keys(read.data).length !== 1) return undefined;
  const state = readState(read.data['towpath']);
  if (!state.wrapped) return undefined;
  return { original: head.subarray(end + 5), state };
}
