// What the program of the api agent is told on its stdin: the adapter writes it, the program reads it.
import type { AgentSettings, HandedSkill, McpServer } from '../port.ts';

/** A model server to ask, and the model's name there. Keys are named, never told. */
export interface Server {
  name: string;
  api: 'openai' | 'anthropic';
  model: string;
  /** Where it is; undefined: what `base_env` says, else the public service. */
  base_url?: string;
  base_env?: string;
  /** The variable with its key. Undefined: it wants none. */
  key_env?: string;
}

export interface Job {
  prompt: string;
  system_prompt: string;
  worktree: string;
  /** As the task calls it: under that name it is shown, and priced. */
  model: string;
  permissions: AgentSettings['permissions'];
  max_turns: number | null;
  mcp: Record<string, McpServer>;
  skills: HandedSkill[];
  /** What the final answer must fit. */
  output_schema: Record<string, unknown> | null;
  /** The one to use first comes first. */
  servers: Server[];
  session: string;
  /** The session is there already and is gone on with. */
  resume: boolean;
  /** The file that keeps the conversation. */
  conversation: string;
}

/** The variables that hold keys of model servers: no tool sees them. */
export const keyNames = (servers: readonly Server[]): string[] => [
  ...PUBLIC_KEYS,
  ...servers.flatMap(({ key_env }) => key_env ?? []),
];

export const PUBLIC_KEYS = ['ANTHROPIC_API_KEY', 'OPENAI_API_KEY'] as const;
