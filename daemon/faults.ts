// Faults of the machine in words: what a system error means for whoever waits for their tasks.
import { errno } from './errors.ts';

/** A fault as `status` tells it: what is wrong, since when, and what Towpath does about it. */
export interface Fault {
  what: string;
  since: string;
  doing: string;
}

/** System errors that are nobody's mistake and that end by themselves or by an operator's hand: errno(3). */
const WORDS: Readonly<Record<string, string>> = {
  ENOSPC: 'the disk is full',
  EDQUOT: 'the disk quota is used up',
  EROFS: 'the disk is read-only',
  EIO: 'the disk answers with errors',
  ESTALE: 'the network disk is gone',
  ENOTCONN: 'the network disk is gone',
  EMFILE: 'no file descriptor is left to this process',
  ENFILE: 'no file descriptor is left on this machine',
  ENOMEM: 'no memory is left',
  EAGAIN: 'no process can be started: a limit of the system is reached',
  EACCES: 'a file may not be read or written',
  EPERM: 'a file may not be changed',
};

/** What a thrown value says of the machine, with the path; null when it says something else. */
export function machineFault(thrown: unknown): string | null {
  const words = WORDS[errno(thrown) ?? ''];
  if (words === undefined) return null;
  const { syscall, path } = thrown as NodeJS.ErrnoException;
  const where = [syscall, path].filter(Boolean).join(' ');
  return where ? `${words} (${where})` : words;
}
