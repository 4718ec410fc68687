// What a task changed, as text for an agent to read: the diff up to a size, with the command that shows all of it.
import type { Work } from '../attempt/work.ts';
import type { Task } from '../queue/port.ts';
import { fenced } from '../task/fence.ts';
import { changes, diff } from '../worktree/commit.ts';
import { commitOf } from './helpers/helper.ts';

export interface Change {
  from: string;
  to: string;
  text: string;
  truncated: boolean;
  files: readonly string[];
}

export const DIFF_BYTES = 100_000;
const FILES = 300;

/** null where there is no git. */
export async function changeOf(task: Task, work: Work | null): Promise<Change | null> {
  const to = commitOf(task, work);
  const dir = work?.open?.root ?? work?.worktree;
  if (!dir || !work?.start || !to) return null;
  const { files } = await changes(dir, work.start, to);
  return { from: work.start, to, files, ...(await diff(dir, work.start, DIFF_BYTES, to)) };
}

export function changeText(change: Change | null): string {
  if (!change) return 'It was made in a folder without git: there is no diff. Look at the files.';
  const { from, to, text, truncated, files } = change;
  if (files.length === 0) return 'No file was changed.';
  const see = `\`git diff ${from} ${to}\``;
  if (!truncated) return `${see}:\n\n${fenced(text.trimEnd())}`;
  const more = files.length > FILES ? `\n… and ${files.length - FILES} more` : '';
  return `${see} is longer than what is shown here (its first ${DIFF_BYTES / 1000} kB); add \`-- FILE\` for the rest, file by file. It changes:\n\n${fenced(files.slice(0, FILES).join('\n') + more)}\n\n${fenced(text.trimEnd())}`;
}
