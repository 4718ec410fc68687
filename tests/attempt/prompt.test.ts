// The prompt keeps within its budget: what matters least is cut first, the task and the rules never, and what was cut is told.
import { describe, expect, it } from 'vitest';
import { buildPrompt, type PromptParts } from '../../daemon/attempt/prompt.ts';

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
  skills: [{ name: 'review', dir: '/ws/skills/review', text: long('skill', 300) }],
  notes: { path: 'NOTES.md', text: long('note', 300) },
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
    expect(prompt).toContain('## Skill: review\n\nWhat it names lies in /ws/skills/review.\n\nskill 0');
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
    const { left } = buildPrompt(parts({ tokens: 1800 }));
    expect(left[0]).toMatch(/^notes \(NOTES\.md\): left out, \d+ characters$/);
    expect(left.find((one) => one.startsWith('skill'))).toMatch(
      /^skill review: (left out|cut from \d+ to \d+).*; all of it: \/ws\/skills\/review\/SKILL\.md$/,
    );
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
