// Holds the documents to the code: what the code knows is in its document, and what the tables name is in the code.
import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { claude } from '../../daemon/agents/claude/claude.ts';
import { requestJson } from '../../daemon/agents/command.ts';
import { taskKeys, toolsFor } from '../../daemon/cli/mcp/tools.ts';
import { ALIASES, envName } from '../../daemon/config.ts';
import { ERROR_CODES, EXIT } from '../../daemon/errors.ts';
import { HOOK_EVENTS, settingsSchema } from '../../daemon/settings.ts';
import { CONSEQUENCES } from '../../daemon/task/outcome.ts';
import { OUTCOMES, QUEUES } from '../../daemon/task/terms.ts';
import { blocksOf, DOCUMENTS, ROOT, read, rowFor, rowsOf, sectionOf } from './read.ts';

/** The words in code of the first cells of all tables below a heading. */
const firstWords = (text: string): string[] =>
  rowsOf(text).flatMap(([first]) => [...(first ?? '').matchAll(/`([^`]+)`/g)].map((found) => found[1]!));

/** What stands between two marks of a source file: for lists that are not exported. */
function between(path: string, from: string, to: string): string {
  const text = read(path);
  const start = text.indexOf(from);
  const end = text.indexOf(to, start + from.length);
  if (start < 0 || end < 0) throw new Error(`${path} no longer holds "${from}" … "${to}"`);
  return text.slice(start + from.length, end);
}

const sorted = (words: Iterable<string>): string[] => [...new Set(words)].sort();

describe('docs/errors.md', () => {
  const text = read('docs/errors.md');
  it.each(Object.entries(ERROR_CODES))('has %s with its exit code', (code, exit) => {
    expect(rowFor(text, code)?.[1]).toBe(String(exit));
  });
  it('names no code that does not exist', () => {
    expect(sorted(firstWords(text))).toEqual(sorted(Object.keys(ERROR_CODES)));
  });
  it('names every exit code', () => {
    for (const exit of Object.values(EXIT)) expect(text).toMatch(new RegExp(`Exit codes.*\\b${exit} `, 's'));
  });
});

describe('docs/settings.md', () => {
  const text = read('docs/settings.md');
  const table = sectionOf(text, '## Keys');
  const keys = settingKeys(z.toJSONSchema(settingsSchema, { io: 'input', unrepresentable: 'any' }) as Schema);
  const variables = [...between('daemon/config.ts', 'const ENV_KEYS = [', '\n];').matchAll(/'([a-z_.]+)'/g)].map(
    (found) => found[1]!,
  );
  it('has every key, and no other', () => {
    expect(keys.length).toBeGreaterThan(40);
    expect(sorted(firstWords(table))).toEqual(sorted(keys));
  });
  it('has the variable of every key that has one, and no other', () => {
    const told = rowsOf(table).flatMap((cells) => /^`(TOWPATH_\w+)`$/.exec(cells[3] ?? '')?.[1] ?? []);
    expect(sorted(told)).toEqual(sorted(variables.map(envName)));
    for (const key of variables) expect(rowFor(table, key)?.[3]).toBe(`\`${envName(key)}\``);
  });
  it.each(ALIASES)('has the alias %s for %s', (name, key) => {
    expect(rowFor(text, name)?.[1]).toBe(`\`${key}\``);
  });
  it.each(Object.entries(flat(settingsSchema.parse({}))))('tells the default of %s', (key, value) => {
    const cell = rowFor(table, key)?.[1] ?? '';
    if (typeof value === 'string' || typeof value === 'boolean') expect(cell).toContain(`\`${value}\``);
    else if (typeof value === 'number') expect(cell).toMatch(/`[\d.]+([a-zA-Z]+)?`/);
  });
});

describe('docs/tasks.md', () => {
  const text = read('docs/tasks.md');
  it('has every key of the front matter, and no other', () => {
    const source = between('daemon/task/schema.ts', 'const schema = z.looseObject({', '\n});');
    const keys = [...source.matchAll(/^ {2}(\w+):/gm)].map((found) => found[1]!);
    expect(keys.length).toBeGreaterThan(20);
    expect(sorted(firstWords(sectionOf(text, '## Keys')))).toEqual(sorted(keys));
  });
  it.each(OUTCOMES)('has the outcome %s, where it leads, and whether it spends an attempt', (outcome) => {
    const row = rowFor(sectionOf(text, '## Outcomes'), outcome);
    expect(row?.[2]).toBe(CONSEQUENCES[outcome].to);
    expect(row?.[3]).toMatch(CONSEQUENCES[outcome].spends ? /^yes/ : /^no/);
  });
});

describe('docs/hooks.md', () => {
  const text = read('docs/hooks.md');
  it('has every event in its table, and no other', () => {
    expect(sorted(firstWords(sectionOf(text, '## Which files run')))).toEqual(sorted(HOOK_EVENTS));
  });
  it.each(HOOK_EVENTS)('names the sample of %s, which is there', (event) => {
    expect(rowFor(text, `${event}.sample`)).toBeDefined();
    expect(existsSync(join(ROOT, 'hooks', `${event}.sample`))).toBe(true);
  });
  it('has every variable', () => {
    const names = [...between('daemon/hooks/run.ts', 'const given', '};').matchAll(/^ {4}([A-Z_]+):/gm)];
    expect(names.length).toBeGreaterThan(10);
    for (const [, name] of names) expect(text).toContain(`\`TOWPATH_${name}\``);
  });
});

describe('docs/git.md', () => {
  it('has every kind of problem, and no other', () => {
    const kinds = [...between('daemon/worktree/problem.ts', 'GitProblemKind =', ';').matchAll(/'(\w+)'/g)];
    const told = firstWords(sectionOf(read('docs/git.md'), '## Problems'));
    expect(sorted(told)).toEqual(sorted(kinds.map((found) => found[1]!)));
  });
});

describe('docs/agents.md', () => {
  const text = read('docs/agents.md');
  it('has every type of event that a command agent may write', () => {
    const types = [...read('daemon/agents/stream.ts').matchAll(/z\.literal\('(\w+)'\)/g)].map((found) => found[1]!);
    const table = sectionOf(text, '## A program of your own');
    expect(sorted(firstWords(table))).toEqual(sorted(types));
  });
  it('shows the request with all its keys', () => {
    const request = {
      task_id: '',
      attempt: 1,
      prompt: '',
      system_prompt: '',
      model: null,
      worktree: '',
      session: null,
      new_session: '',
      timeout_s: 1,
      mcp: {},
      endpoints: [],
      output_schema: null,
      skills: [],
      max_turns: null,
      budget_usd: null,
      body: '',
      run_dir: '',
    };
    const shown = blocksOf(text).find((block) => block.language === 'json' && block.text.includes('"task_id"'))!;
    expect(sorted(Object.keys(JSON.parse(shown.text)))).toEqual(sorted(Object.keys(JSON.parse(requestJson(request)))));
  });
  it('has every variable of an agent', () => {
    const names = [...between('daemon/attempt/execute.ts', 'set: {', '\n  });').matchAll(/TOWPATH_\w+/g)];
    expect(names.length).toBeGreaterThan(8);
    for (const [name] of names) expect(text).toContain(`\`${name}\``);
  });
  it('tells the models of claude', () => {
    for (const model of Object.values(claude.models)) expect(text).toContain(`\`${model}\``);
  });
});

describe('docs/queues.md', () => {
  it('has every queue', () => {
    const words = rowsOf(sectionOf(read('docs/queues.md'), '# Queues')).map((cells) => cells.slice(0, 2).join(' '));
    for (const queue of QUEUES) expect(words.join(' ')).toContain(queue);
  });
});

describe('docs/mcp.md', () => {
  it('has every tool with its arguments, and no other', () => {
    const table = sectionOf(read('docs/mcp.md'), '## For any client');
    const tools = [...toolsFor(null), ...toolsFor({ task: 't', marker: 'm' })];
    expect(sorted(firstWords(table))).toEqual(sorted(tools.map(({ name }) => name)));
    for (const { name, input } of tools)
      for (const key of Object.keys(input.shape))
        if (!(name === 'enqueue_task' && key in taskKeys)) expect(rowFor(table, name)?.[1]).toContain(`\`${key}\``);
  });
});

describe('the documents', () => {
  it.each([...DOCUMENTS, 'ARCHITECTURE.md'])('%s links only to what is there', (path) => {
    const links = [...read(path).matchAll(/\]\(([^)#]+)(?:#[^)]*)?\)/g)].map((found) => found[1]!);
    const local = links.filter((link) => !link.includes(':'));
    for (const link of local) expect(existsSync(join(ROOT, dirname(path), link)), link).toBe(true);
  });
  it('are all linked from the README', () => {
    const readme = read('README.md');
    for (const path of DOCUMENTS) if (path !== 'README.md') expect(readme).toContain(`(${path})`);
  });
  it('name only scripts that package.json has', () => {
    const { scripts } = JSON.parse(read('package.json')) as { scripts: Record<string, string> };
    for (const path of DOCUMENTS)
      for (const [, name] of read(path).matchAll(/npm run ([\w:-]+)/g)) expect(Object.keys(scripts)).toContain(name);
  });
});

interface Schema {
  properties?: Record<string, Schema>;
  additionalProperties?: Schema | boolean;
  propertyNames?: { enum?: string[] };
  anyOf?: Schema[];
}

/** Dotted keys of a schema; a free name is `<name>`, or what kind of name it is. */
function settingKeys(schema: Schema, prefix = ''): string[] {
  const shapes = [schema, ...(schema.anyOf ?? [])];
  const at = (key: string) => (prefix ? `${prefix}.${key}` : key);
  return shapes.flatMap((shape) => {
    const named = Object.entries(shape.properties ?? {}).flatMap(([key, child]) => [
      // A key that only groups others says nothing by itself.
      ...(child.properties ? [] : [at(key)]),
      ...settingKeys(child, at(key)),
    ]);
    const free = shape.additionalProperties;
    if (typeof free !== 'object' || FREE[prefix] === undefined) return named;
    const key = at(FREE[prefix]);
    return [...named, ...(free.properties ? [] : [key]), ...settingKeys(free, key)];
  });
}

/** Maps whose keys mean something; the others (`env`, `concurrency.agents` …) are values of their own. */
const FREE: Record<string, string> = {
  agents: '<name>',
  projects: '<name>',
  models: '<seniority>',
  'agents.<name>.models': '<seniority>',
  'hooks.on_failure': '<event>',
};

/** The leaves of an object by dotted key. */
function flat(value: unknown, prefix = ''): Record<string, unknown> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return { [prefix]: value };
  return Object.assign(
    {},
    ...Object.entries(value).map(([key, child]) => flat(child, prefix ? `${prefix}.${key}` : key)),
  );
}
