// The tools for single files: read a range of lines, write a file, replace one piece of text in it.
import { z } from 'zod';
import type { Worktree } from './confine.ts';
import { readText, writeText } from './text.ts';
import { Refusal, type Tool, tool } from './tool.ts';

/** What one reading may bring, lines and characters. */
const LINES = 2000;
const CHARS = 60_000;
const LINE_CHARS = 2000;

const path = z.string().min(1).describe('relative to the worktree');

export function readTool(tree: Worktree): Tool {
  return tool(
    'read_file',
    `Reads a text file, with line numbers. At most ${LINES} lines at a time.`,
    z.object({
      path,
      from: z.number().int().min(1).default(1).describe('first line, counted from 1'),
      lines: z.number().int().min(1).max(LINES).default(LINES),
    }),
    (it) => {
      const text = readText(tree.readable(it.path), it.path);
      const all = text.endsWith('\n') ? text.slice(0, -1).split('\n') : text.split('\n');
      if (it.from > all.length) throw new Refusal(`${it.path} has ${all.length} lines`);
      let shown = '';
      let at = it.from - 1;
      for (const end = Math.min(all.length, at + it.lines); at < end && shown.length < CHARS; at++)
        shown += `${at + 1}\t${cut(all[at]!)}\n`;
      const left = all.length - at;
      return left > 0 ? `${shown}[${left} more lines: read on from ${at + 1}]` : shown;
    },
  );
}

const cut = (line: string): string =>
  line.length > LINE_CHARS ? `${line.slice(0, LINE_CHARS)} [${line.length - LINE_CHARS} characters left out]` : line;

export function writeTool(tree: Worktree): Tool {
  return tool(
    'write_file',
    'Writes a whole file, new or in place of what it held. Folders are made.',
    z.object({ path, content: z.string() }),
    (it) => {
      writeText(tree.writable(it.path), it.path, it.content);
      return `wrote ${it.content.length} characters to ${it.path}`;
    },
  );
}

export function editTool(tree: Worktree): Tool {
  return tool(
    'edit_file',
    'Replaces a piece of text in a file by another. The old text must be there exactly once, white space included.',
    z.object({ path, old: z.string().min(1), new: z.string() }),
    (it) => {
      const real = tree.writable(it.path);
      const text = readText(real, it.path);
      const at = text.indexOf(it.old);
      if (at < 0) throw new Refusal(`the old text is not in ${it.path}: read it again`);
      if (text.indexOf(it.old, at + 1) >= 0)
        throw new Refusal(`the old text is in ${it.path} more than once: give more of what is around it`);
      writeText(real, it.path, text.slice(0, at) + it.new + text.slice(at + it.old.length));
      return `edited ${it.path} at line ${text.slice(0, at).split('\n').length}`;
    },
  );
}
