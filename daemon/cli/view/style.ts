// How text reaches a terminal: colour when it is wanted, widths as they are seen, and nothing untrusted that could play with it.
import { styleText } from 'node:util';
import type { Outcome, Queue } from '../../task/terms.ts';

/** What a renderer must know of where it writes. `width` is Infinity for a pipe: nothing is cut then. */
export interface Screen {
  width: number;
  color: boolean;
  /** ms since the epoch: what "3m ago" is counted from. */
  now: number;
}

interface Stream {
  isTTY?: boolean;
  columns?: number;
}

/** The screen behind a stream: colour only on a terminal, never with NO_COLOR, a dumb terminal or `--json`. */
export function screenOf(stream: Stream, options: { json?: boolean; env?: NodeJS.ProcessEnv } = {}): Screen {
  const env = options.env ?? process.env;
  const color = stream.isTTY === true && !options.json && !env['NO_COLOR'] && env['TERM'] !== 'dumb';
  const width = stream.isTTY ? stream.columns || Number(env['COLUMNS']) || 80 : Number.POSITIVE_INFINITY;
  return { width, color, now: Date.now() };
}

/** Fills in what was not given: no colour, no limit of width, now. */
export const fillScreen = (screen: Partial<Screen> = {}): Screen => ({
  width: screen.width ?? Number.POSITIVE_INFINITY,
  color: screen.color ?? false,
  now: screen.now ?? Date.now(),
});

/** What a state means to the one who looks. */
export type Tone = 'good' | 'bad' | 'care' | 'busy' | 'calm';

export interface Paint {
  bold(text: string): string;
  dim(text: string): string;
  tone(tone: Tone, text: string): string;
}

const COLORS = { good: 'green', bad: 'red', care: 'yellow', busy: 'cyan', calm: 'gray' } as const;
const none: Paint = { bold: (text) => text, dim: (text) => text, tone: (_, text) => text };
const ansi: Paint = {
  bold: (text) => styleText('bold', text, { validateStream: false }),
  dim: (text) => styleText('dim', text, { validateStream: false }),
  tone: (tone, text) => styleText(COLORS[tone], text, { validateStream: false }),
};

export const paintOf = (screen: Pick<Screen, 'color'>): Paint => (screen.color ? ansi : none);

const QUEUE_TONES: Record<Queue, Tone> = {
  ...{ incoming: 'calm', claimed: 'busy', provisional: 'care', done: 'good', blocked: 'care', failed: 'bad' },
};
export const queueTone = (queue: Queue): Tone => QUEUE_TONES[queue];

const CARE: readonly Outcome[] = ['transient', 'rate_limited', 'needs_input', 'cancelled', 'rejected', 'crashed'];
/** A null outcome is a run that goes on. */
export const outcomeTone = (outcome: Outcome | null): Tone =>
  outcome === null ? 'busy' : outcome === 'ok' ? 'good' : CARE.includes(outcome) ? 'care' : 'bad';

// CSI, OSC, DCS and the other strings that end in ST or BEL, then any escape of two characters; an unended one takes the rest of its line.
const ESCAPES = new RegExp(
  [
    '(?:\\x1b\\[|\\x9b)[0-?]*[ -/]*[@-~]?',
    '(?:\\x1b[\\]PX^_]|[\\x9d\\x90\\x98\\x9e\\x9f])[^\\x07\\x1b\\x9c\\n]*(?:\\x07|\\x1b\\\\|\\x9c)?',
    '\\x1b[ -/]*[0-~]?',
  ].join('|'),
  'g',
);
// Other controls, what turns the direction of the text, and what cannot be seen but hides text.
const HIDDEN =
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what is to be taken out
  /[\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]|[\u{e0000}-\u{e0fff}]/gu;

/** Text for one line: no escape sequences, no controls, white space as single blanks. */
export function clean(text: string): string {
  return strip(text).replace(/\s+/g, ' ').trim();
}

/** The same for text of several lines; tabs become blanks. */
export function cleanLines(text: string): string {
  return strip(text.replace(/\r\n?/g, '\n'))
    .replaceAll('\t', '  ')
    .replace(/[^\S\n]+$/gm, '');
}

function strip(text: string): string {
  return text.toWellFormed().replace(ESCAPES, '').replace(HIDDEN, '');
}

const graphemes = new Intl.Segmenter('en', { granularity: 'grapheme' });
const WIDE =
  /^(?:\p{Emoji_Presentation}|\p{Extended_Pictographic}\ufe0f|[\u1100-\u115f\u2e80-\u303e\u3041-\ua4cf\ua960-\ua97f\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6]|[\u{1f1e6}-\u{1f1ff}]{2}|[\u{20000}-\u{3fffd}])/u;
const ZERO = /^(?:\p{M}|\u200c|\u200d|\ufe0f)+$/u;
const PLAIN = /^[\x20-\x7e]*$/;

const widthOfOne = (grapheme: string): number => (ZERO.test(grapheme) ? 0 : WIDE.test(grapheme) ? 2 : 1);

/** Columns that clean, unpainted text takes. */
export function widthOf(text: string): number {
  if (PLAIN.test(text)) return text.length;
  let width = 0;
  for (const { segment } of graphemes.segment(text)) width += widthOfOne(segment);
  return width;
}

/** Cuts clean, unpainted text to so many columns; what was cut is told by "…". */
export function truncate(text: string, width: number): string {
  // A text of n code units is at most 2n wide: the common short one is not measured.
  if (text.length * 2 <= width || widthOf(text) <= width) return text;
  if (width < 1) return '';
  let [kept, used] = ['', 0];
  for (const { segment } of graphemes.segment(text)) {
    used += widthOfOne(segment);
    if (used > width - 1) break;
    kept += segment;
  }
  return `${kept}…`;
}

/** Clean text broken at blanks into lines of at most `width` columns. */
export function wrap(text: string, width: number): string[] {
  if (width === Number.POSITIVE_INFINITY) return text.split('\n');
  const lines: string[] = [];
  for (const paragraph of text.split('\n')) {
    let line = '';
    for (const word of paragraph.split(' ')) {
      const longer = line === '' ? word : `${line} ${word}`;
      if (line !== '' && widthOf(longer) > width) {
        lines.push(line);
        line = word;
      } else line = longer;
    }
    lines.push(line);
  }
  return lines.map((line) => truncate(line, width));
}
