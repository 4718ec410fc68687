// The train of one base branch: accepted branches are put on top of it, checked together, and merged; whoever breaks it goes back.
import { join } from 'node:path';
import type { Context } from '../../attempt/context.ts';
import { taskHooks } from '../../attempt/hook.ts';
import { TowpathError } from '../../errors.ts';
import type { Task } from '../../queue/port.ts';
import { worktreesDir } from '../../settings.ts';
import { git } from '../../worktree/git.ts';
import { keepCommit } from '../../worktree/keep.ts';
import { advance, tipOf } from '../../worktree/land.ts';
import { treeOf } from '../../worktree/objects.ts';
import { closeTrain, couple, fits, isIn, openTrain, standWhole, trainName } from '../../worktree/train.ts';
import type { Evidence } from '../checks.ts';
import { Later, passes, waitAgain } from '../later.ts';
import { arrived, broke, conflicted, held } from './arrive.ts';
import { firstBad } from './bisect.ts';
import { allChecks, keepEvidence, keptEvidence, prove } from './proof.ts';
import {
  boarding,
  forgetMerge,
  keyOf,
  type Line,
  type MergeRecord,
  type Rider,
  readMerge,
  stillRides,
  writeMerge,
} from './riders.ts';

/** What the train needs of its surroundings. */
export interface Track {
  signal: AbortSignal;
  /** Waits until no task works in the repository's own tree, and keeps it so while `work` runs. */
  alone: <T>(repo: string, work: () => Promise<T>) => Promise<T>;
  /** Is told of each task that has left the train. */
  left: (task: Task) => void;
}

interface Car {
  rider: Rider;
  /** What its work has become on top of those before it. */
  top: string;
}

/** Merges all that wait on a line, also those who come meanwhile. Entered again after a kill, it finds what was merged. */
export async function runTrain(ctx: Context, line: Line, track: Track): Promise<void> {
  const dir = join(worktreesDir(ctx.settings, ctx.workspace), trainName(keyOf(line)));
  const unfit = async (task: Task, thrown: unknown) => track.left(await held(ctx, task, thrown));
  let opened = false;
  let together = Number.POSITIVE_INFINITY;
  try {
    for (;;) {
      const riders = (await boarding(ctx, line, unfit)).slice(0, together);
      if (riders.length === 0 || track.signal.aborted) return;
      try {
        if (await arriveEarlier(ctx, line, riders, track)) continue;
        await ride(ctx, { line, dir, riders, track, onOpen: () => (opened = true) });
      } catch (thrown) {
        // Whose fault it is shows when each rides alone: nobody else is held up by it.
        if (riders.length > 1 && thrown instanceof TowpathError && !passes(thrown)) together = 1;
        else await stop(ctx, riders, track, thrown);
      }
    }
  } finally {
    if (opened) await closeTrain(dir, line.repo).catch(() => {});
  }
}

/** What stops the whole train: a person is asked, or it is tried again a little later. A fault of the machine is not the tasks'. */
async function stop(ctx: Context, riders: Rider[], track: Track, thrown: unknown): Promise<void> {
  if (!(thrown instanceof TowpathError)) throw thrown;
  for (const { task } of riders) {
    const now = await stillRides(ctx, task.id);
    if (!now) continue;
    const waits = passes(thrown) ? waitAgain(ctx, now.task, 'could not be merged', thrown) : held(ctx, task, thrown);
    track.left(await waits);
  }
}

/** Ends what a kill cut off after it was written down: the base is moved if it is not yet, and who rode is done. */
async function arriveEarlier(ctx: Context, line: Line, riders: Rider[], track: Track): Promise<boolean> {
  for (const { task, commit } of riders) {
    const record = readMerge(ctx, task.id);
    if (!record?.riders.some((one) => one.id === task.id && one.commit === commit)) continue;
    const tip = await tipOf(line.repo, line.onto);
    const merged = await isIn(git(line.repo), record.to, tip);
    if (merged || tip === record.from) return move(ctx, line, record, track);
  }
  return false;
}

/** Moves the base and brings home who rides. False when the base was elsewhere, or one of them has got off. */
async function move(ctx: Context, line: Line, record: MergeRecord, track: Track): Promise<boolean> {
  const moved = await track.alone(line.repo, async () => {
    const tip = await tipOf(line.repo, line.onto);
    if (await isIn(git(line.repo), record.to, tip)) return advance(line.repo, line.onto, record.from, record.to);
    for (const { id, commit } of record.riders) if ((await stillRides(ctx, id))?.commit !== commit) return 'moved';
    return advance(line.repo, line.onto, record.from, record.to).catch(async (thrown: unknown) => {
      // Where it was not moved, these need not arrive together. Else what is left is for the next time, by what is written down.
      const there = await isIn(git(line.repo), record.to, `refs/heads/${line.onto}`);
      if (thrown instanceof TowpathError && !there) forgetMerge(ctx, record);
      throw thrown;
    });
  });
  if (moved === 'moved') return false;
  if (ctx.settings.durability === 'full')
    await keepCommit(line.repo, record.from, record.to, [`refs/heads/${line.onto}`]);
  for (const { id, commit, merged } of record.riders) {
    const rider = await stillRides(ctx, id);
    if (rider?.commit === commit) track.left(await arrived(ctx, rider.task, merged));
  }
  return true;
}

async function ride(
  ctx: Context,
  { line, dir, riders, track, onOpen }: { line: Line; dir: string; riders: Rider[]; track: Track; onOpen: () => void },
): Promise<void> {
  const tip = await tipOf(line.repo, line.onto);
  let open = false;
  // A tree of files is made for those alone who must be rebased, or checked again.
  const ground = async () => {
    if (open) return;
    onOpen();
    for (const message of await openTrain(dir, tip, line.repo)) ctx.events.emit('warning', { message });
    open = true;
  };
  const cars: Car[] = [];
  for (const rider of riders) {
    const message = `Merge branch '${rider.work.branch}'\n\nTowpath-Task: ${rider.task.id}\n`;
    const before = cars.at(-1)?.top ?? tip;
    const asIs = await fits(line.repo, before, rider.commit);
    if (asIs === null) await ground();
    const coupled = asIs === null ? await couple(dir, before, rider.commit, message) : { top: asIs };
    if ('top' in coupled) cars.push({ rider, top: coupled.top });
    // With another one that may not arrive itself: it waits for the next train, on the base as it is then.
    else if (cars.length === 0) {
      track.left(await conflicted(ctx, rider, line, tip, coupled.files));
      return;
    }
  }
  const probe = prober(ctx, cars, { dir, repo: line.repo, signal: track.signal, ground });
  const fails = async (count: number) => {
    const evidence = await probe(count);
    return evidence === null ? null : evidence.some(({ ok }) => !ok);
  };
  const failed = await fails(cars.length);
  const bad = failed ? await firstBad(cars.length, fails) : null;
  if (failed === null || track.signal.aborted || (failed && bad === null)) return;
  const good = bad === null ? cars : cars.slice(0, bad - 1);
  if (good.length > 0) {
    const evidence = (await probe(good.length)) ?? [];
    for (const { rider } of good) keepEvidence(ctx, rider, evidence);
    const to = good.at(-1)!.top;
    const all = good.map(({ rider, top }) => ({ id: rider.task.id, commit: rider.commit, merged: top }));
    const record = { onto: line.onto, from: tip, to, riders: all };
    if (ctx.settings.durability === 'full') await keepCommit(line.repo, tip, to, []);
    writeMerge(ctx, record);
    if (!(await move(ctx, line, record, track))) return;
  }
  const blamed = bad === null ? undefined : cars[bad - 1];
  if (!blamed || !(await stillRides(ctx, blamed.rider.task.id))) return;
  const evidence = (await probe(bad!)) ?? [];
  keepEvidence(ctx, blamed.rider, evidence);
  track.left(await broke(ctx, blamed.rider, line, good.at(-1)?.top ?? tip, evidence));
}

/** Runs the checks with so many cars, each number once; null when it was called off. */
function prober(
  ctx: Context,
  cars: Car[],
  { dir, repo, signal, ground }: { dir: string; repo: string; signal: AbortSignal; ground: () => Promise<void> },
): (count: number) => Promise<Evidence[] | null> {
  const known = new Map<number, Evidence[]>();
  let ready = false;
  return async (count) => {
    const found = known.get(count);
    if (found) return found;
    const riding = cars.slice(0, count).map(({ rider }) => rider);
    const { top } = cars[count - 1]!;
    const tree = await treeOf(git(repo), top);
    const checks = allChecks(riding);
    let evidence = keptEvidence(ctx, riding.at(-1)!, tree, checks);
    if (!evidence) {
      await ground();
      for (const message of await standWhole(dir, top, repo)) ctx.events.emit('warning', { message });
      if (!ready) await setUp(ctx, riding[0]!, dir, signal);
      ready = true;
      evidence = await prove(ctx, riding, { dir, tree, signal });
    }
    if (signal.aborted) return null;
    known.set(count, evidence);
    return evidence;
  };
}

/** The train's worktree is a fresh one too. */
async function setUp(ctx: Context, { task, plan, work }: Rider, dir: string, signal: AbortSignal): Promise<void> {
  const moment = { task, lock: null, attempt: task.state.runs ?? 1, plan, result: null, signal };
  const answer = await taskHooks(ctx, 'setup', { ...moment, work: { ...work, worktree: dir } });
  if (!('ending' in answer)) return;
  if (answer.ending.kind === 'later') throw new Later(answer.ending.reason, answer.ending.delay_ms);
  throw new TowpathError('failed', answer.ending.reason, 'mend the hook');
}
