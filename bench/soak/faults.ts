// What goes wrong in the soak, one at a time, in an order that the seed determines.
import { mkdirSync, readdirSync, renameSync, rmSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { until } from '../measure.ts';
import { type Towpath, textOf } from '../workspace.ts';
import type { Disk } from './disk.ts';
import { pick, type Random, shuffled } from './random.ts';
import type { Note } from './work.ts';

export const FAULTS = [
  'daemon killed',
  'agent killed',
  'disk full',
  'ledger deleted',
  'queue made anew',
  'queues away',
] as const;
export type Fault = (typeof FAULTS)[number];

/** One round of all; those that happen more often in life come more often. */
const ROUND: Fault[] = [...FAULTS, 'daemon killed', 'daemon killed', 'agent killed', 'agent killed'];

/** Faults without end. The first ones come early: a kill of each sort. */
export function* inTurn(next: Random): Generator<Fault, never> {
  yield 'daemon killed';
  yield 'agent killed';
  for (;;) yield* shuffled(next, ROUND);
}

export interface World {
  place: Towpath;
  disk: Disk;
  next: Random;
  /** Runs that have begun and have not said that their work is done. */
  open(): Note[];
  /** An agent was killed by us: it may do its work again. */
  killed(note: Note): void;
}

/** Lets it happen, and ends it again where it lasts. */
export async function inflict(fault: Fault, world: World): Promise<void> {
  const { place, disk, next } = world;
  switch (fault) {
    case 'daemon killed':
      for (let times = next() < 0.3 ? 2 : 1; times > 0; times--) {
        await place.kill();
        await sleep(next() * 600);
        await place.start();
        await sleep(next() * 400);
      }
      return;
    case 'agent killed':
      return killAgent(world);
    case 'disk full':
      disk.full?.(true);
      await sleep(1500 + next() * 1500);
      disk.full?.(false);
      return;
    case 'ledger deleted':
      return rmSync(place.path('.towpath/ledger.db'), { force: true });
    case 'queue made anew':
      return makeAnew(place, pick(next, ['incoming', 'done']));
    case 'queues away':
      renameSync(place.path('queues'), place.path('queues-away'));
      await sleep(500 + next() * 2500);
      renameSync(place.path('queues-away'), place.path('queues'));
  }
}

async function killAgent({ open, killed, next }: World): Promise<void> {
  const alive = () =>
    open().filter(({ id, pid }) => textOf(`/proc/${pid}/environ`).includes(`TOWPATH_TASK_ID=${id}\0`));
  await until(() => alive().length > 0, 'an agent runs', 2000, 20).catch(() => {});
  const one = pick(next, alive());
  if (!one) return;
  try {
    process.kill(one.pid, 'SIGKILL');
  } catch (thrown) {
    // It was faster.
    if ((thrown as NodeJS.ErrnoException).code === 'ESRCH') return;
    throw thrown;
  }
  killed(one);
}

/** Removed and made again, as by a person who tidies up; the files are put back. */
function makeAnew(place: Towpath, queue: string): void {
  const aside = place.path(`${queue}-aside`);
  renameSync(place.path('queues', queue), aside);
  mkdirSync(place.path('queues', queue), { recursive: true });
  for (const name of readdirSync(aside)) renameSync(`${aside}/${name}`, place.path('queues', queue, name));
  rmSync(aside, { recursive: true });
}
