// Cleans a repository: in the worktree as a change on the branch, in its own tree and its branches only when that is asked for.
import { rmSync } from 'node:fs';
import { basename, join } from 'node:path';
import { type Call, entries, files, git, main, say, text, write } from '../kit.ts';
import { emptyFolders, ignoredLeftovers, mergedBranches } from './outside.ts';

export interface Inputs {
  leftovers: boolean;
  listed: string[];
  whitespace: boolean;
  own_tree: boolean;
  branches: boolean;
  base?: string;
  apply: boolean;
}

const JUNK = /^(\.DS_Store|Thumbs\.db|desktop\.ini|.+\.(orig|rej|pyc|pyo|swp|swo)|.+~|npm-debug\.log|__pycache__)$/;
/** Where the ends of lines mean something, or are nobody's to change. */
const VERBATIM =
  /\.(patch|diff|snap|svg|csv|tsv|lock|min\.[a-z]+|map)$|(^|\/)(package-lock\.json|fixtures?|__snapshots__|vendor|third_party|node_modules)(\/|$)/;

await main<Inputs>((call) => {
  const { inputs } = call;
  const removed = inputs.leftovers ? removeLeftovers(inputs) : [];
  const trimmed = inputs.whitespace ? trim() : [];
  const outside = inputs.own_tree || inputs.branches ? beyond(call) : { found: [], gone: [] };
  for (const path of removed) say(`${path}: removed`);
  for (const path of trimmed) say(`${path}: trimmed`);
  const output = [
    `${removed.length} files removed, ${trimmed.length} trimmed`,
    outside.gone.length ? `${outside.gone.length} removed outside the branch` : '',
    outside.found.length > outside.gone.length
      ? `${outside.found.length - outside.gone.length} more could be removed (apply: true)`
      : '',
  ];
  return {
    output: output.filter(Boolean).join('; '),
    outputs: { removed, trimmed, found: outside.found, gone: outside.gone },
  };
});

function removeLeftovers({ listed }: Inputs): string[] {
  const ignored = new Set(entries(git('.', 'ls-files', '-z', '--cached', '--ignored', '--exclude-standard')));
  const names = new Set(listed);
  const known = files().filter(
    (path) => ignored.has(path) || path.split('/').some((part) => names.has(part) || JUNK.test(part)),
  );
  for (const path of known) rmSync(path);
  return known;
}

function trim(): string[] {
  return files().filter((path) => {
    const before = VERBATIM.test(path) ? null : text(path);
    if (before === null || before === '') return false;
    // Two blanks at the end of a line are a line break in markdown.
    const markdown = /\.(md|markdown|mdx)$/.test(basename(path));
    const eol = before.includes('\r\n') ? '\r\n' : '\n';
    const lines = before.split('\n').map((line) => {
      const bare = line.replace(/[ \t\r]+$/, '');
      const end = line.endsWith('\r') ? '\r' : '';
      return `${bare}${markdown && bare !== '' && / {2,}\r?$/.test(line) ? '  ' : ''}${end}`;
    });
    const after = lines.join('\n').replace(/[\r\n]+$/, '');
    return write(path, after === '' ? '' : `${after}${eol}`);
  });
}

/** What is no part of the branch: only looked at, unless it is to be applied. */
function beyond({ inputs, repo, branch, dry_run }: Call<Inputs>): { found: string[]; gone: string[] } {
  const really = inputs.apply && !dry_run;
  const found: string[] = [];
  const gone: string[] = [];
  const each = (name: string, remove: () => void) => {
    found.push(name);
    if (really) {
      remove();
      gone.push(name);
    }
    say(`${name}: ${really ? 'removed' : 'would be removed'}`);
  };
  if (inputs.own_tree) {
    for (const path of ignoredLeftovers(repo, inputs.listed))
      each(path, () => rmSync(join(repo, path), { recursive: true, force: true }));
    for (const path of emptyFolders(repo)) each(path, () => rmSync(join(repo, path), { recursive: true, force: true }));
  }
  if (inputs.branches)
    for (const { ref, sha } of mergedBranches(repo, inputs.base, branch))
      each(ref.slice('refs/heads/'.length), () => git(repo, 'update-ref', '-d', ref, sha));
  return { found, gone };
}
