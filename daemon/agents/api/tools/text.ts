// Reads and writes the text files of a worktree; what is no plain file, or no text, is refused.
import { closeSync, constants, fstatSync, mkdirSync, openSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { errno } from '../../../errors.ts';
import { Refusal } from './tool.ts';

/** A larger file is not read whole, bytes. */
const FILE_BYTES = 10_000_000;
/** A file that holds a NUL this early is no text. */
const SNIFFED = 8000;
// The path was judged already: a link, or a pipe, that took its place meanwhile is not opened.
const SAFE = constants.O_NOFOLLOW | constants.O_NONBLOCK;

/** The text of a file by its real path. `name` is what the model calls it. */
export function readText(real: string, name: string): string {
  const bytes = open(real, name, constants.O_RDONLY, (fd) => {
    const stat = fstatSync(fd);
    if (stat.isDirectory()) throw new Refusal(`${name} is a folder: use list_files`);
    if (!stat.isFile()) throw new Refusal(`${name} is no plain file`);
    if (stat.size > FILE_BYTES) throw new Refusal(`${name} is too large (${stat.size} bytes): use search`);
    return readFileSync(fd);
  });
  if (isBinary(bytes)) throw new Refusal(`${name} is no text`);
  return bytes.toString('utf8');
}

export const isBinary = (bytes: Buffer): boolean => bytes.subarray(0, SNIFFED).includes(0);

export function writeText(real: string, name: string, text: string): void {
  mkdirSync(dirname(real), { recursive: true });
  const { O_WRONLY, O_CREAT } = constants;
  open(real, name, O_WRONLY | O_CREAT, (fd) => {
    if (!fstatSync(fd).isFile()) throw new Refusal(`${name} is no plain file`);
    writeFileSync(fd, text);
  });
}

function open<T>(real: string, name: string, flags: number, use: (fd: number) => T): T {
  let fd: number;
  try {
    fd = openSync(real, flags | SAFE | (flags & constants.O_WRONLY ? constants.O_TRUNC : 0), 0o666);
  } catch (thrown) {
    const why = { ENOENT: 'does not exist', EISDIR: 'is a folder', ELOOP: 'became a link', ENXIO: 'is no plain file' };
    const known = why[errno(thrown) as keyof typeof why];
    throw known ? new Refusal(`${name} ${known}`) : thrown;
  }
  try {
    return use(fd);
  } finally {
    closeSync(fd);
  }
}
