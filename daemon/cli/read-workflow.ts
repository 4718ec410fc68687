// Reads a workflow file and holds it against the workspace: to run it, to show it, to say what is wrong with it.
import { readFileSync, statSync } from 'node:fs';
import { AgentRegistry } from '../agents/registry.ts';
import { vet } from '../attempt/plan.ts';
import { TowpathError } from '../errors.ts';
import { rolePath } from '../roles/role.ts';
import { parseTask } from '../task/file.ts';
import { type Compiled, compile } from '../workflow/compile.ts';
import { ValidationError } from '../workflow/problem.ts';
import type { Opened } from './open.ts';

export const ENDING = '.workflow.md';
/** Larger files are no workflows. */
const MAX_BYTES = 1024 * 1024;

/** `given` is null when it is only looked at: then nothing that must be given is missing. Throws `ValidationError`. */
export function readWorkflow(
  { workspace, loaded }: Pick<Opened, 'workspace' | 'loaded'>,
  path: string,
  given: ReadonlyMap<string, string> | null,
): Compiled {
  const wrong = (reason: string) => new ValidationError(path, [{ line: 1, column: 1, reason }]);
  if (statSync(path).size > MAX_BYTES) throw wrong('it is larger than 1 MiB');
  const bytes = readFileSync(path);
  let source: string;
  try {
    source = utf8(bytes, path);
  } catch {
    throw wrong('it is not valid UTF-8: save it as UTF-8');
  }
  if (source.includes('\0')) throw wrong('it holds a NUL character');
  const agents = new AgentRegistry(loaded.settings, workspace);
  return compile(path, source, given, {
    hasRole: (name) => rolePath(workspace, name) !== null,
    vet: (content, id) => {
      const { spec } = parseTask(Buffer.from(content));
      return vet({ id, spec }, loaded.settings, workspace, agents);
    },
  });
}

/** Throws `bad_usage`. */
export function utf8(bytes: Uint8Array, path: string): string {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    throw new TowpathError('bad_usage', `${path} is not valid UTF-8`, 'save it as UTF-8');
  }
}
