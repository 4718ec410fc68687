// towpath validate: checks files of tasks, workflows, roles and patterns, and what they name in this workspace, without running anything.
import { basename, dirname, resolve } from 'node:path';
import { AgentRegistry } from '../agents/registry.ts';
import { vet } from '../attempt/plan.ts';
import { loadSettings } from '../config.ts';
import { EXIT, TowpathError } from '../errors.ts';
import { PATTERN_FILE, readPatternIn } from '../patterns/read.ts';
import { readRoleFile } from '../roles/role.ts';
import { fill } from '../task/answer.ts';
import { parseTask, placed } from '../task/file.ts';
import { idProblem, misspelt } from '../task/schema.ts';
import { type Problem, ValidationError } from '../workflow/problem.ts';
import type { Common } from './common.ts';
import { read } from './enqueue.ts';
import { type Opened, open } from './open.ts';
import { ENDING, readWorkflow } from './read-workflow.ts';

interface Found {
  reason: string | null;
  /** Of a workflow: every mistake with its place. */
  problems?: readonly Problem[];
  hints?: string[];
}

type Place = Pick<Opened, 'workspace' | 'loaded'> & { agents: AgentRegistry };

/** Exit 3 when any file would be refused. */
export async function validate([files]: [string[]], options: Common): Promise<number> {
  const { workspace } = open(options.workspace);
  const loaded = loadSettings(workspace);
  const place = { workspace, loaded, agents: new AgentRegistry(loaded.settings, workspace) };
  let status: number = EXIT.ok;
  for (const file of files) {
    const { reason, problems, hints = [] } = look(file, place);
    if (reason !== null) status = EXIT.refused;
    if (options.json)
      console.log(
        JSON.stringify({
          file,
          ok: reason === null,
          reason,
          ...problems?.[0],
          ...(problems ? { problems } : {}),
          hints,
        }),
      );
    else if (problems)
      for (const { line, column, reason: why } of problems) console.log(`${file}:${line}:${column}: ${why}`);
    else console.log(`${file}: ${reason ?? 'ok'}`);
    if (!options.json) for (const hint of hints) console.error(`${file}: ${hint}`);
  }
  return status;
}

/** What it is its name says, or its folder. */
function look(file: string, place: Place): Found {
  const bytes = read(file);
  const path = resolve(file);
  try {
    if (path.endsWith(ENDING)) readWorkflow(place, path, null);
    else if (basename(path) === PATTERN_FILE) lookAtPattern(path);
    else if (basename(dirname(path)) === 'roles') lookAtRole(path, place);
    else return lookAtTask(file, bytes, place);
    return { reason: null };
  } catch (thrown) {
    if (thrown instanceof ValidationError) return { reason: thrown.problems[0]!.reason, problems: thrown.problems };
    if (thrown instanceof TowpathError) return { reason: thrown.line };
    throw thrown;
  }
}

function lookAtTask(file: string, bytes: Uint8Array, { workspace, loaded, agents }: Place): Found {
  const parsed = parseTask(bytes);
  const id = parsed.spec.id ?? basename(file).replace(/\.md$/, '');
  const problem = idProblem(id);
  const reason =
    parsed.refusal ??
    (problem ? `id: ${JSON.stringify(id)} is not allowed: ${problem}` : null) ??
    vet({ id, spec: parsed.spec }, loaded.settings, workspace, agents);
  const hints = misspelt(parsed.data).map(([wrote, meant]) => `"${wrote}" is no key of a task: did you mean ${meant}?`);
  return { reason: reason && placed(reason, bytes), hints };
}

function lookAtPattern(path: string): void {
  const { name, inputs } = readPatternIn(dirname(path), basename(dirname(path)));
  // Throws for a schema that cannot be used.
  fill({}, inputs, { named: `${name}: inputs` });
}

function lookAtRole(path: string, { agents }: Place): void {
  const { agent } = readRoleFile(path, basename(path, '.md'));
  if (agent !== undefined && !agents.known(agent))
    throw new TowpathError('task_refused', `agent: "${agent}" does not exist`, `one of ${agents.names().join(', ')}`);
}
