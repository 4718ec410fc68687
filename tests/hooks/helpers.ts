// What the hook tests share: a workspace with hooks in any language, and a way to run one event of them.
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { onTestFinished } from 'vitest';
import { Events, type TowpathEvent } from '../../daemon/events.ts';
import { type HooksOptions, runHooks } from '../../daemon/hooks/run.ts';
import { Workspace } from '../../daemon/paths.ts';
import type { HookEvent } from '../../daemon/settings.ts';

export const SHELL = '#!/bin/sh\n';

/** A workspace whose hooks/ holds these executables, by name. */
export function workspace(hooks: Record<string, string> = {}): Workspace {
  const root = mkdtempSync(join(tmpdir(), 'towpath-hooks-'));
  onTestFinished(() => rmSync(root, { recursive: true, force: true }));
  const made = new Workspace(root);
  mkdirSync(made.hooks);
  for (const [name, script] of Object.entries(hooks)) write(join(made.hooks, name), script);
  return made;
}

export function write(path: string, script: string, mode = 0o755): string {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, script);
  chmodSync(path, mode);
  return path;
}

export const TASK = { id: 'fix-date', title: 'Fix the date', queue: 'claimed', role: 'implementer', outcome: null };

/** Runs the hooks of an event and returns the answer with all events. */
export async function hook(where: Workspace, event: HookEvent, more: Partial<HooksOptions> = {}) {
  const events = new Events();
  const seen: TowpathEvent[] = [];
  events.on((one) => seen.push(one));
  const answer = await runHooks({
    workspace: where,
    event,
    payload: { task: TASK, attempt: 2, repo: where.root, worktree: where.root, branch: 'towpath/fix-date' },
    cwd: where.root,
    timeout_ms: 15_000,
    events,
    ...more,
  });
  const output = seen.flatMap((one) => (one.event === 'hook_output' ? [one.text] : []));
  return { ...answer, seen, output };
}
