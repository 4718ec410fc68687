// The transition table: which queue may follow which, and what a file found in another queue than recorded means.
import type { Queue } from './terms.ts';

const FOLLOWS: Readonly<Record<Queue, readonly Queue[]>> = {
  incoming: ['claimed', 'blocked', 'failed'],
  claimed: ['provisional', 'incoming', 'blocked', 'failed'],
  provisional: ['done', 'incoming', 'blocked', 'failed'],
  blocked: ['incoming', 'provisional', 'failed'],
  failed: ['incoming'],
  done: ['incoming'],
};

export const mayMove = (from: Queue, to: Queue): boolean => FOLLOWS[from].includes(to);

/** What a person meant who moved a file by hand: the command that does the same. */
export type HandMove = 'retry' | 'reject' | 'accept' | 'cancel' | 'pause' | 'none';

/** Reads a hand move from the queue that the file records and the one it lies in. */
export function handMove(recorded: Queue | undefined, lies: Queue): HandMove {
  if (recorded === undefined || recorded === lies) return 'none';
  if (lies === 'incoming') return recorded === 'provisional' ? 'reject' : recorded === 'claimed' ? 'none' : 'retry';
  if (lies === 'done') return 'accept';
  if (lies === 'failed') return 'cancel';
  if (lies === 'blocked') return 'pause';
  return 'none';
}
