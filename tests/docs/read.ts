// Reads the documents: their text, their tables, their fenced blocks with what the fence says.
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const ROOT = fileURLToPath(new URL('../../', import.meta.url));

export const read = (path: string): string => readFileSync(join(ROOT, path), 'utf8');

/** Every document that speaks to users, by its path from the root. */
export const DOCUMENTS: readonly string[] = [
  'README.md',
  ...readdirSync(join(ROOT, 'docs'))
    .filter((name) => name.endsWith('.md'))
    .map((name) => `docs/${name}`),
];

export interface Block {
  language: string;
  /** What follows the language: bare words, and `key=value`. */
  words: string[];
  values: Record<string, string>;
  text: string;
  line: number;
}

/** The fenced blocks of a text, in order; a block inside a longer fence belongs to the outer one. */
export function blocksOf(markdown: string): Block[] {
  const blocks: Block[] = [];
  let open: { fence: string; block: Block; lines: string[] } | null = null;
  for (const [at, line] of markdown.split('\n').entries()) {
    if (open) {
      if (/^`+$/.test(line) && line.length >= open.fence.length) {
        blocks.push({ ...open.block, text: open.lines.map((one) => `${one}\n`).join('') });
        open = null;
      } else open.lines.push(line);
      continue;
    }
    const start = /^(`{3,})(\S*)(.*)$/.exec(line);
    if (!start) continue;
    const rest = start[3]!.trim().split(/\s+/).filter(Boolean);
    const pairs = rest.filter((word) => word.includes('='));
    open = {
      fence: start[1]!,
      lines: [],
      block: {
        language: start[2]!,
        words: rest.filter((word) => !word.includes('=')),
        values: Object.fromEntries(pairs.map((pair) => [pair.split('=')[0]!, pair.slice(pair.indexOf('=') + 1)])),
        text: '',
        line: at + 1,
      },
    };
  }
  if (open) throw new Error(`the fence of line ${open.block.line} is not closed`);
  return blocks;
}

/** The rows of all tables of a text, as cells; the heads are among them, the rules below them are not. */
export function rowsOf(markdown: string): string[][] {
  return markdown
    .split('\n')
    .filter((line) => line.startsWith('|') && !/^\|[\s:|-]+\|$/.test(line))
    .map((line) =>
      line
        .slice(1, -1)
        .split(/(?<!\\)\|/)
        .map((cell) => cell.trim()),
    );
}

/** The row whose first cell is this word in code, alone or among others. */
export const rowFor = (markdown: string, word: string): string[] | undefined =>
  rowsOf(markdown).find(([first]) => first === `\`${word}\`` || first?.includes(`\`${word}\``));

/** The part of a text below a heading, up to the next heading of the same or a higher level. */
export function sectionOf(markdown: string, heading: string): string {
  const lines = markdown.split('\n');
  const from = lines.findIndex((line) => line === heading || line.startsWith(`${heading} `));
  if (from < 0) throw new Error(`no heading "${heading}"`);
  const level = /^#+/.exec(heading)![0].length;
  let fence = '';
  const to = lines.findIndex((line, at) => {
    const mark = /^`{3,}/.exec(line)?.[0] ?? '';
    if (mark && (fence === '' || mark === fence)) fence = fence ? '' : mark;
    return at > from && fence === '' && new RegExp(`^#{1,${level}} `).test(line);
  });
  return lines.slice(from, to < 0 ? undefined : to).join('\n');
}
