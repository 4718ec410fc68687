// SIGHUP: the settings are read again. Good ones serve from the next claim on; bad ones change nothing and are told.
import { AgentRegistry } from './agents/registry.ts';
import type { Context } from './attempt/context.ts';
import { loadSettings } from './config.ts';
import { messageOf } from './errors.ts';
import type { Scheduler } from './scheduler.ts';
import { useSecrets } from './secrets.ts';
import type { Settings } from './settings.ts';

/** Keys that were put to use when the daemon started; a test holds docs/service.md to them. */
export const FIXED_KEYS = ['durability', 'hooks.health_every', 'pr.every', 'worktrees.dir'] as const;

/** Never rejects. A running attempt keeps the settings that it began with. */
export async function reloadSettings(ctx: Context, scheduler: Scheduler): Promise<void> {
  const { holds } = scheduler;
  holds.setFault('settings', null);
  try {
    const { settings } = loadSettings(ctx.workspace);
    const before = leaves(ctx.settings);
    const after = leaves(settings);
    const keys = [...new Set([...before.keys(), ...after.keys()])];
    const changed = keys.filter((key) => before.get(key) !== after.get(key));
    settings.durability = ctx.settings.durability;
    settings.hooks.health_every = ctx.settings.hooks.health_every;
    settings.pr.every = ctx.settings.pr.every;
    settings.worktrees.dir = ctx.settings.worktrees.dir;
    const agents = new AgentRegistry(settings, ctx.workspace);
    agents.onAuto = () => scheduler.nudge();
    useSecrets(settings, ctx.workspace.root);
    ctx.settings = settings;
    ctx.agents = agents;
    const isFixed = (key: string) => FIXED_KEYS.some((fixed) => fixed === key);
    ctx.events.emit('settings_reloaded', {
      changed: changed.filter((key) => !isFixed(key)),
      after_restart: changed.filter(isFixed),
    });
  } catch (thrown) {
    holds.setFault('settings', {
      what: `the settings could not be reloaded: ${messageOf(thrown)}`,
      doing: 'goes on with the settings from before; mend them and reload again',
    });
  }
  scheduler.nudge();
}

/** Every value by its dotted key; a list is one value. */
function leaves(settings: Settings): Map<string, string> {
  const found = new Map<string, string>();
  const walk = (at: unknown, key: string) => {
    if (typeof at !== 'object' || at === null || Array.isArray(at)) found.set(key, JSON.stringify(at) ?? '');
    else for (const [name, value] of Object.entries(at)) walk(value, key ? `${key}.${name}` : name);
  };
  walk(settings, '');
  return found;
}
