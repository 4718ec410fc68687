// One table of all figures: what was measured, the floor of the same run, their ratio, and the target.

export interface Row {
  what: string;
  figure: string;
  floor?: string;
  ratio?: string;
  target: string;
  /** Null: there is no target to miss. */
  met: boolean | null;
}

export function table(rows: readonly Row[]): string {
  const head = ['', 'Towpath', 'floor', 'ratio', 'target', ''];
  const cells = rows.map(({ what, figure, floor = '', ratio = '', target, met }) => [
    what,
    figure,
    floor,
    ratio,
    target,
    met === null ? '' : met ? 'met' : 'MISSED',
  ]);
  const widths = head.map((title, at) => Math.max(title.length, ...cells.map((row) => row[at]!.length)));
  const line = (row: string[]) =>
    row
      .map((cell, at) => cell.padEnd(widths[at]!))
      .join('  ')
      .trimEnd();
  return [line(head), ...cells.map(line)].join('\n');
}
