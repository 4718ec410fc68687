// A schedule: a task file in schedules/ whose front matter says when. What is filed is the same file without those keys.
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { isMap, LineCounter } from 'yaml';
import { z } from 'zod';
import { messageOf } from '../errors.ts';
import type { Workspace } from '../paths.ts';
import { MAX_BYTES, type ParsedFile, parseTask } from '../task/file.ts';
import { readYaml, splitText } from '../task/frontmatter.ts';
import { idProblem } from '../task/schema.ts';
import { type Cron, cronOf } from './cron.ts';

const CRON = 'write a cron expression in quotes: "0 3 * * *"';
/** A choice of two; the first is also called false, the second true. */
const choice = <No extends string, Yes extends string>(no: No, yes: Yes) =>
  z.preprocess((value) => (typeof value === 'boolean' ? (value ? yes : no) : value), z.enum([no, yes]));
const rule = z.strictObject(
  {
    cron: z.string(CRON).min(1),
    timezone: z.string().min(1).optional(),
    overlap: choice('skip', 'queue').default('skip'),
    catch_up: choice('none', 'one').default('one'),
  },
  { error: (issue) => (issue.code === 'invalid_type' ? CRON : undefined) },
);
export type Rule = z.output<typeof rule>;

/** The words of a rule that may stand in the front matter itself, too. */
const WORDS = ['cron', 'timezone', 'overlap', 'catch_up'];

/** What the front matter says of when; a text is the expression, which is the whole of most rules. */
function saidIn({ schedule, ...data }: Record<string, unknown>): unknown {
  const rest = Object.fromEntries(WORDS.flatMap((word) => (word in data ? [[word, data[word]]] : [])));
  if (typeof schedule === 'string') return { cron: schedule, ...rest };
  return typeof schedule === 'object' && !Array.isArray(schedule) ? { ...schedule, ...rest } : (schedule ?? rest);
}

export interface Schedule {
  /** The stem of its file. */
  name: string;
  rule: Rule;
  cron: Cron;
  /** The task as it is filed, but for its id. */
  task: ParsedFile;
  /** The task for a planned time, ms. */
  taskAt(at: number): { id: string; content: string };
}

export type Found = Schedule | { name: string; problem: string };

/** All schedules of a workspace, by name. */
export async function readSchedules(workspace: Workspace): Promise<Found[]> {
  const dir = workspace.schedules;
  if (!existsSync(dir)) return [];
  const names = readdirSync(dir).filter((name) => name.endsWith('.md') && !name.startsWith('.'));
  return Promise.all(names.sort().map((name) => readOnce(join(dir, name), name.slice(0, -'.md'.length))));
}

/** What was read lately, by path and by how its file looked then. */
const known = new Map<string, { sign: string; found: Found }>();

async function readOnce(path: string, name: string): Promise<Found> {
  const stat = statSync(path, { bigint: true, throwIfNoEntry: false });
  if (!stat?.isFile()) return { name, problem: 'is no file' };
  const sign = `${stat.ino} ${stat.mtimeNs} ${stat.ctimeNs} ${stat.size}`;
  const before = known.get(path);
  if (before?.sign === sign) return before.found;
  const found = stat.size > MAX_BYTES ? { name, problem: 'is larger than 1 MiB' } : await read(path, name);
  known.set(path, { sign, found });
  return found;
}

async function read(path: string, name: string): Promise<Found> {
  const wrong = (problem: string): Found => ({ name, problem });
  let text: string;
  try {
    text = new TextDecoder('utf-8', { fatal: true }).decode(readFileSync(path));
  } catch (thrown) {
    return wrong(messageOf(thrown));
  }
  const split = splitText(text);
  if ('problem' in split) return wrong(split.problem);
  const yaml = readYaml(split.matter ?? '', new LineCounter());
  if ('problem' in yaml) return wrong(yaml.problem);
  const parsed = rule.safeParse(saidIn(yaml.data));
  if (!parsed.success) {
    const [issue] = parsed.error.issues;
    return wrong(`schedule${issue!.path.length > 0 ? `.${issue!.path.join('.')}` : ''}: ${issue!.message}`);
  }
  if (yaml.data['id'] !== undefined) return wrong('id: each task of a schedule gets its own: remove the key');
  if (yaml.data['towpath'] !== undefined) return wrong('towpath: this is a task that has run: remove the key');
  const problem = idProblem(`${name}-20260101-000000`);
  if (problem) return wrong(`its name is not allowed: ${problem}`);
  const cron = await cronOf(parsed.data.cron, parsed.data.timezone);
  if ('problem' in cron) return wrong(`schedule.${cron.problem}`);
  // A copy: the document is shared with whoever reads the same text.
  const doc = yaml.doc.clone();
  for (const key of ['schedule', ...WORDS]) doc.delete(key);
  const rest = isMap(doc.contents) && doc.contents.items.length > 0 ? doc.toString({ lineWidth: 0 }) : '';
  const content = (id: string) => `---\nid: ${JSON.stringify(id)}\n${rest}---\n${split.body}`;
  const task = parseTask(Buffer.from(content(name)));
  if (task.refusal) return wrong(task.refusal);
  const taskAt = (at: number) => {
    const id = `${name}-${stamp(at, cron.seconds)}`;
    return { id, content: content(id) };
  };
  return { name, rule: parsed.data, cron, task, taskAt };
}

/** In UTC: when the clock is put back in autumn, an hour comes twice, and this one does not. */
function stamp(at: number, seconds: boolean): string {
  const digits = new Date(at).toISOString().replace(/\D/g, '');
  return `${digits.slice(0, 8)}-${digits.slice(8, seconds ? 14 : 12)}`;
}
