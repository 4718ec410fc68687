// The text of a pull request: the task, what its agent says of the work, and what reviewers and checks found.
import type { Task } from '../../queue/port.ts';
import { fenced } from '../../task/fence.ts';
import type { Evidence } from '../checks.ts';

/** Servers take some 65,000 characters. */
const TASK_CHARS = 20_000;
const RESULT_CHARS = 10_000;

/** `reviews` is what reviewing agents said, in words. */
export function pullBody(task: Task, reviews: string, evidence: readonly Evidence[]): string {
  const result = typeof task.state.result === 'string' ? task.state.result : json(task.state.result);
  const sections = [
    ['', cut(task.body.trim(), TASK_CHARS)],
    ['What was done', cut(result.trim(), RESULT_CHARS)],
    ['Review', cut(reviews, RESULT_CHARS)],
    ['Checks', evidence.map(line).join('\n')],
    ['', `Towpath-Task: ${task.id}`],
  ];
  return `${sections
    .filter(([, text]) => text !== '')
    .map(([title, text]) => (title ? `## ${title}\n\n${text}` : text))
    .join('\n\n')}\n`;
}

const json = (value: unknown): string =>
  value === undefined || value === null ? '' : fenced(JSON.stringify(value, null, 2));

const cut = (text: string, most: number): string => (text.length > most ? `${text.slice(0, most)}\n\n[…]` : text);

const line = ({ command, ok, code, tree, duration_ms, by }: Evidence): string => {
  const how = ok ? 'passed' : code === null ? 'did not end' : `exited with ${code}`;
  const on = tree ? ` on tree ${tree.slice(0, 10)}` : '';
  return `- \`${command.replace(/`/g, "'").replace(/\s+/g, ' ')}\` ${how}${on}${by === undefined ? '' : `, named by the ${by}`}, ${(duration_ms / 1000).toFixed(1)} s`;
};
