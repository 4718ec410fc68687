// Keeps a prompt within its budget of tokens: what matters least is cut first, and what was cut is told. Pure.

export interface Section {
  text: string;
  /** What it is called when it is cut; sections without a name are never cut. */
  name?: string;
  /** Where it stands in the order of cutting: the lowest goes first. */
  worth?: number;
  /** Where the whole of it can be read. */
  whole?: string;
}

/** A token is about so many characters. */
const TOKEN_CHARS = 4;
/** Less of a section than this helps nobody. */
const LEAST_CHARS = 400;
/** Stands where something was cut. */
const CUT = '\n[…]';

/** The sections that fit into so many tokens, joined, and what was left out of them, for people. */
export function fitTokens(sections: readonly Section[], tokens: number): { text: string; left: string[] } {
  const room = tokens * TOKEN_CHARS;
  const kept = sections.filter(({ text }) => text !== '').map((section) => ({ ...section }));
  const left: string[] = [];
  const order = kept.filter(({ name }) => name !== undefined).sort((a, b) => (a.worth ?? 0) - (b.worth ?? 0));
  for (const section of order) {
    const over = kept.reduce((sum, { text }) => sum + text.length + 2, 0) - room;
    if (over <= 0) break;
    const all = section.text.length;
    const fits = all - over - CUT.length;
    const where = section.whole ? `; all of it: ${section.whole}` : '';
    if (fits < LEAST_CHARS) {
      section.text = '';
      left.push(`${section.name}: left out, ${all} characters${where}`);
    } else {
      // At the end of a line, where there is one.
      const cut = section.text.slice(0, fits);
      const line = cut.lastIndexOf('\n');
      section.text = `${line > fits / 2 ? cut.slice(0, line) : cut}${CUT}`;
      left.push(`${section.name}: cut from ${all} to ${section.text.length} characters${where}`);
    }
  }
  return { text: kept.flatMap(({ text }) => (text === '' ? [] : [text])).join('\n\n'), left };
}
