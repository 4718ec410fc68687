// Reports what is open in the code and in a plan, with a percentage: no date in it, so that only a change changes it.
import { files, inside, main, say, text, write } from '../kit.ts';

interface Inputs {
  report: string;
  plan?: string;
  markers: string[];
  exclude: string[];
  fail_below?: number;
}

type Kind = 'marker' | 'unimplemented' | 'skipped_test';
interface Open {
  kind: Kind;
  file: string;
  line: number;
  text: string;
}
interface Item {
  text: string;
  done: boolean;
  section: string;
  line: number;
}

const CODE =
  /\.([cm]?[jt]sx?|py|rb|go|rs|java|kt|kts|swift|c|h|cc|cpp|hpp|cs|php|sh|bash|sql|scala|ex|exs|vue|svelte|css|scss|html|ya?ml|toml|lua|dart)$/;
const UNIMPLEMENTED =
  /\b(raise\s+NotImplementedError|throw new NotImplementedException|todo!\(|unimplemented!\(|(?:throw\b.*|panic\(|raise\b.*|fatalError\(|TODO\()["'`(].*not (?:yet )?implemented)/i;
const SKIPPED =
  /\b(?:it|test|describe|suite|context)\.(?:skip|todo|fixme)\b|(?:^|\s)(?:xit|xdescribe|xtest)\(|@pytest\.mark\.(?:skip|xfail)|@unittest\.(?:skip|expectedFailure)|\bt\.Skip(?:f|Now)?\(|#\[ignore\b|@(?:Disabled|Ignore)\b/;
const HEADS: Record<Kind, string> = {
  marker: 'Markers',
  unimplemented: 'Not implemented',
  skipped_test: 'Skipped tests',
};
/** So many of each kind are listed in markdown. */
const LISTED = 200;

await main<Inputs>(({ inputs }) => {
  const report = inside(inputs.report);
  const plan = inputs.plan === undefined ? null : inside(inputs.plan);
  const exclude = inputs.exclude.map((path) => path.replace(/^\.\/|\/$/g, ''));
  const left = (path: string) =>
    path !== report && path !== plan && !exclude.some((one) => path === one || path.startsWith(`${one}/`));
  const looked = files().filter((path) => CODE.test(path) && left(path));
  const open = looked.flatMap((path) => openIn(path, inputs.markers));
  const items = plan === null ? [] : itemsOf(plan);
  const clean = looked.length - new Set(open.map(({ file }) => file)).size;
  const done = items.filter((item) => item.done).length;
  const share = (part: number, whole: number) => (whole === 0 ? null : Math.floor((100 * part) / whole));
  const plan_percent = share(done, items.length);
  const code_percent = share(clean, looked.length);
  const percent = plan_percent ?? code_percent ?? 100;
  const count = (kind: Kind) => open.filter((one) => one.kind === kind).length;
  const figures = {
    percent,
    plan_percent,
    code_percent,
    plan: plan === null ? null : { file: plan, done, total: items.length },
    files: looked.length,
    clean_files: clean,
    markers: count('marker'),
    unimplemented: count('unimplemented'),
    skipped_tests: count('skipped_test'),
  };
  const body = report.endsWith('.json')
    ? `${JSON.stringify({ ...figures, open, items }, null, 2)}\n`
    : markdown(figures, open, items);
  const changed = write(report, body);
  say(
    `${figures.markers} markers, ${figures.unimplemented} not implemented, ${figures.skipped_tests} skipped tests in ${looked.length} files`,
  );
  if (plan !== null) say(`${plan}: ${done} of ${items.length} done`);
  if (inputs.fail_below !== undefined && percent < inputs.fail_below)
    throw new Error(`${percent} % are done, and ${inputs.fail_below} % were asked for: see ${report}`);
  return {
    output: `${percent} % done; ${report} ${changed ? 'was written' : 'is up to date'}`,
    outputs: { ...figures, report, changed },
  };
});

function openIn(file: string, markers: readonly string[]): Open[] {
  const marker = new RegExp(`(?:^|[^\\w"'\`])(?:${markers.join('|')})\\b(?=[\\s:(!]|$)`);
  // A marker counts in a comment alone: a word of a text or a name is none.
  const comment = /(?:\/\/|#|\/\*|^\s*\*|--|<!--|;;|""")(.*)$/;
  return (text(file) ?? '').split(/\r?\n/).flatMap((row, at): Open[] => {
    const told = (kind: Kind): Open[] => [{ kind, file, line: at + 1, text: row.trim().slice(0, 160) }];
    if (SKIPPED.test(row)) return told('skipped_test');
    if (UNIMPLEMENTED.test(row)) return told('unimplemented');
    return marker.test(comment.exec(row)?.[0] ?? '') ? told('marker') : [];
  });
}

/** The boxes of a checklist. One that holds others counts by those. */
function itemsOf(plan: string): Item[] {
  const body = text(plan);
  if (body === null) throw new Error(`plan: ${plan} does not exist or is no text`);
  let section = '';
  let fenced = false;
  const all: (Item & { depth: number })[] = [];
  for (const [at, row] of body.split(/\r?\n/).entries()) {
    if (/^\s*(```|~~~)/.test(row)) fenced = !fenced;
    if (fenced) continue;
    section = /^#{1,6}\s+(.*?)\s*#*$/.exec(row)?.[1] ?? section;
    const [, indent, box, words] = /^(\s*)(?:[-*+]|\d+[.)])\s+\[([ xX])\]\s+(.*)$/.exec(row) ?? [];
    if (words !== undefined)
      all.push({
        text: words.trim(),
        done: box !== ' ',
        section,
        line: at + 1,
        depth: indent!.replaceAll('\t', '    ').length,
      });
  }
  return all.flatMap(({ depth, ...item }, at) => ((all[at + 1]?.depth ?? -1) > depth ? [] : [item]));
}

function markdown(
  figures: {
    percent: number;
    plan: { file: string; done: number; total: number } | null;
    files: number;
    clean_files: number;
  },
  open: readonly Open[],
  items: readonly Item[],
): string {
  const { percent, plan, files: looked, clean_files } = figures;
  const lines = ['# Implementation status', '', `**${percent} % done.**`, ''];
  if (plan) lines.push(`- Plan: ${plan.done} of ${plan.total} items of \`${plan.file}\` are done.`);
  lines.push(`- Code: ${clean_files} of ${looked} files have nothing open.`);
  const missing = items.filter(({ done }) => !done);
  if (missing.length > 0) {
    lines.push('', '## Open in the plan', '');
    for (const { section, text: words } of missing.slice(0, LISTED))
      lines.push(`- ${section ? `${section}: ` : ''}${words}`);
    if (missing.length > LISTED) lines.push(`- and ${missing.length - LISTED} more`);
  }
  for (const kind of Object.keys(HEADS) as Kind[]) {
    const found = open.filter((one) => one.kind === kind);
    if (found.length === 0) continue;
    lines.push('', `## ${HEADS[kind]} (${found.length})`, '');
    for (const { file, line, text: words } of found.slice(0, LISTED))
      lines.push(`- \`${file}:${line}\` \`${words.replaceAll('`', "'")}\``);
    if (found.length > LISTED) lines.push(`- and ${found.length - LISTED} more`);
  }
  return `${lines.join('\n')}\n`;
}
