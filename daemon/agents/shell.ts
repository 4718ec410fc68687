// The shell agent: runs the fenced sh blocks of a task's body, for runbooks, demos and tests. No model, no cost.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { TowpathError } from '../errors.ts';
import { findProgram } from './command.ts';
import type { Agent } from './port.ts';
import { StreamReader } from './stream.ts';

/** The `sh` blocks of a markdown text, in order. A fence ends with at least as many of the same marks as it began with. */
export function shellBlocks(markdown: string): string[] {
  const blocks: string[] = [];
  let fence: { marks: string; lines: string[] | null } | null = null;
  for (const line of markdown.split(/\r?\n/)) {
    if (fence) {
      const end = /^ {0,3}(`{3,}|~{3,})[ \t]*$/.exec(line)?.[1];
      if (end?.startsWith(fence.marks)) {
        if (fence.lines) blocks.push(`${fence.lines.join('\n')}\n`);
        fence = null;
      } else fence.lines?.push(line);
      continue;
    }
    const start = /^ {0,3}(`{3,}|~{3,})[ \t]*([^\s`]*)/.exec(line);
    if (start) fence = { marks: start[1]!, lines: start[2] === 'sh' ? [] : null };
  }
  if (fence?.lines?.length) blocks.push(`${fence.lines.join('\n')}\n`);
  return blocks;
}

export const shell: Agent = {
  name: 'shell',
  env: [],
  models: {},
  getCapabilities: () => ({
    resume: false,
    chooses_session: false,
    tells_cost: true,
    structured_output: false,
    mcp: false,
    free: true,
  }),
  validateConfig: () => [],
  probe: async (_settings, env) => {
    const path = findProgram('sh', env);
    return { installed: path !== null, path, version: null, ready: path !== null, why: path ? null : 'no sh on PATH' };
  },
  launch: (request, settings) => {
    const blocks = shellBlocks(request.body);
    if (blocks.length === 0)
      throw new TowpathError(
        'agent',
        'the body holds no ```sh block for the shell agent',
        'add one, or name another agent',
      );
    // A file and not an argument: the blocks may be long, and what they start may read stdin.
    const script = join(request.run_dir, 'script.sh');
    const announced = blocks.map(
      (block, at) => `printf '%s\\n' '{"type":"log","content":"block ${at + 1} of ${blocks.length}"}'\n${block}`,
    );
    writeFileSync(script, announced.join('\n'), { mode: 0o600 });
    return { argv: [...settings.wrap, 'sh', '-e', script], stdin: '', env: {} };
  },
  reader: () => new StreamReader(0),
};
