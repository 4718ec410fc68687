// Reads the stream-json output of Gemini CLI line by line and judges the end of the run.
import { stripVTControlCharacters } from 'node:util';
import type { Outcome } from '../../task/terms.ts';
import { clip, EVENT, isJson, type Json, log, num, OUTPUT, oneLine, str, summary } from '../json.ts';
import { Memory } from '../memory.ts';
import { type AgentEvent, NO_USAGE, type Reader, type RunEnd, type Usage, type Verdict } from '../port.ts';
import { outcomeOf, waitOf, wordsOf } from './verdict.ts';

const MAX_OPEN = 1000;
/** Whoever waits longer than this for its next try only holds a slot, ms. */
const LONG_MS = 60_000;

const AUTH_HELP = 'run "gemini" and log in, or set GEMINI_API_KEY';

/** All that a reader remembers. */
interface State {
  session: string | null;
  model: string | null;
  open: Set<string>;
  /** What the model says just now; it comes in pieces. */
  saying: string;
  /** What it said last, and whether it did anything but speak since. */
  lastText: string;
  answered: boolean;
  /** The last trouble that it told of, as long as the model did not go on after it. */
  trouble: string | null;
  result: { ok: boolean; error: string; at: number } | null;
  usage: Usage;
  /** When a wait that is too long would end, ms since the epoch. */
  waits_until: number | null;
}

/** Of one that has read nothing. */
const begin = (): State => ({
  ...{ session: null, model: null, open: new Set(), saying: '', lastText: '', answered: false, trouble: null },
  ...{ result: null, usage: { ...NO_USAGE }, waits_until: null },
});

export class GeminiReader extends Memory<State> implements Reader {
  constructor() {
    super(begin());
  }

  get finished(): boolean {
    return this.s.result !== null;
  }

  get spent(): Usage {
    return this.s.usage;
  }

  get hopeless(): boolean {
    return this.s.waits_until !== null;
  }

  line(text: string): AgentEvent[] {
    if (text.trim() === '') return [];
    try {
      const event: unknown = JSON.parse(text);
      return isJson(event) ? this.#event(event) : [log(text)];
    } catch {
      return [log(text)];
    }
  }

  /** Retries are told on stderr alone. */
  errorLine(text: string): AgentEvent[] {
    const wait = /\bRetrying after (\d{1,9})ms\.\.\.$/.exec(text);
    if (wait && Number(wait[1]) > LONG_MS) this.s.waits_until = Date.now() + Number(wait[1]);
    return wait || /^Attempt \d+ failed\b/.test(text) ? [log(oneLine(text))] : [];
  }

  #event(event: Json): AgentEvent[] {
    if (event['type'] === 'message') return this.#message(event);
    const said = this.#said();
    switch (event['type']) {
      case 'init':
        return [...said, ...this.#init(event)];
      case 'tool_use':
        return [...said, this.#call(event)];
      case 'tool_result':
        return [...said, this.#answer(event)];
      case 'error':
        this.s.trouble = str(event['message']) ?? 'an error without words';
        return [...said, { type: 'error', content: clip(this.s.trouble, EVENT) }];
      case 'result':
        return [...said, this.#ended(event)];
      default:
        return said;
    }
  }

  #init(event: Json): AgentEvent[] {
    const [session, model] = [str(event['session_id']), str(event['model'])];
    this.s.model = model;
    if (!session || session === this.s.session) return [];
    this.s.session = session;
    return [{ type: 'session', session, ...(model ? { model } : {}) }];
  }

  #message(event: Json): AgentEvent[] {
    // What we said ourselves comes back as a message of the user.
    if (event['role'] !== 'assistant') return [];
    const content = str(event['content']) ?? '';
    if (this.s.saying.length < OUTPUT) this.s.saying += content;
    this.s.answered ||= content.trim() !== '';
    this.s.trouble = null;
    this.s.waits_until = null;
    return [];
  }

  #said(): AgentEvent[] {
    const text = this.s.saying;
    this.s.saying = '';
    if (text.trim() === '') return [];
    this.s.lastText = clip(text, OUTPUT);
    return [{ type: 'agent_thought', content: clip(text, EVENT) }];
  }

  #call(event: Json): AgentEvent {
    const id = str(event['tool_id']);
    if (id && this.s.open.size < MAX_OPEN) this.s.open.add(id);
    this.s.answered = false;
    this.s.trouble = null;
    this.s.waits_until = null;
    const name = str(event['tool_name']) ?? '?';
    return { type: 'tool_call', ...(id ? { id } : {}), name, content: summary(event['parameters']) };
  }

  #answer(event: Json): AgentEvent {
    const id = str(event['tool_id']);
    if (id) this.s.open.delete(id);
    const failed = event['status'] === 'error';
    const error = isJson(event['error']) ? str(event['error']['message']) : null;
    const content = clip(str(event['output']) ?? error ?? '', EVENT);
    return { type: 'tool_result', ...(id ? { id } : {}), content, ...(failed ? { is_error: true } : {}) };
  }

  #ended(event: Json): AgentEvent {
    this.s.open.clear();
    const error = isJson(event['error']) ? (str(event['error']['message']) ?? '') : '';
    const at = Date.parse(str(event['timestamp']) ?? '');
    this.s.result = { ok: event['status'] === 'success', error, at: Number.isFinite(at) ? at : Date.now() };
    if (isJson(event['stats'])) this.s.usage = usageOf(event['stats']);
    const success = this.s.result.ok && this.s.answered && this.s.trouble === null;
    return { type: 'result', content: clip(error ? wordsOf(error) : this.s.lastText, EVENT), success };
  }

  conclude(end: RunEnd): Verdict {
    const outcome = this.#outcome(end);
    return {
      outcome,
      reason: outcome === 'ok' ? '' : oneLine(this.#reason(end, outcome)),
      output: this.s.saying.trim() ? clip(this.s.saying, OUTPUT) : this.s.lastText,
      // Without the first event no session was begun or found.
      session: this.s.session,
      model: this.s.model,
      usage: this.s.usage,
      artifacts: [],
      outputs: {},
      question: null,
      retry_at: outcome === 'rate_limited' ? this.#retryAt(end) : null,
    };
  }

  #outcome(end: RunEnd): Outcome {
    const { result, answered, trouble, waits_until } = this.s;
    if (!result) return waits_until === null ? outcomeOf(end.code, null) : 'rate_limited';
    if (!result.ok) return trouble === null || result.error ? outcomeOf(end.code, result.error) : 'failed';
    if (end.code !== 0 || trouble !== null) return 'failed';
    // It says success though nothing came after the last tool: so it ends when the next call would not fit into the context.
    return answered ? 'ok' : 'context_exceeded';
  }

  #retryAt(end: RunEnd): string | null {
    const { result, waits_until } = this.s;
    if (!result) return waits_until === null ? null : iso(waits_until);
    const wait = waitOf(result.error, end.stderr);
    return wait === null ? null : iso(result.at + wait * 1000);
  }

  #reason(end: RunEnd, outcome: Outcome): string {
    const { result, trouble } = this.s;
    const how = end.signal ? `signal ${end.signal}` : `exit ${end.code ?? 'unknown'}`;
    const tail = lastWords(end.stderr);
    if (outcome === 'auth')
      return `gemini cannot log in: ${clip(oneLine(wordsOf(result?.error || tail || how)), 350)}: ${AUTH_HELP}`;
    if (!result && outcome === 'rate_limited') return 'gemini: the service wants to be asked again much later';
    if (!result) return `gemini ended without a result (${how})${tail ? `: ${clip(tail, 350)}` : ''}`;
    if (result.error) return `gemini: ${clip(oneLine(wordsOf(result.error)), 400)}`;
    if (trouble) return `gemini: ${clip(oneLine(trouble), 400)}`;
    if (outcome === 'context_exceeded') return 'gemini: the conversation no longer fits into the context of the model';
    return `gemini gave a result and then ended badly (${how})`;
  }
}

function iso(ms: number): string | null {
  return Math.abs(ms) < 8e15 ? new Date(ms).toISOString() : null;
}

/** The last lines on stderr that say what went wrong: without greetings, stacks, and the help that follows a refused flag. */
function lastWords(stderr: string): string {
  const [said = ''] = stripVTControlCharacters(stderr).split(/^Usage: gemini /m);
  const lines = said.split('\n').filter((line) => /\S/.test(line) && !NOISE.test(line));
  return oneLine(lines.slice(-3).join(' '));
}
const NOISE = /^(?:Warning: |YOLO mode |Ripgrep is |\[STARTUP\]|\s+at )/;

/** `input_tokens` holds the cached ones too, `input` does not; thoughts are in the total alone, and cost as output does. */
function usageOf(stats: Json): Usage {
  const [input, all] = [num(stats['input_tokens']), num(stats['total_tokens'])];
  return {
    input: num(stats['input']),
    output: Math.max(num(stats['output_tokens']), all - input),
    cache_read: num(stats['cached']),
    cache_write: 0,
    cost_usd: null,
  };
}
