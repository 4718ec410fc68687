// Reads the task files of one queue folder into tasks.
import {
  type BigIntStats,
  closeSync,
  constants,
  lstatSync,
  opendirSync,
  openSync,
  readdirSync,
  readFileSync,
  readSync,
} from 'node:fs';
import { join } from 'node:path';
import { errno } from '../../errors.ts';
import { MAX_READ, type ParsedFile, parseTask, stateOfHead, titleOf, tooLarge } from '../../task/file.ts';
import { idProblem } from '../../task/schema.ts';
import type { Queue } from '../../task/terms.ts';
import type { Task } from '../port.ts';

/** Only such names are tasks; everything else in the folder is left alone. */
export const isTaskName = (name: string): boolean => name.endsWith('.md') && !name.startsWith('.') && name.length > 3;
export const stemOf = (name: string): string => name.slice(0, -3);

export function taskNames(dir: string): string[] {
  try {
    return readdirSync(dir).filter(isTaskName);
  } catch (thrown) {
    if (errno(thrown) === 'ENOENT' || errno(thrown) === 'ENOTDIR') return [];
    throw thrown;
  }
}

/** Up to so many names, without reading the rest of a folder that may hold a million. */
export function someTaskNames(dir: string, most: number): string[] {
  const names: string[] = [];
  let folder: ReturnType<typeof opendirSync>;
  try {
    folder = opendirSync(dir, { bufferSize: Math.min(most + 8, 4096) });
  } catch (thrown) {
    if (errno(thrown) === 'ENOENT' || errno(thrown) === 'ENOTDIR') return [];
    throw thrown;
  }
  try {
    for (let entry = folder.readSync(); entry && names.length < most; entry = folder.readSync())
      if (isTaskName(entry.name)) names.push(entry.name);
  } finally {
    folder.closeSync();
  }
  return names;
}

export function statOf(path: string): BigIntStats | null {
  try {
    return lstatSync(path, { bigint: true });
  } catch (thrown) {
    if (errno(thrown) === 'ENOENT' || errno(thrown) === 'ENOTDIR') return null;
    throw thrown;
  }
}

const LINK = 'the file is a symbolic link: put the file itself here';
const NOT_READABLE = `the file may not be read by user ${process.getuid?.() ?? ''}: change its owner or its mode`;
/** Why a file is neither read nor written; that is its reason then. */
export const UNTOUCHED: readonly string[] = [LINK, NOT_READABLE];

/** Reads one file as a task; null when it is gone or a folder. In incoming the frontmatter may name the id; elsewhere the file's name is the id. */
export function readTask(dir: string, name: string, queue: Queue, stat = statOf(join(dir, name))): Task | null {
  if (!stat || stat.isDirectory()) return null;
  const path = join(dir, name);
  let parsed: ParsedFile;
  try {
    parsed = readParsed(path, stat);
  } catch (thrown) {
    if (errno(thrown) === 'ENOENT') return null;
    // Of a file that was ours already it is a fault of the machine.
    const refuses = queue === 'incoming' || queue === 'failed';
    if (!refuses || !['EACCES', 'EPERM'].includes(errno(thrown) ?? '')) throw thrown;
    parsed = { ...parseTask(new Uint8Array(0)), refusal: NOT_READABLE };
  }
  const stem = stemOf(name);
  const id = queue === 'incoming' && parsed.spec.id && !parsed.refusal ? parsed.spec.id : stem;
  const unsafe = queue === 'incoming' && !parsed.refusal && !parsed.spec.id ? idProblem(stem) : null;
  const refusal = unsafe
    ? `id: ${JSON.stringify(stem)} (from the file's name) is not allowed: ${unsafe}; rename the file or write id: into it`
    : parsed.refusal;
  return {
    id,
    title: titleOf(parsed) ?? stem,
    queue,
    path,
    spec: parsed.spec,
    data: parsed.data,
    body: parsed.body,
    state: parsed.state,
    refusal,
    created_at: parsed.state.created_at ?? new Date(Number(stat.mtimeMs)).toISOString(),
  };
}

function readParsed(path: string, stat: BigIntStats): ParsedFile {
  const nothing = parseTask(new Uint8Array(0));
  if (stat.isSymbolicLink()) return { ...nothing, refusal: LINK };
  if (!stat.isFile()) return { ...nothing, refusal: 'this is no regular file' };
  if (stat.size <= MAX_READ) return parseTask(readRegular(path));
  return { ...nothing, refusal: tooLarge(Number(stat.size)), state: stateOfHead(readRegular(path, HEAD)) };
}

/** Our block stands in front of a file that is too large, bytes. */
const HEAD = 64 * 1024;

/** Reads without following a link that took the file's place after the look, and without waiting on a pipe. */
export function readRegular(path: string, most?: number): Buffer {
  const fd = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  try {
    if (most === undefined) return readFileSync(fd);
    const head = Buffer.alloc(most);
    return head.subarray(0, readSync(fd, head));
  } finally {
    closeSync(fd);
  }
}
