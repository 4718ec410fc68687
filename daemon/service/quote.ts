// How a text is written in a unit file and in a property list, so that it is read back as it was.
import { TowpathError } from '../errors.ts';

/** A unit knows no specifier in it: `%h` stays `%h`. */
const plain = (text: string): string => text.replaceAll('%', '%%');
const quoted = (text: string): string => `"${plain(text.replace(/["\\]/g, '\\$&'))}"`;

/** One way of writing for each place of the templates, by the name that stands after the colon. */
export const WRITINGS = {
  /** The rest of a line that systemd takes as it is. */
  text: plain,
  /** One word of a list. */
  word: quoted,
  /** One argument of a command; `$` would be a variable. */
  argument: (text: string) => quoted(text).replaceAll('$', '$$$$'),
  /** The program of a command, where `$` stands for itself. */
  program: quoted,
  /** A value of `Environment=`; the name stands in the template. */
  value: (text: string) => quoted(text).slice(1, -1),
  /** A folder that takes a whole line and knows no quotes: a backslash or a blank at the end would be lost. */
  folder: (text: string) => (/[\\\s]$/.test(text) ? `${plain(text)}/` : plain(text)),
  /** A path that systemd reads as a pattern. */
  pattern: (text: string) => plain(text.replace(/[*?[\]\\]/g, '\\$&')),
  /** A string of a property list. */
  xml: (text: string) => text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;'),
} as const satisfies Record<string, (text: string) => string>;

/** Neither form can say a line break or another control character, and both must be Unicode. */
export function mustBeWritable(text: string, what: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for.
  if (/[\u0000-\u001f\u007f\ufffd\ufffe\uffff]/.test(text) || !text.isWellFormed())
    throw new TowpathError(
      'bad_usage',
      `${what} ${JSON.stringify(text)} holds a character that a service file cannot`,
      'rename the folder',
    );
  return text;
}
