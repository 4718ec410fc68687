// towpath pattern: list, show, and run (a task for agent pattern, or with --dry-run only the change that it would make).
import { errno, messageOf, TowpathError } from '../errors.ts';
import type { Workspace } from '../paths.ts';
import { type Chosen, withInputs } from '../patterns/choose.ts';
import { type Pattern, patternNames, readPattern } from '../patterns/read.ts';
import type { Common } from './common.ts';
import { dryRun } from './dry-run.ts';
import { read, submit } from './enqueue.ts';
import { type Opened, open } from './open.ts';

interface Options extends Common {
  input?: string[];
  inputs?: string;
  dryRun?: boolean;
  project?: string;
}

export async function pattern(
  [action, name]: [string, string | undefined],
  options: Options,
): Promise<number | undefined> {
  const opened = open(options.workspace);
  if (action === 'list') return list(opened.workspace, options);
  if (name === undefined)
    throw new TowpathError('bad_usage', `pattern ${action}: which one?`, 'see "towpath pattern list"');
  const found = readPattern(opened.workspace, name);
  if (action === 'show') return show(found, options);
  const chosen = withInputs(found, inputsOf(options), true);
  if (!options.dryRun) return file(opened, chosen, options);
  const project = projectOf(opened, options.project);
  return dryRun(opened, chosen, project, options.json ?? false);
}

function list(workspace: Workspace, { json }: Options): undefined {
  const all = patternNames(workspace).map((name) => {
    try {
      const { description, from } = readPattern(workspace, name);
      return { name, from, description, problem: null };
    } catch (thrown) {
      return {
        name,
        from: null,
        description: null,
        problem: thrown instanceof TowpathError ? thrown.line : messageOf(thrown),
      };
    }
  });
  if (json) console.log(JSON.stringify(all));
  else
    for (const { name, description, problem } of all)
      console.log(`${name}\n    ${description ?? `cannot be used: ${problem}`}`);
}

interface Property {
  type?: unknown;
  enum?: unknown[];
  default?: unknown;
  description?: unknown;
}

function show({ name, description, from, program, inputs }: Pattern, { json }: Options): undefined {
  if (json) {
    console.log(JSON.stringify({ name, description, from, program, inputs }));
    return;
  }
  const required = (inputs['required'] as string[] | undefined) ?? [];
  const lines = Object.entries((inputs['properties'] as Record<string, Property> | undefined) ?? {}).map(
    ([key, one]) => {
      const kind = one.enum ? one.enum.join(', ') : typeof one.type === 'string' ? one.type : 'any';
      const need = required.includes(key)
        ? 'required'
        : one.default === undefined
          ? ''
          : `default ${JSON.stringify(one.default)}`;
      return `  ${key}: ${[kind, need].filter(Boolean).join('; ')}${typeof one.description === 'string' ? `\n      ${one.description}` : ''}`;
    },
  );
  console.log(
    [`${name} (${from}, ${program})`, description, ...(lines.length ? ['inputs:', ...lines] : ['no inputs'])].join(
      '\n',
    ),
  );
}

async function file(
  opened: Opened,
  { pattern: { name, description }, inputs }: Chosen,
  options: Options,
): Promise<undefined> {
  projectOf(opened, options.project);
  const matter = { agent: 'pattern', pattern: name, ...(options.project ? { project: options.project } : {}), inputs };
  // JSON is YAML, and a line each is read well.
  const lines = Object.entries(matter).map(([key, value]) => `${key}: ${JSON.stringify(value)}\n`);
  const made = await submit(opened, {
    content: `---\n${lines.join('')}---\n# ${name}\n\n${description}\n`,
    name: `${name}.md`,
  });
  console.log(options.json ? JSON.stringify(made) : made.id);
  if (!opened.daemon && !options.json) console.error('no daemon runs: "towpath start" takes it up');
}

function projectOf({ loaded }: Opened, name: string | undefined) {
  const { projects } = loaded.settings;
  if (name === undefined || projects[name]) return name === undefined ? undefined : projects[name];
  throw new TowpathError(
    'bad_usage',
    `--project "${name}" does not exist`,
    `one of ${Object.keys(projects).join(', ') || 'none'}`,
  );
}

/** Those of the file, then each `--input key=value`; a key that is given twice is a list. */
function inputsOf({ input = [], inputs }: Options): Record<string, unknown> {
  const all: Record<string, unknown> = inputs === undefined ? {} : fromFile(inputs);
  const given = new Map<string, string[]>();
  for (const one of input) {
    const at = one.indexOf('=');
    if (at < 1)
      throw new TowpathError('bad_usage', `--input "${one}" is no key=value`, 'write --input name=date-parser');
    const key = one.slice(0, at);
    given.set(key, [...(given.get(key) ?? []), one.slice(at + 1)]);
  }
  for (const [key, values] of given) all[key] = values.length === 1 ? values[0] : values;
  return all;
}

function fromFile(path: string): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(Buffer.from(read(path)).toString('utf8'));
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Record<string, unknown>;
  } catch (thrown) {
    if (thrown instanceof TowpathError || errno(thrown)) throw thrown;
    throw new TowpathError('task_refused', `--inputs ${path}: is no JSON: ${messageOf(thrown)}`);
  }
  throw new TowpathError('task_refused', `--inputs ${path}: holds no object`, 'write {"name": "date-parser"}');
}
