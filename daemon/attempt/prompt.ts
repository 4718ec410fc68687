// What the agent is told: the task, where it works, what came before, what will be checked. Kept in the run's folder as it was sent.
import { askForJson, type Schema } from '../task/answer.ts';
import type { Feedback } from '../task/terms.ts';
import { fitTokens, type Section } from './room.ts';
import type { Skill } from './skills.ts';

export interface PromptParts {
  title: string;
  body: string;
  branch: string | null;
  base: string | null;
  worktree: string;
  feedback: Feedback[];
  /** Results of the tasks that this one depends on. */
  dependencies: { id: string; title: string; branch: string | null; result: string }[];
  /** Text that hooks added. */
  context: string[];
  checks: string[];
  protect: string[];
  schema: Schema | null;
  /** It reviews or fixes: nothing that it changes is kept. */
  passing: boolean;
  skills: Skill[];
  /** The notes of the project, and where they lie. */
  notes: { path: string; text: string } | null;
  /** How long it may be. What is the task's own is never cut. */
  tokens: number;
  /** The session goes on: the agent knows the task already. */
  resumed: boolean;
}

/** Earlier feedback that is told; older entries rarely help and always cost. */
const FEEDBACK_KEPT = 5;

/** The prompt of one run, as markdown, and what did not fit into it. Sections without content are left out. */
export function buildPrompt(parts: PromptParts): { prompt: string; left: string[] } {
  const news: Section[] = [
    { text: feedbackSection(parts), name: 'feedback', worth: 5 },
    {
      text: section('From the hooks of this workspace', parts.context.join('\n\n')),
      name: 'text of hooks',
      worth: 4,
    },
  ];
  const own: Section[] = parts.resumed
    ? [
        {
          text: 'You worked on this task before and your session goes on. Look at the state of the working tree first.',
        },
        ...news,
      ]
    : [
        { text: task(parts) },
        ...parts.skills.map(skillSection),
        { text: dependencySection(parts), name: 'results of dependencies', worth: 2 },
        notesSection(parts),
        ...news,
      ];
  const last = [rules(parts), parts.schema ? section('Your final answer', askForJson(parts.schema)) : ''];
  const { text, left } = fitTokens([...own, ...last.map((one) => ({ text: one }))], parts.tokens);
  const told = section('Left out, since it would be too long', left.map((one) => `- ${one}`).join('\n'));
  return { prompt: `${text}${told && `\n\n${told}`}\n`, left };
}

const skillSection = ({ name, dir, text }: Skill): Section => ({
  text: section(`Skill: ${name}`, `What it names lies in ${dir}.\n\n${text}`),
  name: `skill ${name}`,
  worth: 3,
  whole: `${dir}/SKILL.md`,
});

const notesSection = ({ notes }: PromptParts): Section =>
  notes
    ? { text: section('Notes of this project', notes.text), name: `notes (${notes.path})`, worth: 1 }
    : { text: '' };

const section = (heading: string, text: string): string => (text.trim() ? `## ${heading}\n\n${text.trim()}` : '');

function task({ title, body }: PromptParts): string {
  const text = body.trim();
  return text.startsWith('# ') ? text : `# ${title}\n\n${text}`;
}

function dependencySection({ dependencies }: PromptParts): string {
  const items = dependencies.map(({ id, title, branch, result }) => {
    const where = branch ? ` (its branch ${branch} is merged in)` : '';
    return `- ${id}: ${title}${where}${result ? `\n  ${result.split('\n').join('\n  ')}` : ''}`;
  });
  return section('Done before this task', items.join('\n'));
}

function feedbackSection({ feedback, resumed }: PromptParts): string {
  const told = feedback.slice(-FEEDBACK_KEPT).map(({ from, message, attempt }) => {
    const which = attempt === undefined ? '' : ` on attempt ${attempt}`;
    return `### From ${from}${which}\n\n${message}`;
  });
  const lead = resumed ? '' : 'An earlier attempt at this task was not accepted. Its work is in the working tree.\n\n';
  return section('Feedback', told.length ? lead + told.join('\n\n') : '');
}

function rules({ worktree, branch, base, checks, protect, passing }: PromptParts): string {
  const lines = [
    `- Work in ${worktree} and change nothing outside it.`,
    branch
      ? `- You are on the branch ${branch}${base ? `, made from ${base.slice(0, 12)}` : ''}. Stay on it; do not push.`
      : '',
    '- Nobody can answer questions while you work. If you cannot go on without a person, write what you need to know into QUESTION.md at the top of the working tree and stop: your next turn brings the answer.',
    passing
      ? '- Change nothing that is to last: this working tree is thrown away.'
      : '- What you leave uncommitted is committed for you.',
    checks.length
      ? `- Afterwards these checks must pass:\n${checks.map((check) => `  - \`${check}\``).join('\n')}`
      : '',
    protect.length ? `- Do not change files that match: ${protect.join(', ')}` : '',
  ];
  return section('How you work', lines.filter(Boolean).join('\n'));
}

/** The system prompt: the role's text. */
export const buildSystemPrompt = (rolePrompt: string): string => rolePrompt.trim();
