// Who reviews a result, and what a reviewing agent answers: the schema, and its findings in the words that the next attempt reads.
import type { Schema } from './answer.ts';
import type { Review } from './terms.ts';

/** Roles whose agents review, and whether a person has the last word. */
export interface Reviewers {
  roles: string[];
  human: boolean;
}

/** The role that `review: agent` means. */
const REVIEWER = 'reviewer';

export function reviewersOf(review: Review): Reviewers {
  const named = [review].flat();
  const roles = named.filter((one) => one !== 'human' && one !== 'none');
  return {
    roles: [...new Set(roles.map((one) => (one === 'agent' ? REVIEWER : one)))],
    human: named.includes('human'),
  };
}

const SEVERITIES = ['blocker', 'major', 'minor', 'info'] as const;
type Severity = (typeof SEVERITIES)[number];

export interface Finding {
  file: string | null;
  line: number | null;
  severity: Severity;
  message: string;
}

export interface Verdict {
  verdict: 'accept' | 'reject';
  summary: string;
  findings: Finding[];
}

/** What may be missing may be null: some model services take only schemas of which every member is required. */
export const FINDINGS_SCHEMA: Schema = {
  type: 'array',
  items: {
    type: 'object',
    required: ['message'],
    properties: {
      file: { type: ['string', 'null'], description: 'from the top of the repository; null: no single file' },
      line: { type: ['integer', 'null'] },
      severity: { type: ['string', 'null'], description: `one of ${SEVERITIES.join(', ')}` },
      message: { type: 'string', description: 'what happens, how you know, what would have to be true instead' },
    },
  },
};

export const REVIEW_SCHEMA: Schema = {
  type: 'object',
  required: ['verdict', 'summary', 'findings'],
  properties: {
    verdict: { type: 'string', enum: ['accept', 'reject'] },
    summary: { type: 'string', description: 'why, in a few sentences' },
    findings: FINDINGS_SCHEMA,
  },
};

/** Words of other reviewing tools for the same. */
const OTHER_WORDS: Record<string, Severity> = {
  ...{ critical: 'blocker', fatal: 'blocker', high: 'major', error: 'major', severe: 'major' },
  ...{ medium: 'minor', moderate: 'minor', warning: 'minor', low: 'info', note: 'info', nit: 'info', style: 'info' },
};

/** A word that is not known counts as major: what it means is not for us to belittle. */
function severityOf(word: string | null | undefined): Severity {
  const plain = (word ?? '').trim().toLowerCase();
  return SEVERITIES.find((one) => one === plain) ?? OTHER_WORDS[plain] ?? 'major';
}

type Said = readonly (Partial<Omit<Finding, 'severity'>> & { severity?: string | null })[];

/** The findings of an answer that fits, with all their members and no others. */
export const findingsOf = (said: Said): Finding[] =>
  said.map(({ file, line, severity, message }) => ({
    ...{ file: file ?? null, line: line ?? null, severity: severityOf(severity), message: message ?? '' },
  }));

/** The verdict of an answer that fits. */
export function verdictOf(value: unknown): Verdict {
  const { verdict, summary, findings } = value as Omit<Verdict, 'findings'> & { findings: Said };
  return { verdict, summary, findings: findingsOf(findings) };
}

/** What the next attempt is told: who rejects first, of each the worst first. */
export function reviewFeedback(reviews: readonly (Verdict & { role: string })[]): string {
  const rank = ({ verdict }: Verdict) => (verdict === 'reject' ? 0 : 1);
  return [...reviews]
    .sort((a, b) => rank(a) - rank(b))
    .map(({ role, verdict, summary, findings }) => {
      const said = `The ${role} ${verdict === 'reject' ? 'rejects' : 'accepts'} it: ${summary.trim()}`;
      return [said, findingLines(findings).join('\n')].filter(Boolean).join('\n\n');
    })
    .join('\n\n');
}

/** `- major, src/a.ts:3: what is wrong`, the worst first. */
export const findingLines = (findings: readonly Finding[]): string[] =>
  [...findings]
    .sort((a, b) => SEVERITIES.indexOf(a.severity) - SEVERITIES.indexOf(b.severity))
    .map(({ file, line, severity, message }) => {
      const place = file ? `, ${file}${line === null ? '' : `:${line}`}` : '';
      return `- ${severity}${place}: ${message.trim().replaceAll('\n', '\n  ')}`;
    });
