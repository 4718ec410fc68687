// Reads the JSON events of `codex exec` and the lines of its log, and judges the end of the run.
import type { Outcome } from '../../task/terms.ts';
import { clip, EVENT, isJson, type Json, list, log, num, OUTPUT, oneLine, str, summary } from '../json.ts';
import { Memory } from '../memory.ts';
import { type AgentEvent, NO_USAGE, type Reader, type RunEnd, type Usage, type Verdict } from '../port.ts';
import { plus } from '../usage.ts';
import { readLog } from './log.ts';
import { byStatus, outcomeOf, resetTimeInText, statusIn } from './verdict.ts';

const MAX_OPEN = 1000;
/** It is not waited for when it will sleep longer than this, ms. */
const PATIENCE_MS = 60_000;

const AUTH_HELP = 'run "codex login", or set CODEX_API_KEY';

/** All that a reader remembers. */
interface State {
  session: string | null;
  model: string | null;
  open: Set<string>;
  lastText: string;
  /** How the last turn ended, as long as nothing came after it. */
  ended: 'completed' | 'failed' | null;
  /** The last error that was no mere retry. */
  error: string | null;
  /** By its events: what the thread has used in all its runs. By its log: what this run has. */
  told: Usage | null;
  counted: Usage;
  /** Of the last model call; 0: no server was reached. */
  status: number | null;
  /** It sleeps until then (ms since 1970), because of that. */
  wait: { until: number; error: string } | null;
}

/** Of one that has read nothing. */
const begin = (): State => ({
  ...{ session: null, model: null, open: new Set(), lastText: '', ended: null, error: null, told: null },
  ...{ counted: { ...NO_USAGE }, status: null, wait: null },
});

export class CodexReader extends Memory<State> implements Reader {
  constructor() {
    super(begin());
  }

  get finished(): boolean {
    return this.s.ended !== null;
  }

  get spent(): Usage {
    const { counted, told } = this.s;
    return counted.input + counted.output + counted.cache_read > 0 ? counted : (told ?? counted);
  }

  get hopeless(): boolean {
    const { wait } = this.s;
    return wait !== null && wait.until - Date.now() > PATIENCE_MS;
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

  errorLine(text: string): AgentEvent[] {
    const told = readLog(text);
    switch (told?.what) {
      case 'call':
        this.s.status = told.status;
        this.s.model = told.model ?? this.s.model;
        this.s.wait = null;
        return [];
      case 'usage':
        this.s.counted = plus(this.s.counted, told.usage);
        return [];
      case 'wait':
        this.s.wait = { until: told.until, error: told.error };
        return [];
      case 'refused':
        return [log(oneLine(`refused: ${told.error}`))];
      default:
        return [];
    }
  }

  #event(event: Json): AgentEvent[] {
    const type = str(event['type']);
    switch (type) {
      case 'thread.started': {
        const session = str(event['thread_id']);
        if (!session || session === this.s.session) return [];
        this.s.session = session;
        return [{ type: 'session', session }];
      }
      case 'turn.started':
        this.s.ended = null;
        this.s.error = null;
        return [];
      case 'item.started':
      case 'item.completed':
        return isJson(event['item']) ? this.#item(event['item'], type === 'item.completed') : [];
      case 'error':
        return this.#error(str(event['message']) ?? 'an error without a message');
      case 'turn.completed':
      case 'turn.failed':
        return this.#turn(event, type === 'turn.completed');
      default:
        return [];
    }
  }

  #item(item: Json, done: boolean): AgentEvent[] {
    const type = str(item['type']) ?? 'item';
    switch (type) {
      case 'agent_message':
      case 'reasoning': {
        const text = done ? str(item['text']) : null;
        if (!text) return [];
        if (type === 'agent_message') this.s.lastText = clip(text, OUTPUT);
        return [{ type: 'agent_thought', content: clip(text, EVENT) }];
      }
      case 'error':
        // Notices of its own (an unknown model, another way to the server), not an end.
        return [log(oneLine(str(item['message']) ?? 'error'))];
      case 'todo_list':
        return [];
      default:
        return this.#tool(type, item, done);
    }
  }

  #tool(type: string, item: Json, done: boolean): AgentEvent[] {
    const id = str(item['id']) ?? type;
    const known = this.s.open.has(id);
    const events: AgentEvent[] = [];
    if (!known) {
      const server = str(item['server']);
      const name = server ? `${server}.${str(item['tool']) ?? '?'}` : type;
      events.push({ type: 'tool_call', id, name, content: asked(item) });
      if (!done && this.s.open.size < MAX_OPEN) this.s.open.add(id);
    }
    if (!done) return events;
    this.s.open.delete(id);
    const failed = item['status'] === 'failed' || item['status'] === 'declined';
    const content = clip(answered(item), EVENT);
    return [...events, { type: 'tool_result', id, content, ...(failed ? { is_error: true } : {}) }];
  }

  #error(message: string): AgentEvent[] {
    // It tries again by itself.
    if (message.startsWith('Reconnecting... ')) return [log(oneLine(message))];
    this.s.error = clip(message, EVENT);
    return [{ type: 'error', content: this.s.error }];
  }

  #turn(event: Json, completed: boolean): AgentEvent[] {
    this.s.open.clear();
    this.s.ended = completed ? 'completed' : 'failed';
    this.s.wait = null;
    if (completed) {
      this.s.error = null;
      if (isJson(event['usage'])) this.s.told = usageOf(event['usage']);
      return [{ type: 'result', content: clip(this.s.lastText, EVENT), success: true }];
    }
    const error = isJson(event['error']) ? str(event['error']['message']) : null;
    this.s.error = clip(error ?? this.s.error ?? 'no reason given', EVENT);
    return [{ type: 'result', content: this.s.error, success: false }];
  }

  conclude(end: RunEnd): Verdict {
    const ok = this.s.ended === 'completed' && this.s.error === null && end.code === 0;
    const outcome = ok ? 'ok' : this.#outcome();
    const { wait, error } = this.s;
    const at = wait && this.#waits() ? new Date(wait.until).toISOString() : resetTimeInText(error ?? '', Date.now());
    return {
      outcome,
      reason: ok ? '' : oneLine(this.#reason(end, outcome)),
      output: this.s.lastText,
      session: this.s.session,
      model: this.s.model,
      usage: this.spent,
      artifacts: [],
      outputs: {},
      question: null,
      retry_at: outcome === 'rate_limited' || (wait && this.#waits()) ? at : null,
    };
  }

  /** It was asleep when it ended, for longer than anybody waits. Whenever this is asked: the past does not change. */
  #waits(): boolean {
    return this.s.wait !== null && this.s.ended === null && this.s.error === null;
  }

  #outcome(): Outcome {
    const { ended, error, wait, status } = this.s;
    if (error !== null) return outcomeOf(error, status);
    if (wait && this.#waits()) return outcomeOf(wait.error, statusIn(wait.error) ?? status);
    // A turn that was completed, and then a bad exit: nothing in the stream explains it.
    return ended === 'completed' || status === null ? 'failed' : status >= 400 ? byStatus(status) : 'failed';
  }

  #reason(end: RunEnd, outcome: Outcome): string {
    const how = end.signal ? `signal ${end.signal}` : `exit ${end.code ?? 'unknown'}`;
    const { error, wait } = this.s;
    if (error !== null)
      return outcome === 'auth'
        ? `codex cannot log in: ${clip(error, 350)}: ${AUTH_HELP}`
        : `codex: ${clip(error, 400)}`;
    if (wait && this.#waits()) return `codex would wait until ${new Date(wait.until).toISOString()}: ${wait.error}`;
    if (this.s.ended === 'completed') return `codex gave an answer and then ended badly (${how})`;
    const tail = firstError(end.stderr);
    return `codex ended without an answer (${how})${tail ? `: ${clip(tail, 350)}` : ''}`;
  }
}

/** What it says on stderr when it does not even begin. */
const firstError = (stderr: string): string =>
  stderr
    .split('\n')
    .map((line) => line.trim())
    .find((line) => /^error/i.test(line)) ?? '';

/** `input_tokens` holds the cached ones too. */
function usageOf(usage: Json): Usage {
  const cache_read = num(usage['cached_input_tokens']);
  const cache_write = num(usage['cache_write_input_tokens']);
  const input = Math.max(0, num(usage['input_tokens']) - cache_read - cache_write);
  return { input, output: num(usage['output_tokens']), cache_read, cache_write, cost_usd: null };
}

function asked(item: Json): string {
  const changes = list(item['changes']);
  if (changes.length > 0) return oneLine(changes.map((one) => `${str(one['kind'])} ${str(one['path'])}`).join(', '));
  if (isJson(item['arguments'])) return summary(item['arguments']);
  const { id: _i, type: _t, status: _s, ...rest } = item;
  return summary(rest);
}

function answered(item: Json): string {
  const error = isJson(item['error']) ? str(item['error']['message']) : null;
  if (error) return error;
  if (isJson(item['result']))
    return list(item['result']['content'])
      .map((block) => str(block['text']) ?? `[${str(block['type']) ?? 'block'}]`)
      .join('\n');
  return str(item['aggregated_output']) ?? str(item['status']) ?? '';
}
