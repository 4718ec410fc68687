// What is wrong with a workflow: every mistake with its place, told at once, and nothing is filed.
import { TowpathError } from '../errors.ts';

export interface Place {
  line: number;
  column: number;
}

export interface Problem extends Place {
  reason: string;
}

export class ValidationError extends TowpathError {
  override name = 'ValidationError';
  readonly file: string;
  /** In the order of the file. */
  readonly problems: readonly Problem[];

  constructor(file: string, problems: readonly Problem[]) {
    const sorted = [...problems].sort((a, b) => a.line - b.line || a.column - b.column);
    super('workflow_refused', sorted.map((one) => lineOf(file, one)).join('\n'));
    this.file = file;
    this.problems = sorted;
  }
}

/** One mistake, as editors know how to go to it. */
export const lineOf = (file: string, { line, column, reason }: Problem): string =>
  `${file}:${line}:${column}: ${reason}`;
