// The checks of those who ride, run once on what they come to together; the gate's own evidence serves where its tree is the same.
import { join } from 'node:path';
import type { Context } from '../../attempt/context.ts';
import { readJson, writeJson } from '../../attempt/work.ts';
import { redactAll } from '../../secrets.ts';
import { commandOf, type Evidence, runChecks, type ToRun } from '../checks.ts';
import type { Rider } from './riders.ts';

/** Every check of each of them, with the commands that their testers named, the same one once. */
export function allChecks(riders: readonly Rider[]): ToRun[] {
  const all: ToRun[] = riders.flatMap(({ plan, brought }) => [...plan.checks, ...brought]);
  return [...new Map(all.map((check) => [JSON.stringify(check), check])).values()];
}

const evidenceOf = (ctx: Pick<Context, 'workspace'>, { task }: Rider): string =>
  join(ctx.workspace.run(task.id, task.state.runs ?? 1), 'checks.json');

/** What the gate found of this very tree, when it ran all of the checks; else it is stale. */
export function keptEvidence(
  ctx: Pick<Context, 'workspace'>,
  rider: Rider,
  tree: string,
  checks: readonly ToRun[],
): Evidence[] | null {
  const kept = readJson<Evidence[]>(evidenceOf(ctx, rider)) ?? [];
  const good = new Set(kept.flatMap((one) => (one.ok && one.tree === tree ? [nameOf(one)] : [])));
  return checks.every((check) => good.has(nameOf(commandOf(check)))) ? kept : null;
}

const nameOf = ({ command, by }: Pick<Evidence, 'command' | 'by'>): string => JSON.stringify([command, by ?? null]);

/** Kept with the run in place of the gate's, which is stale. */
export function keepEvidence(ctx: Pick<Context, 'workspace'>, rider: Rider, evidence: Evidence[]): void {
  if (evidence.length > 0) writeJson(evidenceOf(ctx, rider), redactAll(evidence));
}

/**
 * Runs the checks of those up to the last rider where the train stands. A command that an agent has named and that fails is tried once
 * more: it may fail by chance, and it sends accepted work back.
 */
export async function prove(
  ctx: Context,
  riders: readonly Rider[],
  { dir, tree, signal }: { dir: string; tree: string; signal: AbortSignal },
): Promise<Evidence[]> {
  const last = riders.at(-1)!;
  const attempt = last.task.state.runs ?? 1;
  const given = {
    cwd: dir,
    allow: ctx.settings.env,
    set: {
      TOWPATH_TASK_ID: last.task.id,
      TOWPATH_ATTEMPT: String(attempt),
      TOWPATH_WORKTREE: dir,
      TOWPATH_WORKSPACE: ctx.workspace.root,
    },
    timeout_ms: Math.max(...riders.map(({ plan }) => plan.timeout_ms)),
    tree,
    signal,
    onDone: ({ command, code, ok, duration_ms, by }: Evidence) =>
      ctx.events.emit('check_finished', { task: last.task.id, attempt, command, code, ok, tree, duration_ms, by }),
  };
  const checks = allChecks(riders);
  const evidence = await runChecks({ checks, ...given });
  for (const [at, { by, ok }] of evidence.entries()) {
    if (ok || by === undefined || signal.aborted) continue;
    const [again] = await runChecks({ checks: [checks[at]!], ...given });
    if (again) evidence[at] = { ...again, again: true };
  }
  return evidence;
}
