// towpath enqueue: files into incoming/, whole, and the daemon told at once.
import { readFileSync, statSync } from 'node:fs';
import { basename } from 'node:path';
import { AgentRegistry } from '../agents/registry.ts';
import { vet } from '../attempt/plan.ts';
import { loadSettings } from '../config.ts';
import { EXIT, errno, TowpathError } from '../errors.ts';
import type { Workspace } from '../paths.ts';
import { stemOf } from '../queue/files/read.ts';
import type { Submission } from '../queue/port.ts';
import type { Settings } from '../settings.ts';
import { MAX_BYTES, parseTask, placed } from '../task/file.ts';
import type { Common } from './common.ts';
import { askDaemon, type Opened, open } from './open.ts';

interface Place {
  workspace: Workspace;
  settings: Settings;
  agents: AgentRegistry;
}

/** Prints the id of each task. Refused files go nowhere: exit 3, after all the others were put in. */
export async function enqueue([files]: [string[]], options: Common): Promise<number> {
  const opened = open(options.workspace);
  const { settings } = loadSettings(opened.workspace);
  const place = { workspace: opened.workspace, settings, agents: new AgentRegistry(settings, opened.workspace) };
  let status: number = EXIT.ok;
  for (const file of files) {
    try {
      const content = read(file);
      const name =
        file === '-'
          ? `${parseTask(content).spec.id ?? `task-${Date.now().toString(36)}`}.md`
          : basename(file).endsWith('.md')
            ? basename(file)
            : `${basename(file)}.md`;
      vetted(content, name, place);
      const made = await submit(opened, { content, name });
      console.log(options.json ? JSON.stringify(made) : made.id);
    } catch (thrown) {
      if (!(thrown instanceof TowpathError)) throw thrown;
      console.error(
        options.json
          ? JSON.stringify({ error: { code: thrown.code, message: thrown.line } })
          : `towpath: ${thrown.line}`,
      );
      status = thrown.exit;
    }
  }
  if (!opened.daemon && status === EXIT.ok && !options.json)
    console.error('no daemon runs: "towpath start" takes it up');
  return status;
}

/** Throws `task_refused` for what this workspace can never run: no such role, project, pattern … */
function vetted(content: Uint8Array, name: string, { settings, workspace, agents }: Place): void {
  const { spec, refusal } = parseTask(content);
  // Told by the queue, with its line.
  if (refusal !== null) return;
  const reason = vet({ id: spec.id ?? stemOf(name), spec }, settings, workspace, agents);
  if (reason !== null) throw new TowpathError('task_refused', placed(reason, content));
}

/** Puts one task in and tells the daemon. Throws `task_refused`. */
export async function submit(opened: Opened, submission: Submission): Promise<{ id: string; path: string | null }> {
  const id = await opened.queue.submit(submission);
  const task = await opened.queue.get(id);
  if (opened.daemon && task?.queue === 'incoming')
    await askDaemon(opened, { op: 'dropped', name: basename(task.path) }).catch(() => {});
  return { id, path: task?.path ?? null };
}

/** The bytes of a file or of stdin. Throws `not_found`, or `task_refused` for what is too large to be a task. */
export function read(file: string): Uint8Array {
  try {
    if (file !== '-' && statSync(file).size > MAX_BYTES)
      throw new TowpathError('task_refused', `${file}: the file is larger than 1 MiB: shorten it`);
    return readFileSync(file === '-' ? 0 : file);
  } catch (thrown) {
    if (thrown instanceof TowpathError) throw thrown;
    const why =
      errno(thrown) === 'ENOENT'
        ? 'no such file'
        : errno(thrown) === 'EISDIR'
          ? 'this is a folder'
          : String(errno(thrown));
    throw new TowpathError(errno(thrown) === 'ENOENT' ? 'not_found' : 'bad_usage', `${file}: ${why}`);
  }
}
