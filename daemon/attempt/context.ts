// What every step of an attempt has at hand.
import type { Endpoints } from '../agents/endpoints.ts';
import type { AgentRegistry } from '../agents/registry.ts';
import type { Events } from '../events.ts';
import type { Limits } from '../limits.ts';
import type { Workspace } from '../paths.ts';
import type { Identity } from '../process/identity.ts';
import type { FileQueue } from '../queue/files/engine.ts';
import type { Settings } from '../settings.ts';
import type { Amount } from './budget.ts';
import type { Who } from './who.ts';

/** Asks the person at the terminal about a failed hook; null when nobody sits there. The answer is null when the daemon stops first. */
export type Ask = (question: {
  task: string;
  event: string;
  reason: string;
}) => Promise<'retry' | 'skip' | 'abort' | null>;

export interface Context {
  workspace: Workspace;
  settings: Settings;
  queue: FileQueue;
  events: Events;
  agents: AgentRegistry;
  limits: Limits;
  self: Identity;
  ask: Ask | null;
  endpoints: Endpoints;
  /** Who was chosen for this attempt. */
  who?: Who;
  /** Is told what the run of this context has used so far, as it goes on. */
  onSpent?: (amount: Amount) => void;
}

/** What is at hand without a daemon as well: enough to judge a task and to move it. */
export type Owner = Pick<Context, 'workspace' | 'settings' | 'queue' | 'events'>;
