// Lines out of bytes in bounded memory: of a stream, and of a file that grows, which can be gone on with after a restart.
import { closeSync, fstatSync, openSync, readSync, statSync } from 'node:fs';
import { setImmediate as breathe } from 'node:timers/promises';
import { errno } from '../errors.ts';

export const MAX_LINE = 4 * 1024 * 1024;
/** Of a line that is no JSON nobody needs more, bytes. */
export const MAX_TEXT = 1024 * 1024;
const BRACE = 123;
const CHUNK = 64 * 1024;
/** After that many bytes in a row others get their turn. */
const STRETCH = 1024 * 1024;

/** Splits bytes into lines. Of a longer line than `maxLine` bytes (or `MAX_TEXT`, if it is no JSON) the head is kept, with a note of what was cut. */
export class Splitter {
  readonly #onLine: (text: string, bytes: number) => void;
  readonly #maxLine: number;
  #parts: Buffer[] = [];
  #kept = 0;
  #length = 0;

  /** `bytes` is the line's true length, with its newline where it had one. */
  constructor(onLine: (text: string, bytes: number) => void, maxLine = MAX_LINE) {
    this.#onLine = onLine;
    this.#maxLine = maxLine;
  }

  /** The bytes that wait for their newline. */
  get pending(): number {
    return this.#length;
  }

  /** What is kept of them. */
  get head(): Buffer {
    return Buffer.concat(this.#parts);
  }

  /** Goes on in the middle of a line of which `head` was kept and `length` bytes were read. */
  resume(head: Buffer, length: number): void {
    this.#parts = [head];
    this.#kept = head.length;
    this.#length = length;
  }

  /** Takes what it needs: the chunk may be used again. Returns how many lines it completed. */
  feed(chunk: Buffer): number {
    let lines = 0;
    for (let at = 0; at < chunk.length; ) {
      const newline = chunk.indexOf(10, at);
      const end = newline < 0 ? chunk.length : newline;
      // Most lines lie whole in a chunk: no copy, no garbage.
      if (newline >= 0 && this.#length === 0 && end - at <= this.#maxLine) {
        const text = chunk.toString('utf8', at, end > at && chunk[end - 1] === 13 ? end - 1 : end);
        const length = end + 1 - at;
        at = end + 1;
        lines += 1;
        this.#onLine(text, length);
        continue;
      }
      this.#keep(chunk.subarray(at, end));
      if (newline < 0) return lines;
      at = newline + 1;
      lines += 1;
      this.#deliver(1);
    }
    return lines;
  }

  /** Delivers what has no newline yet, if anything; returns the number of lines, 0 or 1. */
  flush(): number {
    if (this.#length === 0) return 0;
    this.#deliver(0);
    return 1;
  }

  drop(): void {
    this.#parts = [];
    this.#kept = 0;
    this.#length = 0;
  }

  #keep(bytes: Buffer): void {
    this.#length += bytes.length;
    const isJson = (this.#parts[0] ?? bytes)[0] === BRACE;
    const room = (isJson ? this.#maxLine : Math.min(this.#maxLine, MAX_TEXT)) - this.#kept;
    if (room <= 0 || bytes.length === 0) return;
    const part = Buffer.from(bytes.subarray(0, room));
    this.#parts.push(part);
    this.#kept += part.length;
  }

  #deliver(newline: number): void {
    const length = this.#length;
    const cut = length > this.#kept;
    let text = whole(this.#parts.length === 1 ? this.#parts[0]! : Buffer.concat(this.#parts), cut);
    this.drop();
    if (cut) text += ` [… cut, ${length} bytes in all]`;
    else if (text.endsWith('\r')) text = text.slice(0, -1);
    this.#onLine(text, length + newline);
  }
}

/** Where a reader is in a file, also in the middle of a line: all that it needs to go on without what lies before. */
export interface Place {
  /** Where the first line begins that was not delivered, in bytes. */
  offset: number;
  /** The bytes of that line that were read, and, base64, what is kept of them. */
  pending: number;
  head: string;
}

export const START: Place = { offset: 0, pending: 0, head: '' };

export interface Follower {
  /** Delivers the complete lines that are new, of about `most` bytes; resolves with their number. Calls never overlap; rejects with what onLine throws. */
  poll(most?: number): Promise<number>;
  /** As poll, then delivers a last line without a newline: for a file that nobody writes to any more. */
  end(): Promise<number>;
  /** To go on from here later leaves no gap and repeats nothing. */
  readonly place: Place;
  /** Where the first byte lies that was not read. */
  readonly at: number;
}

export interface FollowOptions {
  /** Default: the start of the file. */
  from?: Place | undefined;
  onLine: (text: string) => void;
  /** Bytes; default 1 MiB. */
  maxLine?: number;
}

/** Reads the lines of a file that grows. A missing file has none yet; one that was cut short is read from its start. */
export function follow(path: string, { from = START, onLine, maxLine = MAX_LINE }: FollowOptions): Follower {
  let { offset } = from;
  const splitter = new Splitter((text, bytes) => {
    offset += bytes;
    onLine(text);
  }, maxLine);
  if (from.pending > 0) splitter.resume(Buffer.from(from.head, 'base64'), from.pending);
  const read = async (most = Number.POSITIVE_INFINITY): Promise<number> => {
    if (sizeOf(path) === offset + splitter.pending) return 0;
    const fd = open(path);
    if (fd === undefined) return 0;
    try {
      const { size } = fstatSync(fd);
      if (size < offset + splitter.pending) {
        splitter.drop();
        offset = 0;
      }
      const chunk = Buffer.allocUnsafe(CHUNK);
      let lines = 0;
      let stretch = 0;
      const first = offset + splitter.pending;
      // Only to the size of now: a writer who is faster than us must not keep us here.
      for (let at = first; at < size && at < first + most; at = offset + splitter.pending) {
        const got = readSync(fd, chunk, 0, Math.min(CHUNK, size - at), at);
        if (got === 0) break;
        lines += splitter.feed(chunk.subarray(0, got));
        stretch += got;
        if (stretch >= STRETCH) {
          stretch = 0;
          await breathe();
        }
      }
      return lines;
    } catch (thrown) {
      // What follows the line that onLine threw on is read again.
      splitter.drop();
      throw thrown;
    } finally {
      closeSync(fd);
    }
  };
  let last: Promise<unknown> = Promise.resolve();
  const queue = (work: () => Promise<number>): Promise<number> => {
    const mine = last.then(work, work);
    last = mine.catch(() => {});
    return mine;
  };
  return {
    poll: (most) => queue(() => read(most)),
    end: () => queue(async () => (await read()) + splitter.flush()),
    get place() {
      return { offset, pending: splitter.pending, head: splitter.head.toString('base64') };
    },
    get at() {
      return offset + splitter.pending;
    },
  };
}

/** The last `bytes` bytes of a file as text, from a whole character on; empty when there is none. */
export function tailOf(path: string, bytes: number): string {
  return part(path, (size) => Math.max(0, size - bytes), bytes);
}

/** The first `bytes` bytes of a file as text, to a whole character; empty when there is none. */
export function headOf(path: string, bytes: number): string {
  return part(path, () => 0, bytes);
}

function part(path: string, from: (size: number) => number, bytes: number): string {
  const fd = open(path);
  if (fd === undefined) return '';
  try {
    const { size } = fstatSync(fd);
    const start = from(size);
    const chunk = Buffer.alloc(Math.min(bytes, size - start));
    let got = 0;
    for (let now = -1; now !== 0 && got < chunk.length; got += now)
      now = readSync(fd, chunk, got, chunk.length - got, start + got);
    return whole(chunk.subarray(start > 0 ? boundary(chunk) : 0, got), start + got < size);
  } finally {
    closeSync(fd);
  }
}

/** Where the first whole character of a piece begins. */
function boundary(bytes: Buffer): number {
  let at = 0;
  while (at < 3 && (bytes[at] ?? 0) >> 6 === 0b10) at += 1;
  return at;
}

/** Bytes as text; `cut`: without a last character that is not whole. */
export function whole(bytes: Buffer, cut: boolean): string {
  let end = bytes.length;
  if (cut) {
    let lead = end - 1;
    while (lead > end - 4 && (bytes[lead] ?? 0) >> 6 === 0b10) lead -= 1;
    const first = bytes[lead] ?? 0;
    const needs = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : first >= 0xc0 ? 2 : 1;
    if (lead >= 0 && end - lead < needs) end = lead;
  }
  return bytes.toString('utf8', 0, end);
}

function sizeOf(path: string): number | undefined {
  return statSync(path, { throwIfNoEntry: false })?.size;
}

function open(path: string): number | undefined {
  try {
    return openSync(path, 'r');
  } catch (thrown) {
    if (errno(thrown) === 'ENOENT') return undefined;
    throw thrown;
  }
}
