// Variables of a workflow: where a text names them, what stands in their place, and what an answer puts out. Pure.

/** What names a variable: `${A}`. `$${` is a plain `${`. */
export const NAME = /^[A-Za-z_][A-Za-z0-9_]*$/;
const REFERENCE = /\$?\$\{([A-Za-z_][A-Za-z0-9_]*)\}/g;

export interface Reference {
  name: string;
  /** Where its `$` stands in the text. */
  at: number;
}

/** Every variable that a text names, in order. */
export const referencesIn = (text: string): Reference[] =>
  [...text.matchAll(REFERENCE)]
    .filter(([all]) => !all.startsWith('$$'))
    .map((one) => ({ name: one[1]!, at: one.index }));

/** Puts values in, in one pass: what a value holds is never read as a variable. One without a value stays as it is written. */
export const substitute = (text: string, values: ReadonlyMap<string, string>): string =>
  text.replace(REFERENCE, (all, name: string) => (all.startsWith('$$') ? all.slice(1) : (values.get(name) ?? all)));

/** The text in which `$${` is read as `${` and nothing else is changed: for a reader that puts in values by itself. */
export const unescaped = (text: string): string =>
  text.replace(REFERENCE, (all) => (all.startsWith('$$') ? all.slice(1) : all));

/** A value as text: what is no text is JSON. */
export const textOf = (value: unknown): string => (typeof value === 'string' ? value : (JSON.stringify(value) ?? ''));

/** What a step answered. */
export interface Answer {
  output: string;
  outputs: Record<string, unknown>;
}

/** An output of a step: named in `outputs`, else the last block of its answer that is fenced under this name, else all of it. */
export function outputOf({ output, outputs }: Answer, name: string): unknown {
  return Object.hasOwn(outputs, name) ? outputs[name] : (fencedBlock(output, name) ?? output);
}

/** The last fenced block of a text whose info string begins with the name, without the newline before its end; null when there is none. */
export function fencedBlock(text: string, name: string): string | null {
  let found: string | null = null;
  let open: { marks: string; lines: string[] | null } | null = null;
  for (const line of text.split('\n')) {
    if (open) {
      const end = /^ {0,3}(`{3,}|~{3,})[ \t\r]*$/.exec(line)?.[1];
      if (end?.startsWith(open.marks)) {
        if (open.lines) found = open.lines.join('\n');
        open = null;
      } else open.lines?.push(line);
      continue;
    }
    const start = /^ {0,3}(`{3,}|~{3,})[ \t]*([^\s`]*)/.exec(line);
    if (start) open = { marks: start[1]!, lines: start[2] === name ? [] : null };
  }
  return found;
}

/** A step for each item of a longer list would be a mistake. */
export const MAX_ITEMS = 100;

/** The items of a list: a JSON array, else the lines that hold something, without the marks of a markdown list. */
export function itemsOf(text: string): { items: string[] } | { problem: string } {
  const items = jsonList(text) ?? linesOf(text);
  if (items.length > MAX_ITEMS) return { problem: `it has ${items.length} items: at most ${MAX_ITEMS}` };
  return { items };
}

function jsonList(text: string): string[] | null {
  if (!text.trimStart().startsWith('[')) return null;
  try {
    const value: unknown = JSON.parse(text);
    return Array.isArray(value) ? value.map(textOf) : null;
  } catch {
    return null;
  }
}

const linesOf = (text: string): string[] =>
  text
    .split('\n')
    .map((line) => line.trim().replace(/^(?:[-*]|\d+[.)])\s+/, ''))
    .filter(Boolean);
