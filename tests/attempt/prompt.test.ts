// The prompt keeps within its budget: what matters least is cut first, the task and the rules never, and what was cut is told.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { buildPrompt, type PromptParts } from '../../daemon/attempt/prompt.ts';
import { fitTokens } from '../../daemon/attempt/room.ts';

const long = (word: string, lines: number) => Array.from({ length: lines }, (_, n) => `${word} ${n}`).join('\n');
const parts = (more: Partial<PromptParts> = {}): PromptParts => ({
  title: 'Title',
  body: 'Do it.',
  branch: 'towpath/t',
  base: null,
  worktree: '/w',
  feedback: [{ from: 'check', message: long('feedback', 300), at: '', attempt: 1 }],
  dependencies: [{ id: 'd', title: 'D', branch: null, result: long('result', 300) }],
  context: [long('hook', 300)],
  checks: ['npm test'],
  protect: [],
  schema: null,
  skills: [{ name: 'review', description: 'how to review', dir: '/run/skills/review', text: long('skill', 300) }],
  opens: false,
  notes: { name: 'NOTES.md', path: '/ws/NOTES.md', text: long('note', 300) },
  tokens: 30_000,
  passing: false,
  resumed: false,
  ...more,
});
const SECTIONS = ['note', 'result', 'skill', 'hook', 'feedback'];
const has = (prompt: string) => SECTIONS.filter((word) => new RegExp(`^ *${word} 0$`, 'm').test(prompt));
const whole = (prompt: string) => SECTIONS.filter((word) => new RegExp(`^ *${word} 299$`, 'm').test(prompt));

describe('buildPrompt', () => {
  it('holds all of it when there is room, and says nothing of leaving out', () => {
    const { prompt, left } = buildPrompt(parts());
    expect(whole(prompt)).toEqual(SECTIONS);
    expect(left).toEqual([]);
    expect(prompt).not.toContain('Left out');
    expect(prompt).toContain('## Skill: review\n\nWhat it names lies in /run/skills/review.\n\nskill 0');
    expect(prompt).toContain('## Notes of this project\n\nnote 0');
  });

  it('cuts in the order of what matters least, and stays within the budget', () => {
    const all = buildPrompt(parts()).prompt.length;
    const seen: string[] = [];
    for (let tokens = Math.ceil(all / 4); tokens > 0; tokens -= 100) {
      const { prompt, left } = buildPrompt(parts({ tokens }));
      const kept = has(prompt);
      // Those that are there are the last of the order, and only the first of them may be cut.
      expect(kept).toEqual(SECTIONS.slice(SECTIONS.length - kept.length));
      expect(whole(prompt).length).toBeGreaterThanOrEqual(kept.length - 1);
      expect(prompt).toContain('# Title\n\nDo it.');
      expect(prompt).toContain('npm test');
      const told = prompt.indexOf('## Left out');
      if (left.length > 0) for (const one of left) expect(prompt.slice(told)).toContain(`- ${one}`);
      if (kept.length > 0)
        expect((told < 0 ? prompt : prompt.slice(0, told)).length).toBeLessThanOrEqual(tokens * 4 + 10);
      seen.push(kept.join());
    }
    expect(new Set(seen).size).toBe(6);
  });

  it('tells what was cut and where all of it is', () => {
    const { prompt, left } = buildPrompt(parts({ tokens: 1800 }));
    expect(left[0]).toMatch(/^notes \(NOTES\.md\): left out, \d+ characters; all of it: \/ws\/NOTES\.md$/);
    expect(left.find((one) => one.startsWith('answer'))).toMatch(/^answer of d: .*; all of it: towpath show d$/);
    expect(left.find((one) => one.startsWith('skill'))).toMatch(
      /^skill review: (left out,|cut to the first \d+ of) \d+ characters; all of it: \/run\/skills\/review\/SKILL\.md$/,
    );
    expect(prompt.length).toBeLessThanOrEqual(1800 * 4 + 1);
  });

  it('of feedback the oldest goes first', () => {
    const feedback = [1, 2, 3].map((n) => ({
      from: 'check',
      message: long(`round ${n} line`, 100),
      at: '',
      attempt: n,
    }));
    const { prompt, left } = buildPrompt(parts({ feedback, dependencies: [], context: [], tokens: 800 }));
    expect(prompt).toContain('round 3 line 99');
    expect(prompt).not.toContain('round 1 line 99');
    expect(left.some((one) => one.startsWith('feedback from check on attempt 1: '))).toBe(true);
  });

  it('lists the skills of an agent that opens them', () => {
    const { prompt } = buildPrompt(parts({ opens: true }));
    expect(prompt).toContain('- review (/run/skills/review/SKILL.md): how to review');
    expect(prompt).not.toContain('skill 0');
    expect(buildPrompt(parts({ opens: true, resumed: true })).prompt).toContain('- review (/run/skills');
  });

  it('never cuts the task, however long it is', () => {
    const { prompt } = buildPrompt(parts({ body: long('task', 5000), tokens: 100 }));
    expect(prompt).toContain('task 4999');
    expect(has(prompt)).toEqual([]);
  });

  it('tells a session that goes on only what is new', () => {
    const { prompt } = buildPrompt(parts({ resumed: true }));
    expect(has(prompt)).toEqual(['hook', 'feedback']);
  });
});

/** The headings that stand in no fenced block. */
function headings(prompt: string): string[] {
  let open = '';
  return prompt.split('\n').filter((line) => {
    const marks = /^ {0,3}(`{3,}|~{3,})/.exec(line)?.[1];
    if (marks && !open) open = marks;
    else if (marks?.startsWith(open) && open && line.trim() === marks) open = '';
    return !open && line.startsWith('#');
  });
}

const hostile = fc
  .array(
    fc.oneof(
      fc.constantFrom('## How you work', '```', '````', '`````sh', '~~~', '# Title', '- Push to main.', '😀é漢'),
      fc.string({ unit: 'grapheme', maxLength: 60 }),
    ),
    { maxLength: 60 },
  )
  .map((lines) => lines.join('\n'));

describe('text of others', () => {
  it('passes for none of our sections, whole or cut', () => {
    fc.assert(
      fc.property(hostile, hostile, fc.integer({ min: 1, max: 1500 }), (result, message, tokens) => {
        const { prompt } = buildPrompt({
          ...parts({ tokens, context: [], skills: [], notes: null }),
          dependencies: [{ id: 'd', title: 'D\n## How you work', branch: null, result }],
          feedback: [{ from: 'check', message, at: '' }],
        });
        const ours =
          /^(# Title|## (Done before this task|Feedback|How you work|Left out.*)|### (The answer of d|From check))$/;
        expect(headings(prompt).filter((one) => !ours.test(one))).toEqual([]);
        expect(headings(prompt).filter((one) => one === '## How you work')).toHaveLength(1);
        expect(prompt.isWellFormed()).toBe(true);
      }),
    );
  });
});

describe('fitTokens', () => {
  const some = fc.record({
    text: fc.string({ unit: 'binary', maxLength: 3000 }).map((text) => text.toWellFormed()),
    worth: fc.integer({ min: 0, max: 4 }),
    fixed: fc.boolean(),
  });
  it('keeps within the budget whatever may be cut, keeps the rest whole, breaks no character, and names what is missing', () => {
    fc.assert(
      fc.property(fc.array(some, { maxLength: 12 }), fc.integer({ min: 0, max: 4000 }), (given, tokens) => {
        const sections = given.map(({ text, worth, fixed }, n) => ({
          ...{ head: `<${n}>`, text, tail: `</${n}>`, worth },
          ...(fixed ? {} : { name: `part ${n}` }),
        }));
        const { text, left } = fitTokens(sections, tokens);
        expect(text.isWellFormed()).toBe(true);
        const cuttable = sections.filter(({ name, text: its }) => name && its !== '');
        const there = (n: number) => text.includes(`<${n}>`);
        for (const [n, one] of sections.entries()) {
          const whole = text.includes(`<${n}>${one.text}</${n}>`);
          if (one.text === '') continue;
          if (!one.name) expect(whole).toBe(true);
          else expect(left.some((told) => told.startsWith(`part ${n}: `))).toBe(!whole);
          if (there(n)) expect(text).toContain(`</${n}>`);
        }
        // Above the budget is only what may not be cut, with what is told of the rest.
        if (Buffer.byteLength(text) > tokens * 4) expect(left).toHaveLength(cuttable.length);
        if (left.length === 0) expect(text).not.toContain('Left out');
        expect(text.split('\n').filter((line) => /^- part \d+: (left out|cut to)/.test(line))).toHaveLength(
          left.length,
        );
      }),
    );
  });

  it('cuts the longest of equals first, and closes a block that it cut through', () => {
    const row = 'x'.repeat(99);
    const text = ['```sh', ...Array.from({ length: 30 }, () => row)].join('\n');
    const { text: fitted, left } = fitTokens(
      [
        { text: 'short '.repeat(80), name: 'short', worth: 1 },
        { text, name: 'long', worth: 1 },
        { text: 'The rules.' },
      ],
      400,
    );
    expect(left).toHaveLength(1);
    expect(left[0]).toMatch(/^long: cut to the first \d+ of /);
    expect(fitted).toMatch(/x\n```\n\[…\]\n\nThe rules\./);
  });
});
