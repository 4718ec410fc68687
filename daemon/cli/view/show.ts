// towpath show: all there is to know of one task: its file, its lock, its runs, from the folders and the ledger.
import { plannedIn } from '../../attempt/breakdown.ts';
import { readDivided } from '../../attempt/divided.ts';
import { TowpathError } from '../../errors.ts';
import { type Opinion, opinionsOn, type Patch, patchesOf } from '../../gate/helpers/opinions.ts';
import type { Attempt, Ledger } from '../../ledger/ledger.ts';
import type { Workspace } from '../../paths.ts';
import { readLock } from '../../queue/files/lock.ts';
import { filedBy, parentOf } from '../../queue/files/subtasks.ts';
import { type Phase, type QueuePort, type Task, toJson } from '../../queue/port.ts';
import { BREAKDOWN, type Division } from '../../task/breakdown.ts';
import type { Outcome, Queue, TaskJson, Tokens } from '../../task/terms.ts';
import { Runs, stepOf } from '../../workflow/plan.ts';
import { needOf } from './needs.ts';
import { type Check, type Run, type RunHealth, readRuns } from './runs.ts';
import { shellWord, shortSha } from './words.ts';

/** One run of an agent, from its folder and from the ledger, whichever has it. */
export interface ShownRun {
  attempt: number;
  role: string | null;
  agent: string | null;
  model: string | null;
  /** null: it runs, or its end was not seen. */
  outcome: Outcome | null;
  reason: string | null;
  started_at: string | null;
  duration_ms: number | null;
  tokens: Tokens | null;
  cost_usd: number | null;
  /** What was last seen of its processes; null: nothing yet, or its folder is gone. */
  health: RunHealth | null;
  checks: Check[];
}

export interface Shown {
  task: TaskJson;
  phase: Phase | null;
  /** The task that filed it, or null: a person. */
  parent: string | null;
  /** The run of a workflow that it is a step of; `item` is counted from 1. */
  workflow: { run: string; step: string; item: number | null } | null;
  /** What it filed, and where that lies now; null: nowhere any more. */
  subtasks: { id: string; queue: Queue | null }[];
  /** What reviewing agents said, or are about to say, of its results. */
  reviews: Opinion[];
  /** What agents answered to failed checks. */
  fixes: Patch[];
  /** How it is divided, or is to be. */
  plan: Division | null;
  runs: ShownRun[];
  /** Commands that make sense now. */
  next: string[];
}

export interface ShowSources {
  workspace: Workspace;
  queue: QueuePort;
  ledger: Ledger;
}

/** Throws `task_not_found`. */
export async function gatherShow({ workspace, queue, ledger }: ShowSources, id: string): Promise<Shown> {
  const task = await queue.get(id);
  if (!task) throw new TowpathError('task_not_found', `no task "${id}"`, 'see "towpath list"');
  const read = task.queue === 'claimed' ? readLock(workspace.lock(task.id)) : null;
  const lock = read === 'unreadable' ? null : read;
  const json = toJson(task, lock);
  const need = needOf(workspace, task);
  const runs = mergeRuns(readRuns(workspace, task.id), ledger.attempts({ task: task.id }));
  const subtasks = await Promise.all(
    filedBy(workspace, id).map(async (one) => ({ id: one, queue: (await queue.get(one))?.queue ?? null })),
  );
  const parent = parentOf(workspace, id)?.parent ?? null;
  return {
    task: json,
    phase: lock?.phase ?? null,
    parent,
    workflow: workflowOf(workspace, id),
    subtasks,
    reviews: await opinionsOn({ workspace, queue }, id),
    fixes: await patchesOf({ workspace, queue }, id),
    plan: planOf(workspace, task),
    runs,
    next: need ? [need.next, ...also(json)] : also(json),
  };
}

function workflowOf(workspace: Workspace, id: string): Shown['workflow'] {
  const known = stepOf(workspace, id);
  const plan = known && new Runs(workspace, 'fast').plan(known.run);
  if (!plan) return null;
  return { run: plan.run, step: plan.steps[known.step]!.name, item: known.item === undefined ? null : known.item + 1 };
}

/** As it was filed, under the names of the tasks; before that as its last run planned it. */
function planOf(workspace: Workspace, { id, state, spec }: Task): Division | null {
  if ((state.role ?? spec.role) !== BREAKDOWN) return null;
  const { run, ...divided } = readDivided(workspace, id) ?? { run: null };
  return run === null ? plannedIn(workspace, id, state.runs ?? 1) : (divided as Division);
}

/** The task as JSON, with its runs; the fields of the task are those that every interface shows. */
export const showJson = ({
  task,
  parent,
  workflow,
  subtasks,
  reviews,
  fixes,
  plan,
  runs,
  next,
}: Shown): Record<string, unknown> => ({
  ...task,
  parent,
  workflow,
  subtasks,
  reviews,
  fixes,
  plan,
  health: runs.at(-1)?.health ?? null,
  runs,
  next,
});

/** The folder has what the agent said, the ledger what it came to. A run that only one of them knows is shown too. */
export function mergeRuns(folders: readonly Run[], rows: readonly Attempt[]): ShownRun[] {
  const left = new Set(rows);
  const shown = folders.map((run): ShownRun => {
    // An id that was used again has several rows of one number: the folder is the latest one's.
    const row = rows.findLast((one) => one.attempt === run.attempt && (run.role === null || one.role === run.role));
    for (const one of rows) if (one.attempt === run.attempt && one.role === row?.role) left.delete(one);
    const usage = run.verdict?.usage ?? null;
    return {
      attempt: run.attempt,
      role: row?.role ?? run.role,
      agent: row?.agent ?? run.agent,
      model: row?.model ?? run.model,
      outcome: row?.outcome ?? run.verdict?.outcome ?? null,
      reason: row?.reason || run.verdict?.reason || null,
      started_at: row?.started_at ?? run.started_at,
      duration_ms: row?.duration_ms ?? run.duration_ms,
      tokens: row?.outcome ? row.tokens : usage && withoutCost(usage),
      cost_usd: row?.cost_usd ?? usage?.cost_usd ?? null,
      health: run.health?.seen_at ? run.health : null,
      checks: run.checks,
    };
  });
  for (const { task: _, finished_at: __, ...row } of left) shown.push({ ...row, health: null, checks: [] });
  return shown.sort((a, b) => a.attempt - b.attempt);
}

const withoutCost = ({ input, output, cache_read, cache_write }: Tokens): Tokens => ({
  input,
  output,
  cache_read,
  cache_write,
});

function also(task: TaskJson): string[] {
  const id = shellWord(task.id);
  const work = task.base
    ? `${shellWord(shortSha(task.base))}...${shellWord(task.branch ?? '')}`
    : shellWord(task.branch ?? '');
  // One that was merged has no branch any more.
  const seen = task.branch
    ? `git ${task.base ? 'diff' : 'log -p'} ${work}`
    : `git show ${shellWord(task.commit ?? '')}`;
  const diff = task.commit ? [seen] : [];
  switch (task.queue) {
    case 'claimed':
      return [`towpath logs ${id} -f`];
    case 'incoming':
      return [`towpath why ${id}`];
    case 'blocked':
      return [`towpath why ${id}`, ...(task.attempts > 0 ? [`towpath logs ${id}`] : [])];
    case 'provisional':
    case 'done':
      return diff;
    case 'failed':
      return [...(task.outcome === 'refused' ? [] : [`towpath logs ${id}`]), ...diff];
  }
}
