// The tool by which an answer is given that must fit a schema: what does not fit is told at once, in the same run.
import { judgeAnswer, type Schema } from '../../../task/answer.ts';
import type { Tool } from './tool.ts';

export const ANSWER = 'final_answer';

export interface AnswerTool extends Tool {
  /** What was given and fits, as JSON; null: nothing yet. */
  readonly given: string | null;
}

/** null for a schema that cannot be put into a tool: its answer then comes as text. */
export function answerTool(schema: Schema): AnswerTool | null {
  // A tool takes an object. Other values are put into one, unless a reference would then point elsewhere.
  const plain = schema['type'] === 'object';
  if (!plain && JSON.stringify(schema).includes('"$ref"')) return null;
  const wrapped = { type: 'object', properties: { answer: schema }, required: ['answer'], additionalProperties: false };
  let given: string | null = null;
  return {
    name: ANSWER,
    description: 'Gives the final answer, which ends the work: call it last, and alone.',
    schema: plain ? schema : wrapped,
    run: async (input) => {
      const value = plain ? input : (input as { answer?: unknown } | null)?.answer;
      const judged = judgeAnswer('', schema, value ?? null);
      if ('problem' in judged) return { text: judged.problem, failed: true };
      given = JSON.stringify(judged.value);
      return { text: 'taken', failed: false };
    },
    get given() {
      return given;
    },
  };
}
