// The form of a workflow: what it says, and every mistake with its line and column.
import { globSync, readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { bind } from '../../daemon/workflow/check.ts';
import { parseWorkflow } from '../../daemon/workflow/parse.ts';

const AGENT = '* **Agent:** [Doer](../roles/doer.md)\n';
const step = (name: string, fields = '', text = 'Do it.') => `## ${name}\n\n${AGENT}${fields}\n${text}\n\n`;

/** All problems as `line:column reason`. */
function problems(text: string, given: string[] | null = [], roles = ['doer']): string[] {
  const { workflow, problems: first } = parseWorkflow(text);
  const world = { given: given && new Set(given), hasRole: (name: string) => roles.includes(name) };
  return [...first, ...bind(workflow, world).problems]
    .sort((a, b) => a.line - b.line || a.column - b.column)
    .map(({ line, column, reason }) => `${line}:${column} ${reason}`);
}

describe('a workflow', () => {
  const text = `---
description: d
priority: P1
---
# Title here

Words about it.

## First step

- **Agent:** [A](../roles/doer.md)
- **Input:** \${A}, \`\${B}\`
- **Input:** \${C} = a default, with a comma
- **Output:** \${D}
* **Checks:** \`npm test\`, \`a, b\`
* **Model**: \`x\`

Take \${A} and \${B}
and \${C}, not $\${E}.

* **Bold:** text of the instruction

\`\`\`md
## no step
\`\`\`

## Second ##

<!--
## no step either
-->
* **Agent:** [A](doer.md)
	* **If:** First step ok or skipped
* **For each:** \${D} as \${IT}
* **After:** First step
Each \${IT}.
`;
  it('is read with all that it says', () => {
    const { workflow, problems: wrong } = parseWorkflow(text);
    expect(wrong).toEqual([]);
    expect(workflow).toMatchObject({ title: 'Title here', matter: { priority: 'P1' } });
    const [first, second] = workflow.steps;
    expect(first).toMatchObject({
      ...{ name: 'First step', line: 9, column: 4, role: { text: 'doer', line: 11 }, outputs: [{ text: 'D' }] },
      inputs: [{ text: 'A' }, { text: 'B', line: 12, column: 20 }, { text: 'C', default: 'a default, with a comma' }],
      matter: { checks: ['npm test', 'a, b'], model: 'x' },
    });
    expect(first!.instruction).toContain('* **Bold:** text');
    expect(first!.instruction).toContain('## no step');
    expect(first!.uses).toMatchObject([
      { text: 'A', line: 18, column: 6 },
      { text: 'B', line: 18 },
      { text: 'C', line: 19, column: 5 },
    ]);
    expect(second).toMatchObject({
      name: 'Second',
      when: { step: { text: 'First step' }, outcomes: ['ok', 'skipped'] },
      each: { list: { text: 'D' }, item: { text: 'IT' }, in_turn: false },
    });
    expect(problems(text, ['A', 'B'])).toEqual([]);
    const { steps } = bind(workflow, { given: null, hasRole: () => true });
    expect(steps.map(({ needs }) => needs)).toEqual([[], [0]]);
  });

  it('may write lists below their names, as formatters break them, with any bullet and line ending', () => {
    const list = `# T #\n##\tLearn C#\n\n+ **Agent:** [A](./doer.md)  \n* **Output:**\n  - \${X}\n  - \${Y}\n* **Input:** \${A},\n  \${B} = b\t\n\nDo \${A} \${B}.\n\`\`\`not a fence\`\`\`\n  ## Next ##\n* **Agent:** [A](x/roles/doer.md)\n* **After:** learn c#\n\n    ## code\n`;
    for (const text of [list, `\ufeff${list.replaceAll('\n', '\r\n')}`]) {
      expect(problems(text, ['A'])).toEqual([]);
      const [first, second] = parseWorkflow(text).workflow.steps;
      expect(first).toMatchObject({
        ...{ name: 'Learn C#', outputs: [{ text: 'X', line: 6, column: 5 }, { text: 'Y' }] },
        inputs: [{ text: 'A' }, { text: 'B', line: 9, column: 3, default: 'b' }],
      });
      expect(second).toMatchObject({ name: 'Next', line: 13, column: 6, instruction: '    ## code' });
    }
  });

  it('is none of any text, and that breaks nothing', () => {
    const unit = fc.constantFrom(
      '#',
      '## a',
      '\n',
      '* **If:**',
      ' ',
      '${A}',
      '---\n',
      '```',
      '[',
      'x.md',
      '**',
      '* **With:** {"a":"${A}"}',
      '* **Agent:** [x](roles/x.md)',
      '<!--',
      '\r\n',
      '\ufeff',
      'é',
      ',',
      '=',
    );
    fc.assert(
      fc.property(fc.string({ unit, maxLength: 60 }), (any) => {
        const lines = any.replace(/^\ufeff/, '').split('\n');
        const { workflow, problems: wrong } = parseWorkflow(any);
        wrong.push(...bind(workflow, { given: new Set(), hasRole: () => true }).problems);
        for (const { line, column, reason } of wrong)
          expect(column >= 1 && column <= (lines[line - 1]?.length ?? -1) + 1, `${line}:${column} ${reason}`).toBe(
            true,
          );
        // Each word is told where it stands.
        for (const { name, line, column, inputs, outputs, uses } of workflow.steps) {
          const from = (place: { line: number; column: number }) => lines[place.line - 1]!.slice(place.column - 1);
          expect(from({ line, column }).startsWith(name), `${name} at ${line}:${column}`).toBe(true);
          for (const word of [...inputs, ...outputs, ...uses])
            expect(
              from(word)
                .replace(/^`?\$\{/, '')
                .startsWith(word.text),
              `${word.text} at ${word.line}:${word.column}`,
            ).toBe(true);
        }
      }),
      { numRuns: 2000 },
    );
  });
});

it('takes no longer than its lines for the strangest of them', () => {
  const much = ' \t'.repeat(100_000);
  const list = [
    'a',
    `* **Input:** ${much}x`,
    `* **If:** B${much}x`,
    `* **Input:** ${'${'.repeat(100_000)} = x`,
    `  ${much}y`,
  ];
  const text = `## A${much}B ${'#'.repeat(100_000)}x\n${list.join('\n')}\n\n${'${A}\n'.repeat(100_000)}`;
  const began = performance.now();
  expect(parseWorkflow(text).workflow.steps).toHaveLength(1);
  for (const line of list) parseWorkflow(`## A\n${line}\n`);
  // One that is not linear takes minutes.
  expect(performance.now() - began).toBeLessThan(10_000);
});

describe('a mistake', () => {
  it.each<[string, string, string[], string[]?]>([
    ['no step', '# T\n', ['1:1 there is no step: write a "## Name"']],
    [
      'undefined input',
      step('A', '* **Input:** ${X}\n', '${X}'),
      [expect.stringMatching(/^4:14 \$\{X\} is not defined: no step/) as string],
    ],
    [
      'undefined in the text',
      step('A', '', 'a\n b ${X} ${X}'),
      [expect.stringMatching(/^6:4 \$\{X\} is not defined: "A" does not take/) as string],
    ],
    [
      'unused input',
      step('A', '* **Input:** ${X}\n'),
      ['4:14 ${X} is not used: the instruction of "A" does not name it'],
      ['X'],
    ],
    ['unused value', step('A'), ['1:1 ${X} is given, but no step takes it'], ['X']],
    ['given and put out', step('A', '* **Output:** ${X}\n'), ['1:1 ${X} is given, but a step puts it out'], ['X']],
    [
      'circle',
      step('A', '* **After:** C\n') + step('B', '* **After:** A\n') + step('C', '* **After:** B\n'),
      ['1:4 the steps wait for each other: A → C → B → A'],
    ],
    ['waits for itself', step('A', '* **After:** A\n'), ['4:14 "A" cannot wait for itself']],
    [
      'takes its own output',
      step('A', '* **Input:** ${X}\n* **Output:** ${X}\n', '${X}'),
      ['4:14 "A" takes ${X}, which it puts out itself'],
    ],
    ['name twice', step('A') + step('a'), ['7:4 the step "a" is there twice, see line 1']],
    [
      'output twice',
      step('A', '* **Output:** ${X}\n') + step('B', '* **Output:** ${X}\n'),
      ['11:15 ${X} is put out twice, see "A"'],
    ],
    [
      'no role',
      step('A').replace('doer.md', 'nobody.md'),
      ['3:30 the role "nobody" does not exist: write roles/nobody.md'],
    ],
    ['no agent', '## A\n\nDo.\n', [expect.stringMatching(/^1:4 "A" has no agent/) as string]],
    ['no link', '## A\n* **Agent:** doer\nDo.\n', [expect.stringMatching(/^2:14 Agent: "doer" is no link/) as string]],
    [
      'unknown field',
      step('A', '* **Outptu:** ${X}\n'),
      [expect.stringMatching(/^4:5 unknown key "Outptu": one of Agent/) as string],
    ],
    ['field twice', step('A', '* **Model:** a\n* **Model:** b\n'), ['5:5 "Model" is there twice']],
    [
      'unclosed fence',
      step('A', '', 'Do:\n~~~sh\nls\n## B'),
      ['6:1 the fenced block that begins here is never closed'],
    ],
    [
      'role elsewhere',
      step('A').replace('../roles/', '../../etc/'),
      ['3:21 Agent: ../../etc/doer.md is not in roles/: write [Name](../roles/doer.md)'],
    ],
    ['wrapped field', step('A', '* **Model:** a\n  b\n'), ['5:3 "Model" is one line: write all of it behind the name']],
    [
      'unknown variable of a pattern',
      step('A', '* **Pattern:** p\n* **With:** {"a": "${X} $${Y}"}\n', ''),
      [expect.stringMatching(/^5:20 \$\{X\} is not defined/) as string],
    ],
    ['With alone', step('A', '* **With:** {}\n'), ['1:4 "A" has inputs and no pattern: write "* **Pattern:** name"']],
    ['empty field', step('A', '* **Output:**\n'), ['4:5 "Output" says nothing']],
    [
      'unknown key',
      `---\npriority: P1\nprio: 1\n---\n${step('A')}`,
      [expect.stringMatching(/^3:1 unknown key "prio"/) as string],
    ],
    ['bad YAML', `---\na: [\n---\n${step('A')}`, [expect.stringMatching(/^\d+:1 /) as string]],
    ['no instruction', `## A\n\n${AGENT}\n## B\n\n${AGENT}\nDo.\n`, ['1:4 "A" has no instruction']],
    [
      'no variable',
      step('A', '* **Output:** X, ${Y\n'),
      ['4:15 "X" is no variable: write ${NAME}', '4:18 "${Y" is no variable: write ${NAME}'],
    ],
    [
      'bad If',
      step('A', '* **If:** B done\n'),
      ['4:11 If: write the name of a step and ok, failed, skipped (several with "or")'],
    ],
    ['If of nobody', step('A', '* **If:** B ok\n'), ['4:11 no step "B"']],
    [
      'bad For each',
      step('A', '* **For each:** ${L}\n'),
      ['4:17 For each: write ${LIST} as ${ITEM}, and perhaps ", in turn"'],
    ],
    [
      'For each of nothing',
      step('A', '* **For each:** ${L} as ${I}\n', '${I}'),
      [expect.stringMatching(/^4:17 \$\{L\} is not defined/) as string],
    ],
    [
      'bad With',
      step('A', '* **Pattern:** cleanup\n* **With:** [1]\n'),
      ['5:13 With: write the inputs of the pattern as a JSON object'],
    ],
    [
      'bad Checks',
      step('A', '* **Checks:** npm test\n'),
      [expect.stringMatching(/^4:15 Checks: write each command/) as string],
    ],
    ['variable in a name', step('A ${B}'), ['1:4 the name of a step holds no variable']],
    ['input twice', step('A', '* **Input:** ${X}, ${X}\n', '${X}'), ['4:20 "A" takes ${X} twice'], ['X']],
  ])('is told with its place: %s', (_, text, wanted, given) => {
    expect(problems(text, given)).toEqual(wanted);
  });

  it('is not the only one that is told', () => {
    expect(problems(`${step('A', '* **Output:** X\n* **Foo:** 1\n')}## B\n\nNothing.\n`)).toHaveLength(3);
  });
});

it('finds nothing wrong with the workflows that ship', () => {
  const dir = new URL('../../', import.meta.url);
  const found = globSync('workflows/*.workflow.md', { cwd: dir });
  expect(found).toHaveLength(3);
  const roles = globSync('roles/*.md', { cwd: dir }).map((name) => name.replace(/^roles.(.*)\.md$/, '$1'));
  for (const name of found) expect(problems(readFileSync(new URL(name, dir), 'utf8'), null, roles), name).toEqual([]);
});
