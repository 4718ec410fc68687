// towpath validate: checks task files, and what they name in this workspace, without running anything.
import { basename } from 'node:path';
import { AgentRegistry } from '../agents/registry.ts';
import { vet } from '../attempt/plan.ts';
import { loadSettings } from '../config.ts';
import { EXIT } from '../errors.ts';
import { parseTask, titleOf } from '../task/file.ts';
import { idProblem, misspelt } from '../task/schema.ts';
import type { Common } from './common.ts';
import { read } from './enqueue.ts';
import { open } from './open.ts';

/** Exit 3 when any file would be refused. */
export async function validate([files]: [string[]], options: Common): Promise<number> {
  const { workspace } = open(options.workspace);
  const loaded = loadSettings(workspace);
  const agents = new AgentRegistry(loaded.settings, workspace);
  let status: number = EXIT.ok;
  for (const file of files) {
    const parsed = parseTask(read(file));
    const id = parsed.spec.id ?? basename(file).replace(/\.md$/, '');
    const problem = idProblem(id);
    const reason =
      parsed.refusal ??
      (problem ? `id: ${JSON.stringify(id)} is not allowed: ${problem}` : null) ??
      vet(
        { ...parsed, refusal: null, id, title: titleOf(parsed) ?? id, queue: 'incoming', path: file, created_at: '' },
        loaded.settings,
        workspace,
        agents,
      );
    const hints = misspelt(parsed.data).map(
      ([wrote, meant]) => `"${wrote}" is no key of a task: did you mean ${meant}?`,
    );
    if (reason) status = EXIT.refused;
    if (options.json) console.log(JSON.stringify({ file, ok: reason === null, reason, hints }));
    else console.log(`${file}: ${reason ?? 'ok'}`);
    if (!options.json) for (const hint of hints) console.error(`${file}: ${hint}`);
  }
  return status;
}
