// The tools that look over many files: list them by a glob, search them by a regular expression.
import { type Dirent, readdirSync, readFileSync, statSync } from 'node:fs';
import { join, matchesGlob } from 'node:path';
import { createContext, Script } from 'node:vm';
import { z } from 'zod';
import type { Worktree } from './confine.ts';
import { isBinary } from './text.ts';
import { Refusal, type Tool, tool } from './tool.ts';

/** What is not work: git's own, and what was installed. A search inside one may be asked for by its path. */
const SKIPPED = new Set(['.git', '.towpath', 'node_modules']);
const LISTED = 1000;
const FOUND = 200;
const LINE_CHARS = 300;
const FILE_BYTES = 2_000_000;
/** A search ends after this long, ms: an expression can be written so that it never would. */
const SEARCH_MS = 20_000;

export function listTool(tree: Worktree): Tool {
  return tool(
    'list_files',
    `Lists files by a glob, at most ${LISTED}. .git and node_modules are left out.`,
    z.object({
      glob: z.string().min(1).default('**').describe('e.g. src/**/*.ts; ** stands for any folders'),
      path: z.string().min(1).default('.').describe('the folder to begin in'),
    }),
    ({ glob, path }) => {
      const found: string[] = [];
      for (const file of filesBelow(tree.readable(path))) {
        const name = tree.name(file);
        if (!matchesGlob(name, glob)) continue;
        if (found.push(name) > LISTED) break;
      }
      if (found.length === 0) return 'no file matches';
      const more = found.length > LISTED ? [`[more than ${LISTED}: use a narrower glob]`] : [];
      return [...found.slice(0, LISTED), ...more].join('\n');
    },
  );
}

export function searchTool(tree: Worktree, search_ms = SEARCH_MS): Tool {
  return tool(
    'search',
    `Searches the lines of text files by a JavaScript regular expression, at most ${FOUND} hits. .git, node_modules and files that are no text are left out.`,
    z.object({
      pattern: z.string().min(1),
      glob: z.string().min(1).optional().describe('only files that match'),
      path: z.string().min(1).default('.').describe('the folder or file to search'),
      ignore_case: z.boolean().default(false),
    }),
    (it) => {
      const matching = matcher(it.pattern, it.ignore_case);
      const end = performance.now() + search_ms;
      const found: string[] = [];
      for (const file of filesBelow(tree.readable(it.path))) {
        const name = tree.name(file);
        if (it.glob && !matchesGlob(name, it.glob)) continue;
        const lines = linesOf(file);
        for (const at of matching(lines, end))
          found.push(`${name}:${at + 1}: ${lines[at]!.trim().slice(0, LINE_CHARS)}`);
        if (found.length > FOUND) break;
      }
      if (found.length === 0) return 'nothing found';
      const more = found.length > FOUND ? [`[more than ${FOUND} hits: search for something narrower]`] : [];
      return [...found.slice(0, FOUND), ...more].join('\n');
    },
  );
}

/** The numbers of the lines that match. It runs where it can be broken off. */
function matcher(pattern: string, ignoreCase: boolean): (lines: string[], end: number) => number[] {
  try {
    new RegExp(pattern);
  } catch (thrown) {
    throw new Refusal((thrown as Error).message);
  }
  const scope = createContext({ pattern, flags: ignoreCase ? 'i' : '', lines: [] as string[] });
  const script = new Script(
    'var re = new RegExp(pattern, flags); lines.flatMap((line, at) => (re.test(line) ? [at] : []))',
  );
  return (lines, end) => {
    scope['lines'] = lines;
    try {
      return script.runInContext(scope, { timeout: Math.max(1, Math.ceil(end - performance.now())) }) as number[];
    } catch (thrown) {
      if ((thrown as NodeJS.ErrnoException).code !== 'ERR_SCRIPT_EXECUTION_TIMEOUT') throw thrown;
      throw new Refusal(`the search took longer than it may: use a simpler expression or a glob`);
    }
  };
}

function linesOf(file: string): string[] {
  try {
    if (statSync(file).size > FILE_BYTES) return [];
    const bytes = readFileSync(file);
    return isBinary(bytes) ? [] : bytes.toString('utf8').split('\n');
  } catch {
    // Gone since, or not to be read.
    return [];
  }
}

/** The plain files below a folder, in order; links are not followed. A file is itself. */
function* filesBelow(path: string): Generator<string> {
  let entries: Dirent[];
  try {
    entries = readdirSync(path, { withFileTypes: true });
  } catch (thrown) {
    const code = (thrown as NodeJS.ErrnoException).code;
    if (code === 'ENOTDIR') yield path;
    if (code === 'ENOENT') throw new Refusal('there is no such folder');
    return;
  }
  entries.sort((a, b) => (a.name < b.name ? -1 : 1));
  for (const entry of entries) {
    if (SKIPPED.has(entry.name)) continue;
    if (entry.isDirectory()) yield* filesBelow(join(path, entry.name));
    else if (entry.isFile()) yield join(path, entry.name);
  }
}
