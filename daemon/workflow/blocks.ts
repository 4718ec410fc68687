// Which lines of a markdown text stand in a fenced block or in a comment: what looks like a heading there is none. Pure.

export type Block = 'fenced block' | 'comment';

/** Is told every line in order. */
export class Blocks {
  /** The block that is open, with the number of its first line. */
  open: { kind: Block; line: number } | null = null;
  #fence = '';

  /** The block that a line belongs to, its own marks included; null outside of any. */
  of(line: string, number: number): Block | null {
    if (this.open) {
      const { kind } = this.open;
      if (kind === 'comment' ? line.includes('-->') : this.#closes(line)) this.open = null;
      return kind;
    }
    // Of backticks, a line that holds more of them is text.
    const marks = /^ {0,3}(`{3,}(?=[^`]*$)|~{3,})/.exec(line)?.[1];
    const comment = /^ {0,3}<!--(.*)$/.exec(line)?.[1];
    if (marks === undefined && comment === undefined) return null;
    const kind = marks === undefined ? 'comment' : 'fenced block';
    this.#fence = marks ?? '';
    if (!comment?.includes('-->')) this.open = { kind, line: number };
    return kind;
  }

  #closes(line: string): boolean {
    const marks = /^ {0,3}(`{3,}|~{3,})[ \t\r]*$/.exec(line)?.[1];
    return marks?.startsWith(this.#fence) ?? false;
  }
}
