// Takes secrets out of a file that a run has printed, in place: what lies where, and how long it is, stays.
import { closeSync, fstatSync, openSync, readSync, writeSync } from 'node:fs';

/** Read in one go, bytes. */
const PIECE = 1 << 20;

/** Overwrites every value with asterisks; a value that lies over two pieces is found as well. A file that is not there has none. */
export function scrub(path: string, values: readonly string[]): void {
  const secrets = values.map((value) => Buffer.from(value));
  const longest = Math.max(0, ...secrets.map((secret) => secret.length));
  if (longest === 0) return;
  let fd: number;
  try {
    fd = openSync(path, 'r+');
  } catch {
    return;
  }
  try {
    const { size } = fstatSync(fd);
    const buffer = Buffer.alloc(PIECE + longest);
    for (let at = 0; at < size; at += PIECE) {
      const piece = buffer.subarray(0, readSync(fd, buffer, 0, buffer.length, at));
      for (const secret of secrets)
        for (let found = piece.indexOf(secret); found >= 0; found = piece.indexOf(secret, found + secret.length))
          writeSync(fd, Buffer.alloc(secret.length, '*'), 0, secret.length, at + found);
    }
  } finally {
    closeSync(fd);
  }
}
