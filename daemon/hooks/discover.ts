// Which files of hooks/ run at which moment, and which look like hooks but never would.
import { accessSync, constants, lstatSync, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { errno } from '../errors.ts';
import { HOOK_EVENTS, type HookEvent } from '../settings.ts';

export interface Hooks {
  /** Absolute paths in the order in which they run. */
  run: string[];
  /** Named like a hook of this event, but nothing can execute them: no x bit, or a link to nowhere. */
  notExecutable: string[];
}

/** What is known of a folder's names until its time stamp changes. */
interface Listing {
  stamp: string;
  names: string[];
}

const listings = new Map<string, Listing>();
/** A folder that changed that recently may change again under the same time stamp, ms. */
const SETTLED_MS = 100;

/**
 * The hooks of an event: `<event>`, then `<event>.<anything>`, then those in `<event>.d/`, each by name. Without hooks it
 * costs one look at the folder's time stamp. A folder that is missing holds none; throws when one cannot be read.
 */
export function discoverHooks(dir: string, event: HookEvent): Hooks {
  const hooks: Hooks = { run: [], notExecutable: [] };
  for (const path of candidates(dir, event)) {
    const kind = kindOf(path);
    if (kind === 'hook') hooks.run.push(path);
    else if (kind === 'inert') hooks.notExecutable.push(path);
  }
  return hooks;
}

/** Whether there is anything named like a hook of an event. Never throws. */
export function hasHooks(dir: string, event: HookEvent): boolean {
  try {
    return candidates(dir, event).length > 0;
  } catch {
    return true;
  }
}

export interface HookList {
  events: ({ event: HookEvent } & Hooks)[];
  /** Executable files that no event calls, such as `pretask`: most likely a slip of the pen. */
  unknown: string[];
}

/** All hooks of a folder, for people. */
export function listHooks(dir: string): HookList {
  const events = HOOK_EVENTS.map((event) => ({ event, ...discoverHooks(dir, event) }));
  const unknown = namesOf(dir)
    .filter((name) => !HOOK_EVENTS.some((event) => name === event || name.startsWith(`${event}.`)))
    .map((name) => join(dir, name))
    .filter((path) => kindOf(path) === 'hook');
  return { events, unknown };
}

function candidates(dir: string, event: HookEvent): string[] {
  const names = namesOf(dir);
  const paths = names.filter((name) => name === event || name.startsWith(`${event}.`)).map((name) => join(dir, name));
  const folder = `${event}.d`;
  if (names.includes(folder)) paths.push(...namesOf(join(dir, folder)).map((name) => join(dir, folder, name)));
  return paths;
}

/** Sorted; without samples, notes, hidden files and what an editor or a person put aside. */
function namesOf(dir: string): string[] {
  let stamp: string;
  try {
    const { mtimeNs, ctimeNs, ino } = statSync(dir, { bigint: true });
    stamp = `${ino} ${mtimeNs} ${ctimeNs}`;
    const known = listings.get(dir);
    if (known?.stamp === stamp) return known.names;
    const names = readdirSync(dir)
      .filter((name) => !/^\.|\.sample$|\.md$|\.disabled$|~$/.test(name))
      .sort();
    if (Date.now() - Number(ctimeNs / 1_000_000n) > SETTLED_MS) listings.set(dir, { stamp, names });
    return names;
  } catch (thrown) {
    if (errno(thrown) === 'ENOENT' || errno(thrown) === 'ENOTDIR') return [];
    throw thrown;
  }
}

/** Looked at each time: chmod leaves the folder's time stamp as it is. */
function kindOf(path: string): 'hook' | 'inert' | 'none' {
  try {
    if (!statSync(path).isFile()) return 'none';
    accessSync(path, constants.X_OK);
    return 'hook';
  } catch (thrown) {
    // Gone since the folder was read; a link that leads nowhere says ENOENT as well.
    return errno(thrown) === 'ENOENT' && !lstatSync(path, { throwIfNoEntry: false }) ? 'none' : 'inert';
  }
}
