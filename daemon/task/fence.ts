// Text of others inside markdown: fenced, so that nothing in it passes for a heading or a sentence of ours.

/** A line that opens and closes a block of this text, longer than any that stands in it. */
export function fenceFor(text: string): string {
  let longest = 2;
  for (const [ticks] of text.matchAll(/`+/g)) longest = Math.max(longest, ticks.length);
  return '`'.repeat(longest + 1);
}

export function fenced(text: string): string {
  const fence = fenceFor(text);
  return `${fence}\n${text}\n${fence}`;
}

const FENCE = /^( {0,3})(`{3,})([^`]*)$/;

/**
 * What stands in the fenced blocks of a text that name one of some languages, or none; each with its last line end. Line by line,
 * since an agent wrote it: a pattern that looks for the end of each block would take for ever where none ends.
 */
export function blocksIn(text: string, languages: readonly string[]): string[] {
  const lines = text.split('\n');
  const blocks: string[] = [];
  let open: { indent: number; ticks: number; wanted: boolean; first: number } | null = null;
  for (const [at, line] of lines.entries()) {
    const [, { length: indent } = '', { length: ticks } = '', info = ''] = FENCE.exec(line) ?? [];
    // What is further in than the block itself is a part of it: a line of a diff begins with a space.
    if (ticks === 0 || (open && indent > open.indent)) continue;
    const language = info.trim().toLowerCase();
    if (open && language === '') {
      if (ticks < open.ticks) continue;
      if (open.wanted) blocks.push(`${lines.slice(open.first, at).join('\n')}\n`);
      open = null;
      // A block that names its language begins, also where the one before was never ended.
    } else open = { indent, ticks, wanted: language === '' || languages.includes(language), first: at + 1 };
  }
  return blocks;
}
