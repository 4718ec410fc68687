// Writes an SVG of panels above each other with one time axis: lines, points, and marks for what happened when.

export interface Panel {
  title: string;
  unit: string;
  /** Null in a line: a gap. */
  values: readonly (readonly [x: number, y: number | null])[];
  as: 'line' | 'points';
  /** Powers of ten on the axis. */
  log?: boolean;
}

export interface Plot {
  title: string;
  subtitle: string;
  xTitle: string;
  xMost: number;
  panels: readonly Panel[];
  marks: readonly { x: number; kind: string }[];
}

const WIDTH = 1000;
const LEFT = 80;
const RIGHT = 24;
const TOP = 92;
const PANEL = 130;
const GAP = 44;
const INK = '#1f2933';
const FAINT = '#d9dee3';
const LINE = '#1f5fa8';
const COLOURS = ['#c0392b', '#e08e0b', '#7d3c98', '#16806a', '#8a6d3b', '#5d6d7e'];

const escaped = (text: string): string => text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
const number = (value: number): string => value.toLocaleString('en', { maximumFractionDigits: 2 });

/** Round steps from 0 (or powers of ten) that reach over the greatest value. */
export function ticks(least: number, most: number, log = false): number[] {
  if (log) {
    const from = Math.floor(Math.log10(Math.max(least, 1e-3)));
    const to = Math.max(from + 1, Math.ceil(Math.log10(Math.max(most, 1e-3))));
    return Array.from({ length: to - from + 1 }, (_, n) => 10 ** (from + n));
  }
  const rough = Math.max(most, 1e-9) / 5;
  const size = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((times) => times * size).find((one) => one >= rough)!;
  return Array.from({ length: Math.ceil(most / step - 1e-9) + 1 }, (_, n) => n * step);
}

const text = (x: number, y: number, words: string, more = ''): string =>
  `<text x="${x.toFixed(1)}" y="${y.toFixed(1)}" ${more}>${escaped(words)}</text>`;

export function svg(plot: Plot): string {
  const kinds = [...new Set(plot.marks.map(({ kind }) => kind))].sort();
  const colour = (kind: string) => COLOURS[kinds.indexOf(kind) % COLOURS.length]!;
  const height = TOP + plot.panels.length * (PANEL + GAP) + 26;
  const inner = WIDTH - LEFT - RIGHT;
  const x = (value: number) => LEFT + (value / plot.xMost) * inner;
  const out = [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" width="${WIDTH}" height="${height}" font-family="system-ui, sans-serif" font-size="12" fill="${INK}">`,
    `<title>${escaped(plot.title)}</title>`,
    `<rect width="100%" height="100%" fill="#ffffff"/>`,
    text(LEFT, 26, plot.title, 'font-size="18" font-weight="600"'),
    text(LEFT, 46, plot.subtitle),
  ];
  let at = LEFT;
  for (const kind of kinds) {
    const words = `${kind} (${plot.marks.filter((mark) => mark.kind === kind).length})`;
    out.push(`<rect x="${at}" y="58" width="3" height="12" fill="${colour(kind)}"/>`, text(at + 8, 68, words));
    at += 26 + words.length * 6.6;
  }
  const across = ticks(0, plot.xMost).filter((one) => one <= plot.xMost);
  plot.panels.forEach((panel, n) => {
    const top = TOP + n * (PANEL + GAP) + 14;
    out.push(...drawn(panel, top, x, across));
    for (const { x: when, kind } of plot.marks)
      out.push(`<path d="M${x(when).toFixed(1)} ${top + PANEL}v-7" stroke="${colour(kind)}" stroke-width="1.5"/>`);
  });
  const foot = height - 26 - GAP + 30;
  for (const one of across) out.push(text(x(one), foot - 12, number(one), 'text-anchor="middle"'));
  out.push(text(LEFT + inner / 2, foot + 12, plot.xTitle, 'text-anchor="middle"'));
  return `${out.join('\n')}\n</svg>\n`;
}

/** One panel: its name, its axis, its values. */
function drawn(panel: Panel, top: number, x: (value: number) => number, across: readonly number[]): string[] {
  const ys = panel.values.flatMap(([, y]) => (y === null ? [] : [y]));
  const steps = ticks(Math.min(...ys), Math.max(0, ...ys), panel.log);
  const scale = (value: number) => (panel.log ? Math.log10(Math.max(value, steps[0]!)) : value);
  const [low, high] = [scale(steps[0]!), scale(steps.at(-1)!)];
  const y = (value: number) => top + PANEL - ((scale(value) - low) / (high - low || 1)) * PANEL;
  const out = [text(LEFT, top - 7, `${panel.title}, ${panel.unit}`, 'font-weight="600"')];
  for (const step of steps)
    out.push(
      `<path d="M${LEFT} ${y(step).toFixed(1)}H${WIDTH - RIGHT}" stroke="${FAINT}"/>`,
      text(LEFT - 8, y(step) + 4, number(step), 'text-anchor="end"'),
    );
  for (const one of across) out.push(`<path d="M${x(one).toFixed(1)} ${top}v${PANEL}" stroke="${FAINT}"/>`);
  if (panel.as === 'points')
    for (const [when, value] of panel.values)
      if (value !== null)
        out.push(`<circle cx="${x(when).toFixed(1)}" cy="${y(value).toFixed(1)}" r="1.6" fill="${LINE}"/>`);
  if (panel.as === 'line') {
    let path = '';
    let pen = 'M';
    for (const [when, value] of panel.values) {
      if (value !== null) path += `${pen}${x(when).toFixed(1)} ${y(value).toFixed(1)}`;
      pen = value === null ? 'M' : 'L';
    }
    out.push(`<path d="${path}" fill="none" stroke="${LINE}" stroke-width="1.5"/>`);
  }
  return out;
}
