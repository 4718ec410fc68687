// The loop of the api agent: ask the model, do what it asks for, write down both, until it has an answer.
import { redact } from '../../secrets.ts';
import type { Tokens } from '../../task/terms.ts';
import { summary } from '../json.ts';
import type { Conversation } from './conversation.ts';
import { Fault } from './fault.ts';
import type { Job } from './job.ts';
import { type Answer, ask, type Call } from './model.ts';
import type { Router } from './router.ts';
import { tell } from './tell.ts';
import type { AnswerTool } from './tools/answer.ts';
import type { Done, Tool } from './tools/tool.ts';
import { REFUSED } from './tools/tools.ts';

/** Model calls of a run that does not say how many. */
const STEPS = 200;
/** How often in a row the model is asked to go on after an answer that is none. */
const NUDGES = 3;

const CUT_OFF = 'Your answer was cut off, since it grew too long. Go on where it stopped, in smaller pieces.';
const EMPTY = 'Your answer was empty. Go on with the work, or say what you did.';

export interface Run {
  job: Job;
  conversation: Conversation;
  router: Router;
  tools: Tool[];
  /** By which an answer is given that must fit a schema. */
  answer: AnswerTool | null;
  /** What the model calls used so far. */
  used: Tokens;
}

/** The final answer. Throws a `Fault` when there is none. */
export async function converse(run: Run): Promise<string> {
  const { job, conversation } = run;
  const steps = job.max_turns ?? STEPS;
  conversation.add({ role: 'user', content: job.prompt });
  let nudges = 0;
  for (let step = 0; step < steps; step++) {
    const answer = step === 0 ? await firstAnswer(run) : await answerOf(run);
    note(run, answer);
    if (answer.calls.length > 0) {
      nudges = 0;
      for (const call of answer.calls) await perform(run, call);
      if (typeof run.answer?.given === 'string') return run.answer.given;
      continue;
    }
    const wanting = nudgeFor(answer);
    if (wanting === null) return answer.text;
    if (++nudges > NUDGES) throw new Fault('failed', `the model gave no answer (${answer.finish})`);
    conversation.add({ role: 'user', content: wanting });
  }
  throw new Fault('max_turns', `no answer after ${steps} steps (max_turns)`);
}

const offered = ({ tools, answer }: Run): Tool[] => (answer ? [...tools, answer] : tools);

function answerOf(run: Run): Promise<Answer> {
  const tools = offered(run);
  const system = systemPrompt(run.job, tools, run.answer !== null);
  return run.router.ask((server) => ask(server, system, run.conversation.messages, tools));
}

/** Some servers refuse tools whose schema they cannot make a grammar of: the answer then comes as text, as the prompt says. */
async function firstAnswer(run: Run): Promise<Answer> {
  try {
    return await answerOf(run);
  } catch (thrown) {
    if (!run.answer || !(thrown instanceof Fault) || thrown.outcome !== 'failed') throw thrown;
    tell({ type: 'log', content: `${thrown.message}: asked again without the tool ${run.answer.name}` });
    run.answer = null;
    return answerOf(run);
  }
}

function note({ conversation, used }: Run, { message, reasoning, text, calls, usage }: Answer): void {
  if (message) conversation.add(message);
  for (const key of Object.keys(used) as (keyof Tokens)[]) used[key] += usage[key];
  tell({ type: 'usage', usage: used });
  if (reasoning.trim()) tell({ type: 'agent_thought', content: reasoning });
  if (text.trim() && calls.length > 0) tell({ type: 'agent_thought', content: text });
}

/** What to say to an answer that cannot be the last one; null when it can. */
function nudgeFor({ finish, text }: Answer): string | null {
  if (finish === 'content-filter') throw new Fault('failed', 'the model server filtered the answer out');
  if (finish === 'length') return CUT_OFF;
  return text.trim() ? null : EMPTY;
}

async function perform(run: Run, { id, name, input, invalid }: Call): Promise<void> {
  const { conversation } = run;
  tell({ type: 'tool_call', id, name, content: summary(input) });
  const tool = offered(run).find((one) => one.name === name);
  const done: Done = tool && !invalid ? await tool.run(input) : { text: REFUSED[name] ?? invalid ?? '', failed: true };
  // A command may find our keys, since it runs as the same user: neither the model nor a file is told of them.
  const text = redact(done.text || `there is no tool ${name}`);
  conversation.addResult(id, name, text, done.failed);
  tell({ type: 'tool_result', id, content: text, is_error: done.failed });
}

const systemPrompt = ({ worktree, system_prompt }: Job, tools: readonly Tool[], asTool: boolean): string =>
  [
    system_prompt.trim(),
    `You work alone in ${worktree}; nobody answers while you do. Paths are relative to it, and nothing outside of it can be reached. ` +
      `You have these tools: ${tools.map(({ name }) => name).join(', ')}. Look before you change, and check what you did. ` +
      (asTool
        ? 'When all is done, give your answer with the last of them: that ends your work.'
        : 'When all is done, say in a few sentences what you did, and call no tool: that ends your work.'),
  ]
    .filter(Boolean)
    .join('\n\n');
