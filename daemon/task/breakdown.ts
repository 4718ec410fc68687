// What an agent answers that divides a large task: the schema, and its words for people.
import type { Schema } from './answer.ts';
import type { Check, Priority, Seniority } from './terms.ts';

/** The role whose tasks are divided, and not done. */
export const BREAKDOWN = 'breakdown';

/** A part, by a short name of its own; null: as the large task has it, or the settings. */
export interface Part {
  id: string;
  title: string;
  body: string;
  role: string | null;
  seniority: Seniority | null;
  priority: Priority | null;
  depends_on: string[];
  checks?: Check[] | null;
}

export interface Division {
  summary: string;
  subtasks: Part[];
}

const TITLE_CHARS = 200;
const BODY_CHARS = 20_000;
const CHECKS = 20;
const ID_CHARS = 40;
const name = { type: ['string', 'null'], pattern: `^[A-Za-z0-9][A-Za-z0-9_-]{0,${ID_CHARS - 1}}$` };

/** What may be missing may be null: some model services take only schemas of which every member is required. `checks`: its agent may have commands run. */
export function divisionSchema({ most, checks }: { most: number; checks: boolean }): Schema {
  const properties = {
    id: { ...name, description: 'a short name, by which other subtasks name this one' },
    title: {
      type: ['string', 'null'],
      minLength: 1,
      maxLength: TITLE_CHARS,
      description: 'null: the first heading of its body',
    },
    body: {
      type: 'string',
      minLength: 1,
      maxLength: BODY_CHARS,
      description: 'the task, as markdown; it stands alone',
    },
    role: { type: ['string', 'null'], description: 'null: implementer' },
    seniority: {
      type: ['string', 'null'],
      enum: ['junior', 'senior', 'principal', null],
      description: 'null: as this task',
    },
    priority: { type: ['string', 'null'], enum: ['P0', 'P1', 'P2', 'P3', null], description: 'null: as this task' },
    depends_on: {
      type: ['array', 'null'],
      items: { type: 'string' },
      description: 'the ids of the subtasks that must be done before',
    },
    checks: checks
      ? {
          type: ['array', 'null'],
          maxItems: CHECKS,
          items: { type: 'string', minLength: 1 },
          description: 'commands that must pass once it is done; null: those of the project',
        }
      : { type: 'null', description: 'those of the project: you may name no commands' },
  };
  return {
    type: 'object',
    required: ['subtasks'],
    properties: {
      summary: { type: ['string', 'null'], description: 'how the task is divided and why so, in a few sentences' },
      subtasks: {
        type: 'array',
        minItems: 1,
        maxItems: most,
        items: { type: 'object', required: ['body'], properties },
      },
    },
  };
}

/** What a part is called that names no title: by its first heading, else its name, else its first words. */
function titleIn({ id, body = '' }: Partial<Part>): string {
  const title = /^#{1,6} (.*)/m.exec(body)?.[1]?.trim() || id || body.trim().split('\n')[0];
  return title?.slice(0, TITLE_CHARS) || 'part';
}

/** A plan that fits the schema, with all its members. Others name a part by its id, or by its title where it has none. */
export function divisionOf(value: unknown): Division {
  const { summary, subtasks: said } = value as { summary?: string | null; subtasks: Partial<Part>[] };
  const subtasks = said.map((one) => ({ ...one, title: one.title ?? titleIn(one) }));
  const taken = new Set(subtasks.map(({ id }) => id));
  const free = (title: string) => {
    const words =
      title
        .toLowerCase()
        .replace(/[^a-z0-9]+/g, '-')
        .slice(0, ID_CHARS)
        .replace(/^-+|-+$/g, '') || 'part';
    let id = words;
    for (let n = 2; taken.has(id); n++) id = `${words.slice(0, ID_CHARS - 4)}-${n}`;
    taken.add(id);
    return id;
  };
  const ids = subtasks.map(({ id, title }) => id ?? free(title));
  const byTitle = new Map<string, string>();
  // A title that two have names neither.
  for (const [at, { title }] of subtasks.entries()) byTitle.set(title, byTitle.has(title) ? title : ids[at]!);
  return {
    summary: summary ?? '',
    subtasks: subtasks.map(({ title, body, role, seniority, priority, depends_on, checks }, at) => ({
      ...{ id: ids[at]!, title, body: body!, role: role ?? null, seniority: seniority ?? null },
      ...{ priority: priority ?? null, checks: checks ?? null },
      depends_on: (depends_on ?? []).map((one) => (ids.includes(one) ? one : (byTitle.get(one) ?? one))),
    })),
  };
}

/** The plan as markdown: for who reviews it, and for who is shown it. */
export function divisionText({ summary, subtasks }: Division): string {
  const parts = subtasks.map(({ id, title, body, role, seniority, priority, depends_on, checks }, at) => {
    const facts = [
      depends_on.length > 0 ? `after ${depends_on.join(', ')}` : '',
      [role, seniority, priority].filter(Boolean).join(' '),
      checks?.length ? `checks: ${checks.map((check) => `\`${[check].flat().join(' ')}\``).join(', ')}` : '',
    ];
    return [`${at + 1}. ${id}: ${title}`, facts.filter(Boolean).join('; '), body.trim()]
      .filter(Boolean)
      .join('\n')
      .replaceAll('\n', '\n   ');
  });
  return [summary.trim(), ...parts].join('\n\n');
}
