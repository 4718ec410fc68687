// Reads what aider prints, which is plain text with a few fixed lines, and judges the end of the run by those alone.
import type { Outcome } from '../../task/terms.ts';
import { clip, EVENT, log, OUTPUT, oneLine } from '../json.ts';
import { type AgentEvent, NO_USAGE, type Reader, type RunEnd, type Usage, type Verdict } from '../port.ts';
import { howItEnded, lastLine } from '../stream.ts';
import { plus } from '../usage.ts';

/** Its conversation, beside the runs of a task. Also the name of the session: there is one a task. */
export const CHAT_FILE = 'aider.chat.md';
/** The last line of each message: what is printed before it is the message itself. */
export const END_OF_TASK = '<!-- end of the task -->';

/** `Tokens: 1.2k sent, 3k cache write, 2k cache hit, 50 received.`, for each answer, then the cost where it knows prices. */
const TOKENS =
  /^Tokens: ([\d.]+k?) sent(?:, ([\d.]+k?) cache write)?(?:, ([\d.]+k?) cache hit)?, ([\d.]+k?) received\.(?:\s|$)/;
const COST = /(?:^| )Cost: \$[\d.]+ message, \$([\d.]+) session\.$/;
const EDIT = /^(?:Applied edit to|Did not apply edit to) (.+?)(?: \(--dry-run\))?$/;
/** A failed call, by the class of litellm's exception. */
const FAILED = /^litellm\.(?:exceptions\.)?([A-Z]\w+): /;
const OVERFLOW = /^Model \S+ has hit a token limit!$/;
const RETRY = /^Retrying in [\d.]+ seconds\.\.\.$/;
const NO_KEY = 'No LLM model was specified and no API keys were provided.';
/** What it tells of itself before the conversation. */
const BANNER = /^(?:Aider v|(?:Main|Weak|Editor) model: |Model: |Git repo: |Repo-map: |Added .* to the chat|Restored )/;

const BY_CLASS: Record<string, Outcome> = {
  AuthenticationError: 'auth',
  PermissionDeniedError: 'auth',
  RateLimitError: 'rate_limited',
  RouterRateLimitError: 'rate_limited',
  BudgetExceededError: 'billing',
  ContextWindowExceededError: 'context_exceeded',
  ...Object.fromEntries(
    [
      ...['APIConnectionError', 'APIError', 'APIResponseValidationError', 'AzureOpenAIError', 'BadGatewayError'],
      ...['InternalServerError', 'OpenAIError', 'ServiceUnavailableError', 'Timeout'],
    ].map((name) => [name, 'transient' as const]),
  ),
};

/** All that a reader remembers. */
interface State {
  began: boolean;
  /** The end of the message was printed. */
  asked: boolean;
  model: string | null;
  /** What was printed since the message or the last answer: an answer, as long as nothing says otherwise. */
  text: string;
  answer: string;
  /** The last failed call; an answer after it makes up for it. */
  failure: { outcome: Outcome; text: string } | null;
  answered: boolean;
  edits: number;
  usage: Usage;
}

export class AiderReader implements Reader {
  #s: State = {
    ...{ began: false, asked: false, model: null, text: '', answer: '', failure: null, answered: false, edits: 0 },
    usage: { ...NO_USAGE },
  };

  readonly openTools = 0;
  /** It may go on after an answer, and it leaves by itself. */
  readonly finished = false;

  get state(): unknown {
    return this.#s;
  }
  restore(state: unknown): void {
    this.#s = { ...(state as State) };
  }
  get spent(): Usage {
    return this.#s.usage;
  }

  line(text: string): AgentEvent[] {
    const line = text.trimEnd();
    if (line === END_OF_TASK && !this.#s.asked) return this.#asked();
    const events = line.startsWith('Aider v') ? this.#began() : [];
    // With a server of its own a model is called openai/NAME.
    this.#s.model ??= /^(?:Main model|Model): (?:openai\/)?(\S+)/.exec(line)?.[1] ?? null;
    if (this.#count(line)) return [...events, log(line)];
    const edited = EDIT.exec(line)?.[1];
    if (edited) return [...events, ...this.#edited(edited, line)];
    const failure = this.#failure(line);
    if (failure) {
      this.#s = { ...this.#s, failure, answered: false, text: '' };
      return [...events, { type: 'error', content: clip(line, EVENT), outcome: failure.outcome }];
    }
    if (RETRY.test(line)) this.#s.text = '';
    else if (!BANNER.test(line)) this.#s.text = clip(`${this.#s.text}${line}\n`, OUTPUT);
    return line === '' ? events : [...events, log(line)];
  }

  #began(): AgentEvent[] {
    if (this.#s.began) return [];
    this.#s.began = true;
    return [{ type: 'session', session: CHAT_FILE }];
  }

  /** All that was printed so far was the question: whatever it speaks of did not happen. */
  #asked(): AgentEvent[] {
    this.#s = { ...this.#s, asked: true, text: '', answer: '', failure: null, answered: false, usage: { ...NO_USAGE } };
    return [];
  }

  #count(line: string): boolean {
    const tokens = TOKENS.exec(line);
    const cost = COST.exec(line)?.[1];
    if (tokens) {
      const [sent, cache_write, cache_read, output] = tokens.slice(1).map(amount) as [number, number, number, number];
      const input = Math.max(0, sent - cache_write - cache_read);
      this.#s.usage = plus(this.#s.usage, { input, output, cache_read, cache_write, cost_usd: null });
      const answer = this.#s.text.trim();
      this.#s = { ...this.#s, answer: answer || this.#s.answer, text: '', failure: null, answered: true };
    }
    if (cost !== undefined) this.#s.usage = { ...this.#s.usage, cost_usd: Number(cost) };
    return tokens !== null || (cost !== undefined && line.startsWith('Cost: '));
  }

  #edited(path: string, line: string): AgentEvent[] {
    this.#s.edits += 1;
    const id = `edit-${this.#s.edits}`;
    return [
      { type: 'tool_call', id, name: 'edit', content: oneLine(path) },
      { type: 'tool_result', id, content: oneLine(line) },
    ];
  }

  #failure(line: string): State['failure'] {
    if (OVERFLOW.test(line)) return { outcome: 'context_exceeded', text: line };
    if (line === NO_KEY) return { outcome: 'auth', text: line };
    const name = FAILED.exec(line)?.[1];
    if (!name) return null;
    // OpenRouter tells an empty account by the code of its answer alone.
    const empty = name === 'APIError' && /"code":\s*402\b/.test(line);
    return { outcome: empty ? 'billing' : (BY_CLASS[name] ?? 'failed'), text: oneLine(line) };
  }

  conclude(end: RunEnd): Verdict {
    const { answered, failure, answer, model, usage } = this.#s;
    const ok = answered && failure === null && end.code === 0;
    // It exits with 0 though every call has failed. When it was killed, what it printed before says nothing of that.
    const failed = failure !== null && (end.code === 0 || failure.text === NO_KEY) ? failure : null;
    return {
      outcome: ok ? 'ok' : (failed?.outcome ?? 'failed'),
      reason: ok ? '' : oneLine(failed ? `aider: ${failed.text}` : this.#reason(end)),
      output: answer,
      session: this.#s.began ? CHAT_FILE : null,
      ...{ model, usage, artifacts: [], outputs: {}, question: null, retry_at: null },
    };
  }

  #reason(end: RunEnd): string {
    if (end.code === 0) return 'aider ended without an answer';
    const said = lastLine(this.#s.text) || lastLine(end.stderr);
    return `aider did not succeed: ${howItEnded(end).replace('the agent ', '')}${said ? `: ${said}` : ''}`;
  }
}

/** `950`, `1.2k`, `12k`; a part that is not told is 0. */
const amount = (text: string | undefined): number =>
  text === undefined ? 0 : Math.round(Number.parseFloat(text) * (text.endsWith('k') ? 1000 : 1));
