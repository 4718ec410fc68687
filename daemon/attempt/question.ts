// What an agent asks a person: by a QUESTION.md in its worktree or by the tool `ask`; and the answer, by a person or by default.
import {
  closeSync,
  copyFileSync,
  existsSync,
  lstatSync,
  mkdirSync,
  openSync,
  readSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { errno, TowpathError } from '../errors.ts';
import { redact } from '../secrets.ts';
import { headChars } from '../task/cut.ts';
import type { State, StateChange } from '../task/terms.ts';
import { addFeedback } from './ending.ts';
import type { Work } from './work.ts';

/** The file by which an agent asks, at the top of its worktree and then in the folder of its run. */
const QUESTION_FILE = 'QUESTION.md';
/** What the tool `ask` leaves in the folder of the run. */
const TOLD_FILE = 'asked.md';
/** More than this of a question is not read. */
export const QUESTION_BYTES = 16 * 1024;
/** What is told of the question together with its answer, and how long an answer may be, characters. */
const QUOTED_CHARS = 1500;
const ANSWER_CHARS = 6000;

/** Whether a file of that name lies there already: then it is no question of the agent that begins now. */
export const hasQuestionFile = (worktree: string): boolean => statOf(join(worktree, QUESTION_FILE)) !== undefined;

/**
 * What a run asked, or null. A QUESTION.md (`fresh`: none was there before) goes into the run's folder, before anything is
 * committed. May be done again after a kill: what lies in the run's folder was asked.
 */
export function takeQuestion(run: string, work: Work | null, fresh: boolean): string | null {
  const kept = join(run, QUESTION_FILE);
  // Once its work is captured, the tree is the user's again.
  if (fresh && work && !work.captured && !existsSync(kept)) takeOut(join(work.worktree, QUESTION_FILE), kept);
  const asked = [textOf(join(run, TOLD_FILE)), textOf(kept)].filter(Boolean);
  return asked.length > 0 ? asked.join('\n\n') : null;
}

/** Keeps what the tool `ask` was asked, for the end of the run; a second question comes after the first. */
export function keepQuestion(run: string, question: string): void {
  const path = join(run, TOLD_FILE);
  write(path, [textOf(path), question].filter(Boolean).join('\n\n'));
}

function takeOut(from: string, to: string): void {
  if (!statOf(from)?.isFile()) return;
  mkdirSync(dirname(to), { recursive: true, mode: 0o700 });
  try {
    renameSync(from, to);
  } catch (thrown) {
    if (errno(thrown) !== 'EXDEV') throw thrown;
    copyFileSync(from, `${to}.tmp`);
    renameSync(`${to}.tmp`, to);
    rmSync(from);
  }
}

const statOf = (path: string) => lstatSync(path, { throwIfNoEntry: false });

/** What a file in the run's folder asks. Of what was put there no secret stays, and no more than is read. */
function textOf(path: string): string {
  if (!existsSync(path)) return '';
  const bytes = Buffer.alloc(QUESTION_BYTES + 1);
  const fd = openSync(path, 'r');
  let length = 0;
  try {
    length = readSync(fd, bytes);
  } finally {
    closeSync(fd);
  }
  const read = bytes.toString('utf8', 0, Math.min(length, QUESTION_BYTES));
  // A character that was cut in two, and what is no text, is dropped.
  const text = redact(read.replaceAll(/\uFFFD|\0/g, ''));
  const told = length > QUESTION_BYTES ? `${text.trimEnd()} …` : text;
  if (told !== read) write(path, told);
  return told.trim();
}

function write(path: string, text: string): void {
  writeFileSync(`${path}.tmp`, text, { mode: 0o600, flush: true });
  renameSync(`${path}.tmp`, path);
}

/** The state of a task whose question is answered: its next run is told. Throws `wrong_state` when it asked none, `bad_usage` for no answer. */
export function answered(
  task: { id: string; state: State },
  message: string,
  from: 'answer' | 'default' = 'answer',
): StateChange {
  const { id, state } = task;
  if (state.waits_for !== 'answer')
    throw new TowpathError(
      'wrong_state',
      `"${id}" asked no question: ${state.reason ?? 'no reason given'}`,
      `see "towpath why ${id}"`,
    );
  const answer = message.trim();
  if (answer === '') throw new TowpathError('bad_usage', 'the answer is empty', `towpath answer ${id} -m "…"`);
  if (answer.length > ANSWER_CHARS)
    throw new TowpathError(
      'bad_usage',
      `the answer has ${answer.length} characters, ${ANSWER_CHARS} are told`,
      'put it into a file and name that',
    );
  const question = state.question ?? '';
  const quoted = question.length > QUOTED_CHARS ? `${headChars(question, QUOTED_CHARS)} …` : question;
  // The last line is the same for both: programs look for it.
  const lead = from === 'default' ? 'Nobody answered in time, so this is the answer by default.\n' : '';
  const feedback = addFeedback(
    state.feedback,
    { feedback: `You asked: ${quoted}\n\n${lead}The answer: ${answer}`, reason: '', from },
    Date.now(),
    state.runs ?? null,
  );
  return { feedback, waits_for: undefined, question: undefined, asked_at: undefined, reason: undefined };
}
