// Reads the NDJSON of agents that speak our own form: `command` agents, whatever they are written in.
import { z } from 'zod';
import { parseDuration } from '../clock.ts';
import { OUTCOMES } from '../task/terms.ts';
import { Memory } from './memory.ts';
import { type AgentEvent, NO_USAGE, type Reader, type RunEnd, type Usage, type Verdict } from './port.ts';

const text = z
  .unknown()
  .optional()
  .transform((value) => (typeof value === 'string' ? value : (value ?? null) === null ? '' : JSON.stringify(value)));
/** A part that is missing, null or wrong is left out: the rest of the event still counts. */
const lax = <T extends z.ZodType>(schema: T) => schema.optional().catch(undefined);
const name = lax(z.string().min(1));
const id = lax(z.union([z.string(), z.number()]).transform(String));
const amount = lax(z.number().nonnegative());
const usage = z.object({
  input_tokens: amount,
  output_tokens: amount,
  cache_read_tokens: amount,
  cache_write_tokens: amount,
  cost_usd: amount,
});
const when = lax(z.union([z.string(), z.number()]));
const event = z.discriminatedUnion('type', [
  z.object({ type: z.literal('session'), session: z.string().min(1), model: name }),
  z.object({ type: z.literal('log'), content: text }),
  z.object({ type: z.literal('agent_thought'), content: text }),
  z.object({ type: z.literal('tool_call'), content: text, name, id }),
  z.object({ type: z.literal('tool_result'), content: text, id, is_error: lax(z.boolean()) }),
  z.object({ type: z.literal('question'), content: text }),
  z.object({ type: z.literal('usage'), usage }),
  z.object({
    type: z.literal('error'),
    content: text,
    outcome: lax(z.enum(OUTCOMES)),
    retry_after: when,
    resets_at: when,
  }),
  z.object({
    type: z.literal('result'),
    content: text,
    // What is neither true nor left out is no success.
    success: z.boolean().nullish().catch(false),
    output: text.optional(),
    artifacts: lax(z.array(z.string())),
    outputs: lax(z.record(z.string(), z.unknown())),
    usage: lax(usage),
    session: name,
  }),
]);

/** What an agent may say of itself; the daemon alone decides the others. */
const OWN_OUTCOMES = new Set([
  'failed',
  'transient',
  'rate_limited',
  'auth',
  'billing',
  'budget',
  'needs_input',
  'max_turns',
  'context_exceeded',
  'timeout',
]);
/** Exit code for "try again later" (EX_TEMPFAIL of sysexits.h). */
const TRY_LATER = 75;
/** Plain output that stands in for a final answer, characters from its end. */
const TEXT_KEPT = 4000;

const NUMBER = /^\s*\d+(\.\d+)?\s*$/;
/** Seconds since the epoch are below this until the year 5138: more are milliseconds. */
const MOST_SECONDS = 1e11;

/** When a try makes sense again: a time (ISO, or seconds or milliseconds since the epoch) or a delay (a duration, or seconds). */
export function retryAt(after: string | number | undefined, at: string | number | undefined): string | null {
  const number = (value: string | number) => (NUMBER.test(String(value)) ? Number(value) : null);
  const time = (value: string | number) => {
    const told = number(value);
    return told === null ? Date.parse(String(value)) : told < MOST_SECONDS ? told * 1000 : told;
  };
  const delay = (value: string | number) => {
    const told = number(value);
    return Date.now() + (told === null ? (parseDuration(String(value)) ?? Number.NaN) : told * 1000);
  };
  const ms = at ? time(at) : after ? delay(after) : Number.NaN;
  return Number.isFinite(ms) && Math.abs(ms) < 8e15 ? new Date(ms).toISOString() : null;
}

/** All that a reader remembers. */
interface State {
  open: Set<string>;
  calls: number;
  error: Extract<z.output<typeof event>, { type: 'error' }> | null;
  result: Extract<z.output<typeof event>, { type: 'result' }> | null;
  question: string | null;
  text: string;
  /** What it said that it has used so far. */
  usage: z.output<typeof usage> | null;
  session: string | null;
  model: string | null;
}

/** Of one that has read nothing. */
const begin = (): State => ({
  ...{ open: new Set(), calls: 0, error: null, result: null, question: null, text: '' },
  ...{ session: null, model: null, usage: null },
});

export class StreamReader extends Memory<State> implements Reader {
  /** What a run costs that does not tell; null: nobody knows. */
  readonly #untold: number | null;

  constructor(untold: number | null = null) {
    super(begin());
    this.#untold = untold;
  }

  get spent(): Usage {
    return usageOf(this.s.result?.usage ?? this.s.usage, this.#untold);
  }
  get finished(): boolean {
    return this.s.result !== null;
  }

  #keep(line: string): void {
    this.s.text += `${line.slice(-TEXT_KEPT)}\n`;
    // Not at each line: a flood of them would be mostly that.
    if (this.s.text.length > 16 * TEXT_KEPT) this.s.text = this.s.text.slice(-TEXT_KEPT);
  }

  line(line: string): AgentEvent[] {
    const parsed = line.startsWith('{') ? event.safeParse(parseJson(line)) : null;
    if (!parsed?.success) {
      if (line.trim()) this.#keep(line);
      return line ? [{ type: 'log', content: line }] : [];
    }
    const it = parsed.data;
    switch (it.type) {
      case 'tool_call': {
        const id = it.id ?? `#${++this.s.calls}`;
        if (this.s.open.size < 1000) this.s.open.add(id);
        return [{ type: 'tool_call', id, name: it.name ?? 'tool', content: it.content }];
      }
      case 'tool_result':
        if (it.id) this.s.open.delete(it.id);
        else this.s.open.clear();
        return [
          { type: 'tool_result', ...(it.id ? { id: it.id } : {}), content: it.content, is_error: it.is_error ?? false },
        ];
      case 'session':
        this.s.session = it.session;
        this.s.model = it.model || this.s.model;
        return [{ type: 'session', session: it.session, ...(it.model ? { model: it.model } : {}) }];
      case 'question':
        // One after the other.
        this.s.question = [this.s.question, it.content]
          .filter(Boolean)
          .join('\n\n')
          .slice(0, 4 * TEXT_KEPT);
        return [it];
      case 'usage':
        this.s.usage = it.usage;
        return [];
      case 'error': {
        this.s.error = it;
        const at = retryAt(it.retry_after, it.resets_at);
        return [
          {
            type: 'error',
            content: it.content,
            ...(it.outcome ? { outcome: it.outcome } : {}),
            ...(at ? { retry_at: at } : {}),
          },
        ];
      }
      case 'result': {
        this.s.result = it;
        const session = it.session ? [{ type: 'session' as const, session: it.session }] : [];
        return [...session, { type: 'result', content: it.output || it.content, success: it.success ?? true }];
      }
      default:
        if (it.type === 'agent_thought') this.s.text = it.content.slice(-TEXT_KEPT);
        return [it];
    }
  }

  conclude(end: RunEnd): Verdict {
    const result = this.s.result;
    const error = this.s.error;
    const base = {
      output: result?.output || result?.content || this.s.text.slice(-TEXT_KEPT).trim(),
      session: result?.session ?? this.s.session,
      model: this.s.model,
      usage: this.spent,
      artifacts: result?.artifacts ?? [],
      outputs: result?.outputs ?? {},
      question: null,
      retry_at: error ? retryAt(error.retry_after, error.resets_at) : null,
    };
    if (error?.outcome && OWN_OUTCOMES.has(error.outcome))
      return {
        ...base,
        outcome: error.outcome,
        reason: error.content,
        question: error.outcome === 'needs_input' ? error.content : null,
      };
    // Whatever else it says of its end: nobody would see it.
    if (this.s.question !== null)
      return { ...base, outcome: 'needs_input', reason: this.s.question, question: this.s.question };
    if (end.code === TRY_LATER)
      return {
        ...base,
        outcome: 'transient',
        reason: error?.content || lastLine(end.stderr) || 'the agent asks to try again later (exit 75)',
      };
    if (end.code !== 0)
      return { ...base, outcome: 'failed', reason: error?.content || lastLine(end.stderr) || howItEnded(end) };
    if (error) return { ...base, outcome: 'failed', reason: error.content || 'the agent reported an error' };
    if (result?.success === false)
      return { ...base, outcome: 'failed', reason: base.output || 'the agent says that it did not succeed' };
    return { ...base, outcome: 'ok', reason: '' };
  }
}

/** How a process ended, for people. */
export const howItEnded = (end: RunEnd): string =>
  end.signal ? `the agent was ended by ${end.signal}` : `the agent exited with ${end.code}`;

/** The last line that says anything, at most 500 characters. */
export const lastLine = (text: string): string => text.trimEnd().split('\n').at(-1)?.trim().slice(0, 500) ?? '';

function parseJson(line: string): unknown {
  try {
    return JSON.parse(line);
  } catch {
    return undefined;
  }
}

function usageOf(told: z.output<typeof usage> | null, untold: number | null): Usage {
  if (!told) return { ...NO_USAGE, cost_usd: untold };
  return {
    input: told.input_tokens ?? 0,
    output: told.output_tokens ?? 0,
    cache_read: told.cache_read_tokens ?? 0,
    cache_write: told.cache_write_tokens ?? 0,
    cost_usd: told.cost_usd ?? untold,
  };
}
