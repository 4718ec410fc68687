// A pull request for an accepted branch: pushed, opened once, and watched until it is merged or closed.
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Context } from '../../attempt/context.ts';
import { addFeedback } from '../../attempt/ending.ts';
import { readRun } from '../../attempt/record.ts';
import { readJson, readWork, type Work } from '../../attempt/work.ts';
import { messageOf, TowpathError } from '../../errors.ts';
import type { Task } from '../../queue/port.ts';
import { redact } from '../../secrets.ts';
import { reviewFeedback } from '../../task/review.ts';
import { push } from '../../worktree/push.ts';
import { finishTask, land } from '../accept.ts';
import type { Evidence } from '../checks.ts';
import { turnBack } from '../gate.ts';
import { runOf } from '../helpers/helper.ts';
import { opinionsOn } from '../helpers/opinions.ts';
import { Later, passes, waitAgain } from '../later.ts';
import { pullBody } from './body.ts';
import { forgeEnv, type Places, type Problem, readStatus, runProgram, urlIn } from './program.ts';
import { readPull, writePull } from './record.ts';

interface Offered {
  task: Task;
  work: Work;
  commit: string;
  places: Places;
}

/** A task that waits for its pull request, as it is now; null when a person has taken it away. */
async function offered(ctx: Context, id: string): Promise<Offered | null> {
  const found = await ctx.queue.get(id);
  const work = readWork(ctx.workspace, id);
  if (found?.queue !== 'provisional' || found.state.waits_for !== 'pr' || !work?.accepted || !work.handed) return null;
  const dir = ctx.workspace.run(id, found.state.runs ?? 1);
  const task = { ...found, spec: readRun(dir)?.spec ?? found.spec };
  const { remote } = ctx.settings.pr;
  const onto = work.onto ?? '';
  const base = onto.startsWith(`${remote}/`) ? onto.slice(remote.length + 1) : onto;
  const places = { id, branch: work.branch!, base, title: redact(task.title), remote };
  return { task, work, commit: work.handed.commit, places: { ...places, body_file: join(dir, 'pull-request.md') } };
}

/** Whether its pull request is open for what was accepted last. */
function isOpened(ctx: Context, id: string): boolean {
  const commit = readWork(ctx.workspace, id)?.handed?.commit;
  return commit !== undefined && readPull(ctx, id).opened === commit;
}

/** The same, and its task says so: killed in between, only that is left to be done. */
export const isTold = (ctx: Context, { id, state }: Task): boolean =>
  isOpened(ctx, id) && (state.pr ?? null) === readPull(ctx, id).url;

/** Pushes the branch and opens the request, unless it is there. Entered again after a kill it opens no second one. */
export async function openPull(ctx: Context, id: string, signal: AbortSignal): Promise<Task | null> {
  const one = await offered(ctx, id);
  if (!one) return null;
  try {
    const url = await open(ctx, one, signal);
    if (!(await offered(ctx, id))) return null;
    const reason = `waits for its pull request${url ? `: ${url}` : ''}`;
    const state = { reason, pr: url ?? undefined, not_before: undefined, transients: undefined };
    const waiting = await ctx.queue.move(id, 'provisional', { to: 'provisional', state });
    ctx.events.emit('transition', { task: id, from: 'provisional', to: 'provisional', reason });
    return waiting;
  } catch (thrown) {
    if (signal.aborted || !(thrown instanceof TowpathError)) throw thrown;
    const now = await offered(ctx, id);
    if (!now) return null;
    if (passes(thrown)) return waitAgain(ctx, now.task, FAILED, thrown);
    const why = redact(`${FAILED}: ${thrown.line}; then "towpath accept ${id}"`);
    return turnBack(ctx, one.task, null, { kind: 'hold', reason: why, waits_for: 'pr' });
  }
}

const FAILED = 'no pull request could be opened';

async function open(ctx: Context, one: Offered, signal: AbortSignal): Promise<string | null> {
  const { task, work, commit, places } = one;
  const { id } = task;
  const { pr } = ctx.settings;
  let record = readPull(ctx, id);
  if (record.opened === commit) return record.url;
  const { pushed, url: earlier } = record;
  // Before it is there: what a kill left on the server is known for ours.
  record = writePull(ctx, id, { ...record, pushed: [...pushed.filter((sha) => sha !== commit), commit] });
  const { remote } = pr;
  await push(work.repo, { remote, branch: places.branch, commit, ours: pushed, env: forgeEnv(ctx), signal });
  const there = await ask(ctx, one, signal);
  // One that was merged or closed is an earlier one, unless it is this very one and we were killed before we heard of it.
  const before = record.opening === commit ? record.before : undefined;
  const isThis = 'state' in there && before !== undefined && there.url !== before && there.url !== earlier;
  if ('state' in there && there.state !== 'NONE' && (there.state === 'OPEN' || isThis))
    return writePull(ctx, id, { ...record, opened: commit, url: there.url }).url;
  if ('problem' in there && there.passes) throw new Later(there.problem);
  // Whether there is one is not known: a second one would be worse than none.
  if ('problem' in there && there.mute) throw new TowpathError('failed', there.problem, 'put pr.status right');
  record = writePull(ctx, id, { ...record, opening: commit, before: 'state' in there ? there.url : before });
  mkdirSync(join(places.body_file, '..'), { recursive: true, mode: 0o700 });
  const evidence = readJson<Evidence[]>(join(places.body_file, '..', 'checks.json')) ?? [];
  writeFileSync(places.body_file, redact(pullBody(task, await reviewsOf(ctx, task), evidence)), { mode: 0o600 });
  const made = await runProgram(ctx, pr.command, { cwd: work.repo, places, signal });
  if ('stdout' in made) return writePull(ctx, id, { ...record, opened: commit, url: urlIn(made.stdout) }).url;
  // It may be there all the same: the answer was lost, or somebody opened it meanwhile.
  const now = await ask(ctx, one, signal);
  if ('state' in now && now.state === 'OPEN')
    return writePull(ctx, id, { ...record, opened: commit, url: now.url }).url;
  if (made.passes) throw new Later(made.problem);
  writePull(ctx, id, { ...record, opening: undefined as never });
  throw new TowpathError('failed', made.problem, 'put it right');
}

/** What `pr.status` tells of the request. */
async function ask(
  ctx: Context,
  { work, places }: Offered,
  signal?: AbortSignal,
): Promise<NonNullable<ReturnType<typeof readStatus>> | Problem> {
  const { status } = ctx.settings.pr;
  const asked = await runProgram(ctx, status, { cwd: work.repo, places, signal });
  if ('problem' in asked) return asked;
  const printed = asked.stdout.trim() === '' ? 'nothing' : 'no JSON with a state';
  const problem = `${status[0]} exited with 0 and printed ${printed} ({"state": "NONE"} where there is no pull request)`;
  return readStatus(asked.stdout) ?? { problem, passes: false, mute: true };
}

/** What was said of what is offered. */
async function reviewsOf(ctx: Context, task: Task): Promise<string> {
  const all = await opinionsOn(ctx, task.id);
  const said = all.flatMap(({ verdict, ...one }) =>
    verdict && one.attempt === runOf(task) ? [{ ...one, verdict }] : [],
  );
  return reviewFeedback(said);
}

/** Asks how an open request stands: a merged one is done, a closed one waits for a person. */
async function askPull(ctx: Context, id: string): Promise<Task | Problem | null> {
  const one = await offered(ctx, id);
  if (!one || !isOpened(ctx, id)) return null;
  const status = await ask(ctx, one);
  if ('problem' in status) return status;
  const now = await offered(ctx, id);
  if (!now || now.commit !== one.commit || status.state === 'OPEN') return null;
  if (status.state === 'NONE') return { problem: `there is none for ${one.places.branch} any more`, passes: false };
  if (status.state === 'MERGED') return finishTask(ctx, now.task, await land(ctx, now.task));
  return closed(ctx, now);
}

async function closed(ctx: Context, { task }: Offered): Promise<Task> {
  const which = task.state.pr ? `: ${task.state.pr}` : '';
  const next = `"towpath retry ${task.id}" does it again; once it is open again, "towpath accept ${task.id}"`;
  const reason = `its pull request was closed and not merged${which}; ${next}`;
  const moved = await ctx.queue.move(task.id, 'provisional', {
    to: 'blocked',
    state: {
      ...{ outcome: 'rejected', reason, waits_for: 'pr' },
      feedback: addFeedback(task.state.feedback, { reason, from: 'pr' }, Date.now(), task.state.runs ?? null),
    },
  });
  const told = { task: task.id, from: 'provisional', to: 'blocked', outcome: 'rejected', reason } as const;
  ctx.events.emit('transition', told);
  return moved;
}

/** Asks for all of them, one after the other. Returns those that have gone on, and what is wrong with asking, of one task after another. */
export async function askPulls(
  ctx: Context,
  ids: readonly string[],
): Promise<{ gone: Task[]; problems: { id: string; problem: string }[] }> {
  const gone: Task[] = [];
  const problems: { id: string; problem: string }[] = [];
  /** Repositories whose server is away: each further question would wait for its time-out. */
  const away = new Set<string>();
  for (const id of ids) {
    const repo = readWork(ctx.workspace, id)?.repo ?? '';
    if (away.has(repo)) continue;
    try {
      const found = await askPull(ctx, id);
      if (found && 'problem' in found) {
        problems.push({ id, problem: found.problem });
        if (found.passes) away.add(repo);
      } else if (found) gone.push(found);
    } catch (thrown) {
      problems.push({ id, problem: messageOf(thrown) });
    }
  }
  return { gone, problems };
}
