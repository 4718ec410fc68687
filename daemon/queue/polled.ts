// Tasks from elsewhere: each JSON line of a poll hook becomes a task file, once.
import { Document } from 'yaml';
import { z } from 'zod';
import { messageOf } from '../errors.ts';
import { idProblem } from '../task/schema.ts';
import type { QueuePort } from './port.ts';

/** One line of a poll hook: an id, the markdown, and any other key of a task's frontmatter. */
const lineSchema = z.looseObject({ id: z.string(), body: z.string().min(1) });

/** A task file from keys and markdown. */
export const taskText = (data: Record<string, unknown>, body: string): string =>
  Object.keys(data).length === 0
    ? `---\n---\n${body}`
    : `---\n${new Document(data).toString({ lineWidth: 0, blockQuote: false })}---\n${body}`;

/** Submits each line's task; an id that is known already is the same task seen again. Returns the new ids. */
export async function submitPolled(
  queue: QueuePort,
  stdout: string,
  warn: (message: string) => void,
): Promise<string[]> {
  const made: string[] = [];
  for (const line of stdout.split('\n').filter((text) => text.trim())) {
    try {
      const { id, body, ...data } = lineSchema.parse(JSON.parse(line));
      const problem = idProblem(id);
      if (problem) throw new Error(`id ${JSON.stringify(id)} is not allowed: ${problem}`);
      if (await queue.get(id)) continue;
      made.push(await queue.submit({ name: `${id}.md`, content: taskText({ id, ...data }, body) }));
    } catch (thrown) {
      warn(`hook poll: a line is no task: ${messageOf(thrown)}`);
    }
  }
  return made;
}
