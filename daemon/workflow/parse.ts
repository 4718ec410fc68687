// Reads a workflow file: front matter, a title, and a step for each `##` heading with its list of fields and its instruction. Pure.
import { type Block, Blocks } from './blocks.ts';
import { readHead } from './head.ts';
import type { Place, Problem } from './problem.ts';
import { referencesIn } from './variables.ts';

/** A word of the file and where it stands. */
export interface Word extends Place {
  text: string;
}

export interface Input extends Word {
  default?: string;
}

export interface Step extends Place {
  name: string;
  role: Word | null;
  inputs: Input[];
  outputs: Word[];
  after: Word[];
  when: { step: Word; outcomes: StepOutcome[] } | null;
  /** `in_turn`: one item after the other, each on the work of the one before. */
  each: { list: Input; item: Word; in_turn: boolean } | null;
  /** Keys of the task file that are said in the list. */
  matter: Record<string, unknown>;
  instruction: string;
  /** The variables that the instruction names. */
  uses: Word[];
}

export interface Workflow {
  title: string;
  /** Keys of every task file. */
  matter: Record<string, unknown>;
  steps: Step[];
}

export const STEP_OUTCOMES = ['ok', 'failed', 'skipped'] as const;
export type StepOutcome = (typeof STEP_OUTCOMES)[number];

/** Fields that are keys of the task file. */
const PLAIN: Readonly<Record<string, string>> = {
  Review: 'review',
  Expect: 'expect',
  Model: 'model',
  Seniority: 'seniority',
  Timeout: 'timeout',
  Complexity: 'complexity',
  Schema: 'output_schema',
};
const FIELDS = [
  'Agent',
  'Input',
  'Output',
  'After',
  'If',
  'For each',
  'Checks',
  'Pattern',
  'With',
  ...Object.keys(PLAIN),
];
const REPEATED = ['Input', 'Output', 'After'];

// For lines without spaces at their end: what is lazy before them takes for ever on a line of spaces.
const HEADING = /^ {0,3}(#{1,2})(?:[ \t]+(.*))?$/;
const FIELD = /^[ \t]*[*+-][ \t]+\*\*([^*]+?):?\*\*:?[ \t]*(.*)$/;
const VARIABLE = /`?\$\{([A-Za-z_][A-Za-z0-9_]*)\}`?/;

/** What the file says, and all that it says wrongly. */
export function parseWorkflow(text: string): { workflow: Workflow; problems: Problem[] } {
  const problems: Problem[] = [];
  const head = readHead(text, problems);
  const workflow: Workflow = { title: '', matter: head.matter, steps: [] };
  let step: Builder | null = null;
  const blocks = new Blocks();
  for (const [at, line] of head.lines.entries()) {
    const number = head.first + at;
    const block = blocks.of(line, number);
    const heading = block ? null : HEADING.exec(line.trimEnd());
    const name = withoutMarks(heading?.[2] ?? '');
    if (heading?.[1] === '##') {
      step?.end();
      step = new Builder(
        name,
        { line: number, column: (name ? line.indexOf(name, 2) : line.indexOf('#')) + 1 },
        problems,
      );
      workflow.steps.push(step.step);
    } else if (step) step.line(line, number, block);
    else if (heading && !workflow.title) workflow.title = name;
  }
  step?.end();
  if (blocks.open) {
    const { kind, line } = blocks.open;
    problems.push({ line, column: 1, reason: `the ${kind} that begins here is never closed` });
  }
  if (workflow.steps.length === 0 && problems.length === 0)
    problems.push({ line: 1, column: 1, reason: 'there is no step: write a "## Name"' });
  return { workflow, problems };
}

/** A heading may be closed by marks of its own, after a space. */
function withoutMarks(name: string): string {
  let end = name.length;
  while (name[end - 1] === '#') end--;
  return end === 0 || /[ \t]/.test(name[end - 1]!) ? name.slice(0, end).trimEnd() : name;
}

/** Takes up the lines of one step. */
class Builder {
  readonly step: Step;
  readonly #problems: Problem[];
  readonly #seen = new Set<string>();
  /** The field of the line before; null when that was none. */
  #last: string | null = null;
  /** It has nothing behind its name: that stands in the lines below. */
  #bare: ({ key: string } & Place) | null = null;
  #text: { lines: string[]; first: number } | null = null;

  constructor(name: string, place: Place, problems: Problem[]) {
    this.#problems = problems;
    this.step = {
      ...{ name, ...place, role: null, inputs: [], outputs: [], after: [], when: null, each: null },
      ...{ matter: {}, instruction: '', uses: [] },
    };
    if (!name) this.#wrong(place, 'the step has no name');
    if (referencesIn(name).length > 0) this.#wrong(place, 'the name of a step holds no variable');
  }

  line(line: string, number: number, block: Block | null): void {
    const last = this.#last;
    this.#last = null;
    if (this.#text) this.#text.lines.push(line);
    else if (line.trim() === '' || block === 'comment') return;
    else {
      const field = FIELD.exec(line.trimEnd());
      if (field) {
        this.#last = field[1]!;
        this.#field(field[1]!, field[2]!, { line: number, column: line.indexOf('**') + 3 }, line);
      } else if (last !== null && /^[ \t]/.test(line)) {
        this.#last = last;
        const [, marks = '', value = ''] = /^([ \t]*(?:[*+-][ \t]+)?)(.*)$/.exec(line.trimEnd())!;
        const place = { line: number, column: marks.length + 1 };
        this.#bare = null;
        if (REPEATED.includes(last)) this.#field(last, value, place, line);
        else this.#wrong(place, `"${last}" is one line: write all of it behind the name`);
      } else this.#text = { lines: [line], first: number };
    }
  }

  end(): void {
    this.#endBare();
    const { lines, first } = this.#text ?? { lines: [], first: this.step.line };
    this.step.instruction = lines.join('\n').trimEnd();
    for (const [at, line] of lines.entries())
      for (const { name, at: column } of referencesIn(line))
        this.step.uses.push({ text: name, line: first + at, column: column + 1 });
    const pattern = this.#seen.has('Pattern');
    if (this.#seen.has('With') && !pattern)
      this.#wrong(this.step, `"${this.step.name}" has inputs and no pattern: write "* **Pattern:** name"`);
    if (this.step.instruction === '' && !pattern) this.#wrong(this.step, `"${this.step.name}" has no instruction`);
    if (!this.step.role && !this.#seen.has('Agent') && !pattern)
      this.#wrong(this.step, `"${this.step.name}" has no agent: write "* **Agent:** [Name](../roles/name.md)"`);
  }

  #endBare(): void {
    if (this.#bare) this.#wrong(this.#bare, `"${this.#bare.key}" says nothing`);
    this.#bare = null;
  }

  #field(key: string, said: string, place: Place, line: string): void {
    const list = REPEATED.includes(key);
    const value = list ? said.replace(/[ \t]*,$/, '') : said;
    this.#endBare();
    const again = this.#seen.has(key) && !list;
    this.#seen.add(key);
    const from = value ? line.lastIndexOf(value) : line.length;
    const word = (text: string, at: number): Word => ({ text, line: place.line, column: from + at + 1 });
    const plain = PLAIN[key];
    if (!FIELDS.includes(key)) this.#wrong(place, `unknown key "${key}": one of ${FIELDS.join(', ')}`);
    else if (again) this.#wrong(place, `"${key}" is there twice`);
    else if (value === '' && list) this.#bare = { key, ...place };
    else if (value === '') this.#wrong(place, `"${key}" says nothing`);
    else if (plain) this.step.matter[plain] = value.replace(/^`(.*)`$/, '$1');
    else if (key === 'Agent') this.#agent(value, word);
    else if (key === 'Input') this.#inputs(value, word);
    else if (key === 'Output') this.step.outputs.push(...this.#variables(value, word));
    else if (key === 'After') this.step.after.push(...split(value, word));
    else if (key === 'If') this.#when(value, word);
    else if (key === 'For each') this.#each(value, word);
    else if (key === 'Pattern')
      Object.assign(this.step.matter, { agent: 'pattern', pattern: value.replace(/^`(.*)`$/, '$1') });
    else if (key === 'With') this.#with(value, word);
    else this.#checks(value, word);
  }

  #agent(value: string, word: At): void {
    const link = /^\[[^\]]*\]\(([^()\s]+)\)$/.exec(value)?.[1] ?? '';
    const [, folder = '', role] = /^(.*\/)?([^/]+)\.md$/.exec(link) ?? [];
    // Where it leads is not followed: a role is known by its name, in the workspace or among those that ship.
    if (role && !/^$|^\.\/$|(^|\/)roles\/$/.test(folder))
      this.#wrong(
        word('', value.lastIndexOf(link)),
        `Agent: ${link} is not in roles/: write [Name](../roles/${role}.md)`,
      );
    else if (role) this.step.role = word(role, value.lastIndexOf(role));
    else
      this.#wrong(word('', 0), `Agent: ${JSON.stringify(value)} is no link to a role: write [Name](../roles/name.md)`);
  }

  /** `${A}, ${B}`, and `${A} = what it is when nobody gives it`. */
  #inputs(value: string, word: At): void {
    const found = /^(.*?\$\{[^}]{0,200}\}`?)[ \t]*=[ \t]*(.*)$/.exec(value);
    const named: Input[] = this.#variables(found?.[1] ?? value, word);
    const last = named.at(-1);
    if (found && last) last.default = found[2]!;
    this.step.inputs.push(...named);
  }

  #variables(value: string, word: At): Word[] {
    return split(value, word).flatMap((one) => {
      const name = new RegExp(`^${VARIABLE.source}$`).exec(one.text)?.[1];
      if (name) return [{ ...one, text: name }];
      this.#wrong(one, `${JSON.stringify(one.text)} is no variable: write \${NAME}`);
      return [];
    });
  }

  #when(value: string, word: At): void {
    const one = STEP_OUTCOMES.join('|');
    const found = new RegExp(`^(.+?) ((?:${one})(?:(?: ?, ?| or )(?:${one}))*)$`).exec(value.replace(/[ \t]+/g, ' '));
    if (!found) {
      const all = STEP_OUTCOMES.join(', ');
      this.#wrong(word('', 0), `If: write the name of a step and ${all} (several with "or")`);
      return;
    }
    const outcomes = found[2]!.split(/ ?, ?| or /) as StepOutcome[];
    this.step.when = { step: word(found[1]!, 0), outcomes };
  }

  #each(value: string, word: At): void {
    const found = new RegExp(`^${VARIABLE.source}[ \\t]+as[ \\t]+${VARIABLE.source}(,[ \\t]*in turn)?$`).exec(value);
    if (!found) this.#wrong(word('', 0), `For each: write \${LIST} as \${ITEM}, and perhaps ", in turn"`);
    else {
      const item = word(found[2]!, value.lastIndexOf('$'));
      this.step.each = { list: word(found[1]!, 0), item, in_turn: found[3] !== undefined };
    }
  }

  /** Inputs of a pattern; a variable in one of their texts is put in once it is known. */
  #with(value: string, word: At): void {
    let inputs: unknown = null;
    try {
      inputs = JSON.parse(value.replace(/^`(.*)`$/, '$1'));
    } catch {
      // Told below.
    }
    if (typeof inputs === 'object' && inputs !== null && !Array.isArray(inputs)) {
      this.step.matter['inputs'] = inputs;
      this.step.uses.push(...referencesIn(value).map(({ name, at }) => word(name, at)));
    } else this.#wrong(word('', 0), 'With: write the inputs of the pattern as a JSON object');
  }

  #checks(value: string, word: At): void {
    const commands = [...value.matchAll(/`([^`]+)`/g)].map((one) => one[1]!);
    if (value === 'none') this.step.matter['checks'] = [];
    else if (commands.length > 0 && value.replace(/`[^`]+`/g, '').replace(/[,\s]/g, '') === '')
      this.step.matter['checks'] = commands;
    else this.#wrong(word('', 0), 'Checks: write each command in backticks, with commas between them, or none');
  }

  #wrong({ line, column }: Place, reason: string): void {
    this.#problems.push({ line, column, reason });
  }
}

type At = (text: string, at: number) => Word;

/** The parts of a list with commas, each where it stands. */
function split(value: string, word: At): Word[] {
  let at = 0;
  return value.split(',').map((part) => {
    const one = word(part.trim(), at + part.length - part.trimStart().length);
    at += part.length + 1;
    return one;
  });
}
