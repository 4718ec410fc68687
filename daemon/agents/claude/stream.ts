// Reads the stream-json output of Claude Code line by line and judges the end of the run.
import type { Outcome } from '../../task/terms.ts';
import { clip, EVENT, isJson, type Json, list, log, num, OUTPUT, oneLine, str, summary } from '../json.ts';
import { Memory } from '../memory.ts';
import { type AgentEvent, NO_USAGE, type Reader, type RunEnd, type Usage, type Verdict } from '../port.ts';
import { plus } from '../usage.ts';
import { camelUsage, snakeUsage } from './usage.ts';
import { outcomeOf, resetTime, resetTimeInText } from './verdict.ts';

const MAX_OPEN = 1000;

const AUTH_HELP = 'run "claude" and log in, or set ANTHROPIC_API_KEY';

/** All that a reader remembers. */
interface State {
  session: string | null;
  began: boolean;
  model: string | null;
  open: Set<string>;
  /** The last result, as long as no new turn began after it. */
  result: Json | null;
  lastText: string;
  /** The CLI's own kind of error, from the message that it writes in the model's place. */
  kind: string | null;
  limit: { rejected: boolean; resets: string | null };
  counted: Usage;
  /** Tokens of calls that no result has counted yet: all there is when a run is cut short. */
  uncounted: Usage;
  lastMessage: string;
}

/** Of one that has read nothing. */
const begin = (): State => ({
  ...{ session: null, began: false, model: null, open: new Set(), result: null, lastText: '', kind: null },
  limit: { rejected: false, resets: null },
  ...{ counted: { ...NO_USAGE }, uncounted: { ...NO_USAGE }, lastMessage: '' },
});

export class ClaudeReader extends Memory<State> implements Reader {
  constructor() {
    super(begin());
  }

  get finished(): boolean {
    return this.s.result !== null;
  }

  get spent(): Usage {
    return plus(this.s.counted, this.s.uncounted);
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

  #event(event: Json): AgentEvent[] {
    switch (event['type']) {
      case 'system':
        return this.#system(event);
      case 'assistant':
        return this.#assistant(event);
      case 'user':
        return this.#user(event);
      case 'rate_limit_event':
        return this.#rateLimit(event);
      case 'result':
        return this.#ended(event);
      default:
        return [];
    }
  }

  #system(event: Json): AgentEvent[] {
    switch (event['subtype']) {
      case 'init': {
        this.s.began = true;
        this.s.result = null;
        const events = this.#named(event);
        for (const server of list(event['mcp_servers']))
          if (server['status'] === 'failed') events.push(log(`MCP server ${str(server['name']) ?? '?'} did not start`));
        return events;
      }
      case 'api_retry': {
        const why = [event['error_status'], event['error']].filter((part) => part !== null && part !== undefined);
        const wait = (num(event['retry_delay_ms']) / 1000).toFixed(1);
        return [
          log(`model call failed (${why.join(' ')}), try ${event['attempt']} of ${event['max_retries']} in ${wait}s`),
        ];
      }
      case 'status':
        if (event['status'] === 'compacting') return [log('compacting the conversation')];
        return str(event['compact_error']) ? [log(`compacting failed: ${event['compact_error']}`)] : [];
      case 'model_fallback':
      case 'informational':
        return str(event['content']) ? [log(oneLine(String(event['content'])))] : [];
      case 'permission_denied':
        return [log(oneLine(`denied: ${event['tool_name']}: ${str(event['message']) ?? ''}`))];
      default:
        return [];
    }
  }

  /** The session event, once for each id. */
  #named(event: Json): AgentEvent[] {
    const session = str(event['session_id']);
    if (!session || session === this.s.session) return [];
    this.s.session = session;
    const model = str(event['model']);
    return [{ type: 'session', session, ...(model ? { model } : {}) }];
  }

  #assistant(event: Json): AgentEvent[] {
    const message = isJson(event['message']) ? event['message'] : {};
    const blocks = list(message['content']);
    const kind = str(event['error']);
    if (kind || event['is_api_error_message'] === true || message['model'] === '<synthetic>') {
      this.s.kind = kind;
      const content = blocks.map((block) => str(block['text']) ?? '').join('\n');
      return content ? [{ type: 'error', content: clip(content, EVENT) }] : [];
    }
    this.s.result = null;
    this.s.kind = null;
    const main = event['parent_tool_use_id'] === null || event['parent_tool_use_id'] === undefined;
    if (main) this.s.model = str(message['model']) ?? this.s.model;
    this.#count(message);
    const events: AgentEvent[] = [];
    for (const block of blocks) {
      const text = block['type'] === 'text' ? str(block['text']) : null;
      if (text) {
        if (main) this.s.lastText = clip(text, OUTPUT);
        events.push({ type: 'agent_thought', content: clip(text, EVENT) });
      }
      if (block['type'] === 'tool_use') {
        const id = str(block['id']);
        if (id && this.s.open.size < MAX_OPEN) this.s.open.add(id);
        const name = str(block['name']) ?? '?';
        events.push({ type: 'tool_call', ...(id ? { id } : {}), name, content: summary(block['input']) });
      }
    }
    return events;
  }

  /** One message comes in several events, each with the same usage. */
  #count(message: Json): void {
    const id = str(message['id']) ?? '';
    if (id !== '' && id === this.s.lastMessage) return;
    this.s.lastMessage = id;
    if (isJson(message['usage'])) this.s.uncounted = plus(this.s.uncounted, snakeUsage(message['usage']));
  }

  #user(event: Json): AgentEvent[] {
    const message = isJson(event['message']) ? event['message'] : {};
    const events: AgentEvent[] = [];
    for (const block of list(message['content'])) {
      if (block['type'] === 'tool_result') {
        const id = str(block['tool_use_id']);
        if (id) this.s.open.delete(id);
        const failed = block['is_error'] === true;
        const content = clip(textOf(block['content']), EVENT);
        events.push({ type: 'tool_result', ...(id ? { id } : {}), content, ...(failed ? { is_error: true } : {}) });
      } else if (str(block['text'])) events.push(log(oneLine(String(block['text']))));
    }
    return events;
  }

  #rateLimit(event: Json): AgentEvent[] {
    const info = isJson(event['rate_limit_info']) ? event['rate_limit_info'] : {};
    const rejected = info['status'] === 'rejected';
    const resets = resetTime(info['resetsAt']);
    this.s.limit = { rejected, resets };
    if (info['status'] === 'allowed') return [];
    const window = str(info['rateLimitType']) ?? 'account';
    return [log(`${window} limit ${rejected ? 'reached' : 'is near'}${resets ? `, resets ${resets}` : ''}`)];
  }

  #ended(event: Json): AgentEvent[] {
    this.s.result = event;
    this.s.open.clear();
    this.s.counted = this.#total(event);
    this.s.uncounted = { ...NO_USAGE };
    const events = this.s.began ? this.#named(event) : [];
    for (const denial of list(event['permission_denials']).slice(0, 20))
      events.push(log(`denied: ${str(denial['tool_name']) ?? '?'}: ${summary(denial['tool_input'])}`));
    const success = event['is_error'] === false;
    events.push({ type: 'result', content: clip(finalText(event), EVENT), success });
    return events;
  }

  /** The usage up to this result. A resumed session's totals are the whole session's, so the per-run form is preferred. */
  #total(event: Json): Usage {
    const since = event['model_usage_since_last_result'];
    const before = { ...this.s.counted, cost_usd: this.s.counted.cost_usd ?? 0 };
    if (isJson(since)) return Object.values(since).filter(isJson).map(camelUsage).reduce(plus, before);
    const tokens = plus(this.s.counted, snakeUsage(isJson(event['usage']) ? event['usage'] : {}));
    return { ...tokens, cost_usd: typeof event['total_cost_usd'] === 'number' ? event['total_cost_usd'] : null };
  }

  conclude(end: RunEnd): Verdict {
    const result = this.s.result;
    const ok = result !== null && result['is_error'] === false && end.code === 0;
    const outcome = ok ? 'ok' : this.#outcome();
    const text = result ? finalText(result) : '';
    const limited = outcome === 'rate_limited';
    return {
      outcome,
      reason: ok ? '' : oneLine(this.#reason(end, outcome)),
      output: result && str(result['result']) ? clip(String(result['result']), OUTPUT) : this.s.lastText,
      // A run that never began left no session to go on with, whatever id its result carries.
      session: this.s.began ? this.s.session : null,
      model: this.s.model,
      usage: this.spent,
      artifacts: [],
      outputs: {},
      ...(result && 'structured_output' in result ? { structured: result['structured_output'] } : {}),
      question: null,
      retry_at: limited ? (this.s.limit.resets ?? resetTimeInText(text || this.s.lastText, Date.now())) : null,
    };
  }

  #outcome(): Outcome {
    const result = this.s.result;
    // A result that says success, then a bad exit: nothing in the stream explains it.
    if (result?.['is_error'] === false) return 'failed';
    if (!result) return this.s.limit.rejected ? 'rate_limited' : 'failed';
    return outcomeOf({
      subtype: str(result['subtype']),
      terminal_reason: str(result['terminal_reason']),
      status: typeof result['api_error_status'] === 'number' ? result['api_error_status'] : null,
      type: str(result['api_error_type']),
      kind: this.s.kind,
      rejected: this.s.limit.rejected,
    });
  }

  #reason(end: RunEnd, outcome: Outcome): string {
    const how = end.signal ? `signal ${end.signal}` : `exit ${end.code ?? 'unknown'}`;
    const tail = end.stderr.trim().split('\n').at(-1)?.trim();
    if (!this.s.result) return `claude ended without a result (${how})${tail ? `: ${clip(tail, 350)}` : ''}`;
    if (this.s.result['is_error'] === false) return `claude gave a result and then ended badly (${how})`;
    const text = clip(oneLine(finalText(this.s.result)), 350) || `no reason given (${how})`;
    return outcome === 'auth' ? `claude cannot log in: ${text}: ${AUTH_HELP}` : `claude: ${text}`;
  }
}

/** The final text of a result, or its errors. */
function finalText(result: Json): string {
  const text = str(result['result']);
  if (text) return text;
  // `[ede_diagnostic] …` is for the CLI's own makers.
  const told = (error: unknown) => typeof error === 'string' && !error.startsWith('[');
  const errors = Array.isArray(result['errors']) ? result['errors'].filter(told) : [];
  return errors.join('; ') || str(result['terminal_reason']) || str(result['subtype']) || '';
}

function textOf(content: unknown): string {
  if (typeof content === 'string') return content;
  return list(content)
    .map((block) => str(block['text']) ?? `[${str(block['type']) ?? 'block'}]`)
    .join('\n');
}
