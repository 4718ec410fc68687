// What an agent is to Towpath: how it is found, started, read and judged. One file per agent implements this.
import type { AgentSettings, Endpoint } from '../settings.ts';
import type { Outcome, Seniority, Tokens } from '../task/terms.ts';

export type { AgentSettings, Endpoint } from '../settings.ts';

/** What happened inside a run, one step at a time; `content` is text for people, the rest is for machines. */
export type AgentEvent =
  | { type: 'session'; session: string; model?: string }
  | { type: 'log'; content: string }
  | { type: 'agent_thought'; content: string }
  | { type: 'tool_call'; id?: string; name: string; content: string }
  | { type: 'tool_result'; id?: string; content: string; is_error?: boolean }
  | { type: 'question'; content: string }
  | { type: 'error'; content: string; outcome?: Outcome; retry_at?: string }
  | { type: 'result'; content: string; success: boolean };

/** What one run is asked to do. The JSON form of this (with `version: 1`) is what `command` agents read on stdin. */
export interface AgentRequest {
  task_id: string;
  attempt: number;
  prompt: string;
  system_prompt: string;
  /** null: the agent's own default. */
  model: string | null;
  /** The absolute path that the agent works in; also its cwd. */
  worktree: string;
  /** A session to go on with, or null for a new one. */
  session: string | null;
  /** The id that a new session shall get, where the agent lets us choose: a UUID. */
  new_session: string;
  timeout_s: number;
  /** Servers by name; null: one that the agent itself knows by that name. Empty when none is asked for. */
  mcp: McpServers;
  /** Model servers that serve the model, the one to use first; empty: the agent's own service. */
  endpoints: Endpoint[];
  /** Folders to open when they are needed, each with a SKILL.md: copies of this run. */
  skills: HandedSkill[];
  /** What the final answer must fit, for agents that can be told. */
  output_schema: Record<string, unknown> | null;
  max_turns: number | null;
  budget_usd: number | null;
  /** The task's own markdown, for agents that run it as it stands (shell). */
  body: string;
  /** What agent `pattern` starts, and what that reads on stdin. */
  pattern?: { program: string; call: Record<string, unknown> };
  /** A private folder of this run, for files that the agent needs. */
  run_dir: string;
}

/** A skill as an agent gets it. */
export interface HandedSkill {
  name: string;
  description: string;
  dir: string;
}

/** A server of the Model Context Protocol: a program that speaks over stdio, or an address. */
export type McpServer =
  | { command: string; args: string[]; env: Record<string, string> }
  | { url: string; headers: Record<string, string> };
export type McpServers = Record<string, McpServer | null>;

/** A program to start: an argv (never a shell string), the text for its stdin, and variables on top of the allowed ones. */
export interface Launch {
  argv: string[];
  stdin: string;
  env: Record<string, string>;
}

/** How the process ended. `code` is null when it died by a signal; `stderr` is the tail, at most 64 KiB. */
export interface RunEnd {
  code: number | null;
  signal: string | null;
  stderr: string;
  /** The tail of stdout, at most 64 KiB. */
  stdout: string;
}

export interface Usage extends Tokens {
  /** null: the agent does not tell. */
  cost_usd: number | null;
}

/** What a run came to, before git and the checks have their say. */
export interface Verdict {
  outcome: Outcome;
  /** For people; empty when all is well. */
  reason: string;
  /** The agent's final text. */
  output: string;
  session: string | null;
  /** The model that really answered, when told. */
  model: string | null;
  usage: Usage;
  artifacts: string[];
  outputs: Record<string, unknown>;
  /** The final answer as a value, from an agent that was given the schema. */
  structured?: unknown;
  question: string | null;
  /** ISO time from which a try makes sense again (rate limits, try later). */
  retry_at: string | null;
}

/** Reads one run's stdout as it grows, then judges its end. A fresh one per run; it keeps no more than it needs. */
export interface Reader {
  /** One line without its newline; never throws, whatever the line holds. */
  line(text: string): AgentEvent[];
  conclude(end: RunEnd): Verdict;
  /** Tool calls that have no result yet: the agent is at work though it is silent. */
  readonly openTools: number;
  /** True when a final answer was seen and the process only has to leave. */
  readonly finished: boolean;
  /** What the run has used so far, as far as it tells while it runs. */
  readonly spent: Usage;
  /** It will do nothing more but wait out a limit: it is ended, and `conclude` says what it came to. Absent or false: go on. */
  readonly hopeless?: boolean;
  /** One line of stderr, for agents that tell there what their stdout does not. */
  errorLine?(text: string): AgentEvent[];
  /** All that it knows, as plain JSON: written down before output that it has read is cut out. */
  readonly state: unknown;
  /** Puts such a state into a fresh reader, which then goes on as the old one would have. */
  restore(state: unknown): void;
}

/** What a runtime does in a second when it only waits. */
export interface Idle {
  cpu_ms: number;
  io_bytes: number;
  switches: number;
}

/** What can be told of an agent without spending anything. */
export interface Probe {
  installed: boolean;
  path: string | null;
  version: string | null;
  /** Installed and able to work, as far as can be seen for free. */
  ready: boolean;
  /** Why not ready, and what to do about it. */
  why: string | null;
  /** Flags that the installed version does not have. One that the agent cannot do without makes it not ready. */
  lacks?: readonly string[];
}

export interface Capabilities {
  /** A run can be gone on with by its session id. */
  resume: boolean;
  /** We choose the session id, so that it is known before the first event. */
  chooses_session: boolean;
  /** It names its session as soon as a run begins, so a run that named none has none to go on with. */
  tells_session?: boolean;
  tells_cost: boolean;
  structured_output: boolean;
  mcp: boolean;
  /** The wire formats of model servers that it can be sent to. */
  endpoints?: readonly Endpoint['api'][];
  /** It uses no model: it costs nothing, and no budget holds it. */
  free?: boolean;
}

export interface Agent {
  readonly name: string;
  /** Variables of the environment that it may see beside the common ones: its keys and its base URLs. */
  readonly env: readonly string[];
  /** The default mapping of seniority to a model; empty when the agent takes no model. */
  readonly models: Partial<Record<Seniority, string>>;
  /** Between two starts at least this long, ms: several at once would fight over the processor and the account. Default 0. */
  readonly stagger_ms?: number;
  /** Its own stirring while it waits for a model: no more than that is no sign of life. Default: any stirring is one. */
  readonly idle?: Idle;
  getCapabilities(): Capabilities;
  /** It opens the skills of its request by itself, so that the prompt only lists them. Absent or false: the prompt holds their text. */
  opensSkills?(lacks: readonly string[]): boolean;
  /** Problems of its settings, one line each; none when they are fine. */
  validateConfig(settings: AgentSettings): string[];
  /** Looks for it; spends nothing, and answers within 15 s. `endpoints` are the model servers of the settings. */
  probe(settings: AgentSettings, env: NodeJS.ProcessEnv, endpoints?: readonly Endpoint[]): Promise<Probe>;
  /** `lacks`: flags of `Probe` that must be left out. */
  launch(request: AgentRequest, settings: AgentSettings, lacks?: readonly string[]): Launch;
  reader(): Reader;
}

export const NO_USAGE: Usage = { input: 0, output: 0, cache_read: 0, cache_write: 0, cost_usd: null };
