// Readers for the raw output of past runs: by the agent that made it, also one that the settings no longer name.

import type { Reader } from '../agents/port.ts';
import { AgentRegistry } from '../agents/registry.ts';
import { StreamReader } from '../agents/stream.ts';
import type { Opened } from './open.ts';

export function readerFor({ loaded, workspace }: Opened): (agent: string) => Reader {
  const agents = new AgentRegistry(loaded.settings, workspace);
  return (name) => (agents.names().includes(name) ? agents.get(name).agent.reader() : new StreamReader());
}
