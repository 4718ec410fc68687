// The run of a divided task once its subtasks are done: their branches are joined in its worktree, and no agent is started.
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { unseen } from '../agents/kept.ts';
import { monotonic, now } from '../clock.ts';
import { bootId } from '../process/identity.ts';
import type { Claim, Task } from '../queue/port.ts';
import { NO_TOKENS } from '../task/terms.ts';
import { breaksOf } from './breakdown.ts';
import type { Context } from './context.ts';
import { readDivided } from './divided.ts';
import type { Ending } from './ending.ts';
import type { Plan } from './plan.ts';
import { type RunRecord, type RunVerdict, readRun } from './record.ts';
import { writeJson } from './work.ts';

/** Who is named in what is told of a join: no agent ran. */
export const JOINER = 'towpath';

/** Why the work cannot be joined yet, or null. */
export async function joinWaits({ queue }: Context, ids: readonly string[]): Promise<Ending | null> {
  const found = await Promise.all(ids.map(async (id) => ({ id, queue: (await queue.get(id))?.queue ?? null })));
  const open = found.filter((one) => one.queue !== 'done').map(({ id, queue: at }) => `${id} (${at ?? 'in no queue'})`);
  return open.length === 0 ? null : { kind: 'hold', reason: `waits for ${open.join(', ')}`, waits_for: 'dependencies' };
}

/** Whether what waits to be judged is a join. */
export function isJoin({ workspace }: Pick<Context, 'workspace'>, task: Task): boolean {
  const role = readRun(workspace.run(task.id, task.state.runs ?? 1))?.role;
  return role !== undefined && (breaksOf(workspace, task, role)?.joins ?? null) !== null;
}

/** A join is not tried again by itself: it would come to the same. What failed of it is for a person. */
export function unjoined({ id }: Pick<Task, 'id'>, ending: Ending): Ending {
  if (ending.kind !== 'outcome') return ending;
  if (!['conflict', 'check_failed', 'rejected'].includes(ending.outcome)) return ending;
  const what = { conflict: 'cannot be joined', check_failed: 'fails its checks', rejected: 'is rejected' }[
    ending.outcome as 'conflict' | 'check_failed' | 'rejected'
  ];
  const todo = `mend it in the worktree and commit, or send a subtask back with "towpath retry"; then "towpath retry ${id}" joins again, and "towpath cancel ${id}" gives it up`;
  const reason = `what its subtasks made ${what}: ${ending.reason}; ${todo}`;
  return { kind: 'hold', reason, waits_for: 'operator', outcome: ending.outcome };
}

/** Writes the run down as if an agent had made it: what comes next is the same. */
export function joinedRun(ctx: Context, { task, lock }: Claim, plan: Plan): RunVerdict {
  const dir = ctx.workspace.run(task.id, lock.attempt);
  const divided = readDivided(ctx.workspace, task.id);
  mkdirSync(dir, { recursive: true, mode: 0o700 });
  const record: RunRecord = {
    ...{ marker: `${task.id}/${lock.attempt}/join`, started_at: now(), clock: { boot_id: bootId(), ms: monotonic() } },
    ...{ agent: plan.chosen.agent.name, model: null, role: plan.role.name, session: null, spec: task.spec },
  };
  writeJson(join(dir, 'run.json'), record);
  const list = divided?.subtasks.map(({ id, title }) => `- ${id}: ${title}`).join('\n') ?? '';
  const verdict: RunVerdict = {
    verdict: {
      ...{ outcome: 'ok', reason: '', session: null, model: null, question: null, retry_at: null },
      ...{ output: `${divided?.summary.trim() ?? ''}\n\nJoined:\n${list}\n`, artifacts: [], outputs: {} },
      usage: { ...NO_TOKENS, cost_usd: 0 },
    },
    ...{ ended: null, lost: false, resumed: false, duration_ms: 0, health: unseen(now()) },
  };
  ctx.events.emit('attempt_started', {
    ...{ task: task.id, attempt: lock.attempt, agent: JOINER, model: null, role: plan.role.name },
    ...{ branch: lock.branch, resumed: false, endpoint: undefined, project: task.spec.project },
  });
  writeJson(join(dir, 'verdict.json'), verdict);
  return verdict;
}
