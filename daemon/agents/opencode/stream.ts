// Reads the JSON events of `opencode run`, with what our plugin adds to them, and judges the end of the run.
import { stripVTControlCharacters } from 'node:util';
import type { Outcome } from '../../task/terms.ts';
import { clip, EVENT, isJson, type Json, log, num, OUTPUT, oneLine, str, summary } from '../json.ts';
import { Memory } from '../memory.ts';
import { type AgentEvent, NO_USAGE, type Reader, type RunEnd, type Usage, type Verdict } from '../port.ts';
import { plus } from '../usage.ts';
import { outcomeOf, retryOf, wordsOf } from './verdict.ts';

const MAX_OPEN = 1000;
/** Whoever waits longer than this for its next try only holds a slot, ms. It waits 30 s at most of its own accord. */
const LONG_MS = 60_000;
/** It compacts a conversation that does not fit, and again if that did not help, for ever. */
const MAX_OVERFLOWS = 3;

const AUTH_HELP = 'run "opencode auth login", or set the key of the provider';

/** All that a reader remembers. */
interface State {
  session: string | null;
  model: string | null;
  open: Set<string>;
  lastText: string;
  /** The reason of the last step that ended, as long as nothing came after it. */
  ended: string | null;
  error: { error: Json; at: number } | null;
  /** Overflows in a row; the step after one is the summary, and counts for no answer. */
  overflows: number;
  summing: boolean;
  idle: boolean;
  waits_until: number | null;
  usage: Usage;
}

/** Of one that has read nothing. */
const begin = (): State => ({
  ...{ session: null, model: null, open: new Set(), lastText: '', ended: null, error: null, overflows: 0 },
  ...{ summing: false, idle: false, waits_until: null, usage: { ...NO_USAGE } },
});

export class OpencodeReader extends Memory<State> implements Reader {
  constructor() {
    super(begin());
  }

  get finished(): boolean {
    return this.s.idle && this.#answered;
  }

  get spent(): Usage {
    // No price is known for a model that costs nothing at all.
    return { ...this.s.usage, cost_usd: this.s.usage.cost_usd || null };
  }

  get hopeless(): boolean {
    return this.s.waits_until !== null || this.s.overflows >= MAX_OVERFLOWS;
  }

  get #answered(): boolean {
    return this.s.ended === 'stop' && !this.s.summing && this.s.error === null;
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

  /** What it would have asked a person for is refused, and told on stderr alone. */
  errorLine(text: string): AgentEvent[] {
    return REFUSED.test(text) ? [log(oneLine(stripVTControlCharacters(text)))] : [];
  }

  #event(event: Json): AgentEvent[] {
    if (event['type'] === 'towpath') return this.#told(event);
    const part = isJson(event['part']) ? event['part'] : {};
    const named = this.#named(str(event['sessionID']));
    switch (event['type']) {
      case 'step_start':
        this.#goesOn();
        return named;
      case 'text':
        return [...named, ...this.#text(part)];
      case 'tool_use':
        return [...named, ...this.#tool(part)];
      case 'step_finish':
        return [...named, ...this.#finish(part)];
      case 'error':
        return [...named, ...this.#error(event)];
      default:
        return named;
    }
  }

  /** What the plugin tells: the session and the calls as they begin, waits, and what helpers use. */
  #told(event: Json): AgentEvent[] {
    const { status, call, part } = event;
    this.s.model = str(event['model']) ?? this.s.model;
    if (isJson(call)) return this.#call(str(call['id']), str(call['tool']), call['input']);
    if (isJson(part)) this.#count(part);
    if (isJson(status)) return this.#status(status);
    return this.#named(str(event['session']));
  }

  #status(status: Json): AgentEvent[] {
    this.s.idle = status['type'] === 'idle';
    if (status['type'] !== 'retry') return [];
    const wait = num(status['next']) - Date.now();
    if (wait > LONG_MS) this.s.waits_until = num(status['next']);
    const why = oneLine(str(status['message']) ?? '');
    return [
      log(`model call failed (${why}), try ${num(status['attempt']) + 1} in ${Math.max(0, Math.round(wait / 1000))}s`),
    ];
  }

  #named(session: string | null): AgentEvent[] {
    if (!session || session === this.s.session) return [];
    this.s.session = session;
    return [{ type: 'session', session, ...(this.s.model ? { model: this.s.model } : {}) }];
  }

  #goesOn(): void {
    this.s.ended = null;
    this.s.waits_until = null;
    if (!this.s.summing) this.s.error = null;
  }

  #text(part: Json): AgentEvent[] {
    const text = str(part['text']) ?? '';
    // What opencode says in our place after a summary: from here on the model works again.
    if (part['synthetic'] === true) {
      this.s.summing = false;
      this.s.ended = null;
      return [log('the conversation was compacted')];
    }
    if (!this.s.summing && text.trim()) this.s.lastText = clip(text, OUTPUT);
    return text.trim() ? [{ type: 'agent_thought', content: clip(text, EVENT) }] : [];
  }

  #call(id: string | null, tool: string | null, input: unknown): AgentEvent[] {
    if (id !== null && this.s.open.has(id)) return [];
    if (id !== null && this.s.open.size < MAX_OPEN) this.s.open.add(id);
    return [{ type: 'tool_call', ...(id ? { id } : {}), name: tool ?? '?', content: summary(input) }];
  }

  #tool(part: Json): AgentEvent[] {
    this.#progress();
    const id = str(part['callID']);
    const state = isJson(part['state']) ? part['state'] : {};
    const called = this.#call(id, str(part['tool']), state['input']);
    if (id) this.s.open.delete(id);
    const exit = isJson(state['metadata']) ? state['metadata']['exit'] : 0;
    const failed =
      state['status'] === 'error' || part['tool'] === 'invalid' || (typeof exit === 'number' && exit !== 0);
    const content = clip(str(state['output']) ?? str(state['error']) ?? '', EVENT);
    return [...called, { type: 'tool_result', ...(id ? { id } : {}), content, ...(failed ? { is_error: true } : {}) }];
  }

  #progress(): void {
    this.#goesOn();
    if (this.s.summing) return;
    this.s.overflows = 0;
  }

  #finish(part: Json): AgentEvent[] {
    if (!this.s.summing) this.#progress();
    this.#count(part);
    this.s.ended = str(part['reason']);
    return this.#answered ? [{ type: 'result', content: clip(this.s.lastText, EVENT), success: true }] : [];
  }

  #count(part: Json): void {
    const tokens = isJson(part['tokens']) ? part['tokens'] : {};
    const cache = isJson(tokens['cache']) ? tokens['cache'] : {};
    this.s.usage = plus(this.s.usage, {
      input: num(tokens['input']),
      output: num(tokens['output']) + num(tokens['reasoning']),
      cache_read: num(cache['read']),
      cache_write: num(cache['write']),
      cost_usd: num(part['cost']),
    });
  }

  #error(event: Json): AgentEvent[] {
    const error = isJson(event['error']) ? event['error'] : {};
    const overflow = error['name'] === 'ContextOverflowError';
    if (overflow) this.s.overflows += 1;
    this.s.summing = overflow;
    this.s.ended = null;
    this.s.error = { error, at: num(event['timestamp']) || Date.now() };
    return [{ type: 'error', content: clip(wordsOf(error), EVENT) }];
  }

  conclude(end: RunEnd): Verdict {
    const outcome = this.#outcome(end);
    return {
      outcome,
      reason: outcome === 'ok' ? '' : oneLine(this.#reason(end, outcome)),
      output: this.s.lastText,
      session: this.s.session,
      model: this.s.model,
      usage: this.spent,
      artifacts: [],
      outputs: {},
      question: null,
      retry_at: outcome === 'rate_limited' ? this.#retryAt() : null,
    };
  }

  #outcome(end: RunEnd): Outcome {
    const { error, overflows, waits_until } = this.s;
    // One error anywhere makes it exit 1, also one that it got over.
    if (this.#answered) return end.code === 0 || end.code === 1 ? 'ok' : 'failed';
    if (waits_until !== null) return 'rate_limited';
    if (overflows >= MAX_OVERFLOWS) return 'context_exceeded';
    return error ? outcomeOf(error.error) : 'failed';
  }

  #retryAt(): string | null {
    const { error, waits_until } = this.s;
    const at = waits_until ?? (error ? retryOf(error.error, error.at) : null);
    return at !== null && Math.abs(at) < 8e15 ? new Date(at).toISOString() : null;
  }

  #reason(end: RunEnd, outcome: Outcome): string {
    const { error, ended, waits_until } = this.s;
    const how = end.signal ? `signal ${end.signal}` : `exit ${end.code ?? 'unknown'}`;
    const words = error ? clip(oneLine(wordsOf(error.error)), 350) : '';
    if (outcome === 'auth') return `opencode cannot log in: ${words}: ${AUTH_HELP}`;
    if (waits_until !== null) return 'opencode: the service wants to be asked again much later';
    if (error) return `opencode: ${words}`;
    if (this.#answered) return `opencode gave an answer and then ended badly (${how})`;
    if (ended === 'length') return 'opencode: the answer was cut off at the output limit of the model';
    const tail = lastWords(end.stderr);
    return `opencode ended without an answer (${how})${tail ? `: ${clip(tail, 350)}` : ''}`;
  }
}

const REFUSED = /permission requested: .*; auto-rejecting$/;

/** What stopped it, else the last line that is not of its log. */
function lastWords(stderr: string): string {
  const lines = stripVTControlCharacters(stderr).split('\n');
  const said = lines.filter((line) => /\S/.test(line) && !line.startsWith('timestamp='));
  return oneLine(said.findLast((line) => REFUSED.test(line)) ?? said.find((line) => /\S/.test(line)) ?? '');
}
