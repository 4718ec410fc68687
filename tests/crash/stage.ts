// The stage of the kit's single scenes: one world at a time, and a program in it that stands still the first time that it is run.
import { existsSync, readFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { afterEach, it } from 'vitest';
import { until } from '../helpers/workspace.ts';
import { originals } from './invariants.ts';
import { type Made, World } from './world.ts';

export const SETTINGS = 'agent: shell\nretry: {initial: 100ms}\n';
export const linux = it.runIf(process.platform === 'linux');
/** Waits for long the first time that it is run, and tells that it does. */
export const ONCE = '[ -e "$TOWPATH_WORKSPACE/../slow" ] || { echo $$ > "$TOWPATH_WORKSPACE/../slow"; sleep 300; }';

export let world: World;
afterEach(() => world.close());

export function make(made: Omit<Made, 'settings'> & { settings?: string }): Map<string, string> {
  world = new World({ settings: SETTINGS, ...made });
  return originals(world);
}
export const beside = (name: string) => `${dirname(world.root)}/${name}`;
export const slow = () =>
  until(() => existsSync(beside('slow')) && readFileSync(beside('slow'), 'utf8') !== '', 'the slow one is at work');
