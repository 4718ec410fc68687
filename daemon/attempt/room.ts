// Keeps a prompt within its budget of tokens: what matters least is cut first, and what was cut is told. Pure.
import { headBytes } from '../task/cut.ts';

export interface Section {
  text: string;
  /** Stand before and after it, also where it was cut. */
  head?: string;
  tail?: string;
  /** What it is called when it is cut; sections without a name are never cut. */
  name?: string;
  /** Where it stands in the order of cutting: the lowest goes first, and of equals the longest. */
  worth?: number;
  /** Where the whole of it can be read. */
  whole?: string;
}

/** A token is about so many bytes: four letters of English, a character and a third of Chinese. */
const TOKEN_BYTES = 4;
/** Less of a section than this helps nobody, bytes. */
const LEAST_BYTES = 400;
/** Stands where something was cut. */
const CUT = '\n[…]';
/** Room for closing a block that was cut through. */
const FENCE_BYTES = 8;
/** So many are told by name. */
const TOLD = 20;
const GAP = '\n\n';

const sizeOf = (text: string): number => Buffer.byteLength(text);
const partsOf = ({ head = '', text, tail = '' }: Section): string[] => (text === '' ? [] : [`${head}${text}${tail}`]);

/** The sections that fit into so many tokens, what was left out of them among it, and that once more for people. */
export function fitTokens(sections: readonly Section[], tokens: number): { text: string; left: string[] } {
  const room = tokens * TOKEN_BYTES;
  const kept = sections.map((section) => ({ ...section }));
  const left: string[] = [];
  const over = () => sizeOf(joined(kept, left)) - room;
  const order = kept.filter(({ name, text }) => name !== undefined && text !== '');
  order.sort((a, b) => (a.worth ?? 0) - (b.worth ?? 0) || sizeOf(b.text) - sizeOf(a.text));
  for (const section of order) {
    if (over() <= 0) break;
    const { text, name, whole } = section;
    const where = whole ? `; all of it: ${whole}` : '';
    const cutTo = (chars: number) => `${name}: cut to the first ${chars} of ${text.length} characters${where}`;
    // As long as it can become, so that what is told of it fits as well.
    left.push(cutTo(text.length));
    const fits = sizeOf(text) - Math.max(0, over()) - sizeOf(CUT) - FENCE_BYTES;
    left.pop();
    if (fits < LEAST_BYTES) {
      section.text = '';
      left.push(`${name}: left out, ${text.length} characters${where}`);
    } else {
      const cut = headBytes(text, fits);
      // At the end of a line, where there is one.
      const line = cut.lastIndexOf('\n');
      const shown = line > cut.length / 2 ? cut.slice(0, line) : cut;
      section.text = `${shown}${openFence(shown)}${CUT}`;
      left.push(cutTo(shown.length));
    }
  }
  return { text: joined(kept, left), left };
}

/** Closes a fenced block that the cut went through, so that what follows does not stand in it. */
function openFence(text: string): string {
  let open = '';
  for (const [, marks = '', rest = ''] of text.matchAll(/^ {0,3}(`{3,}|~{3,})(.*)$/gm))
    if (!open) open = marks;
    else if (marks.startsWith(open) && rest.trim() === '') open = '';
  return open && `\n${open}`;
}

function joined(sections: readonly Section[], left: readonly string[]): string {
  const told = left.slice(0, TOLD).map((one) => `- ${one}`);
  if (left.length > TOLD) told.push(`- and ${left.length - TOLD} more`);
  const last = told.length > 0 ? [`## Left out, since it would be too long\n\n${told.join('\n')}`] : [];
  return [...sections.flatMap(partsOf), ...last].join(GAP);
}
