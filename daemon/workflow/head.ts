// The front matter of a workflow: the keys that hold for all of its tasks. Pure.
import { readFrontMatter, splitText } from '../task/frontmatter.ts';
import type { Problem } from './problem.ts';

/** Keys of the front matter that hold for every step. */
const SHARED = ['agent', 'project', 'repo', 'base', 'priority', 'complexity'];
const TEXTS = ['description'];

/** What it says, and the lines below it, of which the first has the number `first`. */
export function readHead(
  text: string,
  problems: Problem[],
): { matter: Record<string, unknown>; lines: string[]; first: number } {
  const split = splitText(text);
  // It says itself in which line it stands.
  const wrong = (problem: string) => {
    const [, line = '1', reason = problem] = /^line (\d+): (.*)$/s.exec(problem) ?? [];
    problems.push({ line: Number(line), column: 1, reason });
  };
  if ('problem' in split) {
    wrong(split.problem);
    return { matter: {}, lines: [], first: 1 };
  }
  const first = (split.open + (split.matter ?? '') + split.close).split('\n').length;
  const lines = split.body.split('\n');
  if (split.matter === null) return { matter: {}, lines, first: 1 };
  const read = readFrontMatter(text);
  if ('problem' in read) {
    wrong(read.problem);
    return { matter: {}, lines, first };
  }
  const matter: Record<string, unknown> = {};
  for (const [key, value] of Object.entries(read.data)) {
    if (SHARED.includes(key)) matter[key] = value;
    else if (!TEXTS.includes(key)) {
      const said = (one: string) => one.trimStart().replace(/^(["']?)(.*?)\1[ \t]*:.*$/, '$2') === key;
      const line = split.matter.split('\n').findIndex(said) + 2;
      problems.push({ line, column: 1, reason: `unknown key "${key}": one of ${[...TEXTS, ...SHARED].join(', ')}` });
    }
  }
  return { matter, lines, first };
}
