// Rows as aligned columns: no boxes, two blanks between, wide texts cut first, unimportant columns dropped when it gets narrow.
import { clean, paintOf, type Screen, truncate, widthOf } from './style.ts';

export interface Column<T> {
  head: string;
  /** Any text: it is cleaned here. */
  cell: (row: T) => string;
  paint?: (text: string, row: T) => string;
  align?: 'right';
  /** The column may be cut down to this many columns; without it it is never cut. */
  min?: number;
  /** On a narrow screen the column with the highest number goes first; without it the column stays. */
  drop?: number;
}

const GAP = 2;

/** The lines of a table; a column without any text is left out. `head: false` leaves out the names of the columns. */
export function table<T>(
  rows: readonly T[],
  columns: readonly Column<T>[],
  screen: Screen,
  options: { indent?: number; head?: boolean } = {},
): string[] {
  if (rows.length === 0) return [];
  const indent = options.indent ?? 0;
  const head = options.head ?? true;
  let shown = columns
    .map((column) => ({ column, cells: rows.map((row) => clean(column.cell(row))), width: 0 }))
    .filter(({ cells }) => cells.some((cell) => cell !== ''));
  for (const one of shown)
    one.width = one.cells.reduce((most, cell) => Math.max(most, widthOf(cell)), head ? widthOf(one.column.head) : 0);
  const room = () => screen.width - indent - shown.reduce((sum, one) => sum + one.width + GAP, -GAP);
  const least = () =>
    screen.width -
    indent -
    shown.reduce((sum, { column, width }) => sum + Math.min(width, column.min ?? width) + GAP, -GAP);
  while (least() < 0) {
    const next = shown.reduce((a, b) => ((b.column.drop ?? 0) > (a.column.drop ?? 0) ? b : a));
    if (next.column.drop === undefined) break;
    shown = shown.filter((one) => one !== next);
  }
  // The widest gives first, so that one long title does not cost the others their text.
  for (let over = -room(); over > 0; over--) {
    const [widest] = shown
      .filter(({ column, width }) => column.min !== undefined && width > column.min)
      .sort((a, b) => b.width - a.width);
    if (!widest) break;
    widest.width--;
  }
  const paint = paintOf(screen);
  const line = (cellOf: (one: (typeof shown)[number]) => { plain: string; painted: string }) => {
    let [text, used] = [' '.repeat(indent), indent];
    for (const [i, one] of shown.entries()) {
      const { plain, painted } = cellOf(one);
      const room = screen.width - used;
      if (room <= 0) break;
      const cut = truncate(plain, Math.min(one.width, room));
      const blanks = ' '.repeat(Math.max(0, one.width - widthOf(cut)));
      const body = cut === plain ? painted : painted.replace(plain, () => cut);
      const last = i === shown.length - 1;
      text += one.column.align === 'right' ? blanks + body : body + (last ? '' : blanks);
      if (!last) text += ' '.repeat(GAP);
      used += one.width + GAP;
    }
    return text.trimEnd();
  };
  const lines = rows.map((row, at) =>
    line(({ column, cells }) => {
      const plain = cells[at]!;
      return { plain, painted: plain === '' ? '' : (column.paint?.(plain, row) ?? plain) };
    }),
  );
  if (head) lines.unshift(line(({ column }) => ({ plain: column.head, painted: paint.dim(column.head) })));
  return lines;
}
