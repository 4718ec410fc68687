// The pattern agent: a deterministic program with the contract of a hook, no model. JSON on stdin, messages, a result on the last line.
import { z } from 'zod';
import { TowpathError } from '../errors.ts';
import type { Agent, AgentEvent, Reader, RunEnd, Usage, Verdict } from './port.ts';
import { retryAt, StreamReader } from './stream.ts';

const DECISIONS = ['continue', 'retry', 'block', 'skip'] as const;
/** Of success, output and outputs the stream's reader judges; a part of a decision that is wrong does not take them with it. */
const result = z.object({
  success: z.unknown().optional(),
  output: z.unknown().optional(),
  outputs: z.unknown().optional(),
  // In place of them a decision, as of a hook.
  decision: z.unknown().optional(),
  reason: z.string().catch(''),
  retry_after: z.union([z.string(), z.number()]).optional().catch(undefined),
});
/** A longer last line is no result. */
const RESULT_CHARS = 1024 * 1024;

export const pattern: Agent = {
  name: 'pattern',
  env: [],
  models: {},
  getCapabilities: () => ({
    resume: false,
    chooses_session: false,
    tells_cost: true,
    structured_output: false,
    mcp: false,
    free: true,
  }),
  validateConfig: (settings) =>
    settings.command || settings.args.length > 0
      ? ['agents.pattern: a pattern brings its own program: leave command and args out']
      : [],
  probe: async () => ({ installed: true, path: process.execPath, version: null, ready: true, why: null }),
  launch: ({ pattern: chosen }, settings) => {
    if (!chosen) throw new TowpathError('agent', 'no pattern is named', 'write "pattern: NAME" into the task');
    const { program, call } = chosen;
    return { argv: [...settings.wrap, program], stdin: `${JSON.stringify(call)}\n`, env: patternVariables(call) };
  },
  reader: () => new PatternReader(),
};

/** What its program sees beside the variables that every agent has. */
export const patternVariables = ({ event, repo, branch }: Record<string, unknown>): Record<string, string> => ({
  TOWPATH_NODE: process.execPath,
  TOWPATH_EVENT: String(event),
  TOWPATH_REPO: String(repo),
  TOWPATH_BRANCH: String(branch ?? ''),
});

/** Whether a line is a result is known only when no other comes after it. */
export class PatternReader implements Reader {
  #last = '';
  readonly #inner = new StreamReader(0);

  get state(): unknown {
    return { last: this.#last, inner: this.#inner.state };
  }
  restore(state: unknown): void {
    const { last, inner } = state as { last: string; inner: unknown };
    this.#last = last;
    this.#inner.restore(inner);
  }
  get openTools(): number {
    return 0;
  }
  get finished(): boolean {
    return false;
  }
  get spent(): Usage {
    return this.#inner.spent;
  }

  line(text: string): AgentEvent[] {
    if (text.trim() === '') return [];
    this.#last = text.length <= RESULT_CHARS ? text : '';
    return text.startsWith('{') ? [{ type: 'log', content: text }] : this.#inner.line(text);
  }

  conclude(end: RunEnd): Verdict {
    const told = resultIn(this.#last);
    if (told) this.#inner.line(JSON.stringify({ type: 'result', ...told }));
    const verdict = this.#inner.conclude(end);
    return told && verdict.outcome === 'ok' ? { ...verdict, ...decided(told) } : verdict;
  }
}

function decided(told: z.output<typeof result>): Partial<Verdict> {
  const decision = told.decision ?? 'continue';
  if (!DECISIONS.some((one) => one === decision)) {
    const said = JSON.stringify(decision).slice(0, 100);
    return { outcome: 'failed', reason: `its decision is ${said}: allowed are ${DECISIONS.join(', ')}` };
  }
  const reason = told.reason || `its decision is "${decision}"`;
  if (decision === 'retry') return { outcome: 'transient', reason, retry_at: retryAt(told.retry_after, undefined) };
  if (decision === 'block') return { outcome: 'needs_input', reason, question: reason };
  return decision === 'skip' ? { outcome: 'cancelled', reason } : {};
}

function resultIn(line: string): z.output<typeof result> | null {
  if (!line.startsWith('{')) return null;
  try {
    return result.safeParse(JSON.parse(line)).data ?? null;
  } catch {
    return null;
  }
}
