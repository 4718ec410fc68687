// What was read of the waiting files, kept for the next start: a file that changed since is read again, a broken snapshot is none.
import { closeSync, openSync, readSync, renameSync, writeSync } from 'node:fs';
import { crc32 } from 'node:zlib';
import { type Sign, sameSign, type Waiting, waitingOf } from './waiting.ts';

/** To be raised whenever a file would be read differently. */
const FORMAT = 1;
/** Lines written in one go; between them other work goes on. */
const CHUNK = 2000;
/** Read in one go, bytes. */
const PIECE = 1 << 18;

type Row = [string, number, number, number, number, string, string, Waiting['spec'], Waiting['state']];

/** Lines of JSON: a head, one for each file, and an end that tells how many there are and their sum. */
export class Snapshot {
  readonly #path: string;
  readonly #head: string;
  /** What the last snapshot says, by name: read at the first question, dropped when all files were looked at. */
  #rows: Map<string, Waiting> | null = null;
  #over = false;
  #saving = false;

  /** A snapshot of another version is not believed. */
  constructor(path: string, version: string) {
    this.#path = path;
    this.#head = `${JSON.stringify({ format: FORMAT, version })}\n`;
  }

  /** What was read of a file that looks as it did then. */
  find(name: string, sign: Sign): Waiting | null {
    if (this.#over) return null;
    this.#rows ??= this.#load();
    const found = this.#rows.get(name);
    if (!found || !sameSign(sign, found.sign)) return null;
    this.#rows.delete(name);
    return found;
  }

  /** Nobody will ask any more. */
  forget(): void {
    this.#over = true;
    this.#rows = null;
  }

  /** Written aside and renamed, in pieces. Never throws: without it the next start reads the files. */
  async save(entries: Iterable<Waiting>): Promise<void> {
    if (this.#saving) return;
    this.#saving = true;
    try {
      await this.#write(entries);
    } catch {
      // A full disk: the files are there to be read.
    } finally {
      this.#saving = false;
    }
  }

  async #write(entries: Iterable<Waiting>): Promise<void> {
    const aside = `${this.#path}.tmp`;
    const fd = openSync(aside, 'w', 0o600);
    try {
      let sum = 0;
      let lines = 0;
      const put = (text: string) => {
        const bytes = Buffer.from(text);
        sum = crc32(bytes, sum);
        for (let at = 0; at < bytes.byteLength; ) at += writeSync(fd, bytes, at);
      };
      let chunk = this.#head;
      for (const one of entries) {
        const { ino, size, mtime, ctime } = one.sign;
        // One whose sign was not kept would not be found again.
        if (one.gone || ctime === 0) continue;
        const row: Row = [one.name, ino, size, mtime, ctime, one.id, one.created_at, one.spec, one.state];
        chunk += `${JSON.stringify(row)}\n`;
        if (++lines % CHUNK > 0) continue;
        put(chunk);
        chunk = '';
        await new Promise(setImmediate);
      }
      put(chunk);
      const end = Buffer.from(`${JSON.stringify({ lines, sum })}\n`);
      for (let at = 0; at < end.byteLength; ) at += writeSync(fd, end, at);
    } finally {
      closeSync(fd);
    }
    renameSync(aside, this.#path);
  }

  #load(): Map<string, Waiting> {
    const rows = new Map<string, Waiting>();
    try {
      const end = readLines(this.#path, (line, at) => {
        if (at === 0) {
          if (`${line}\n` !== this.#head) throw new Error('of another version');
          return;
        }
        const [name, ino, size, mtime, ctime, id, created_at, spec, state] = JSON.parse(line) as Row;
        const sign = { ino, size, mtime, ctime };
        rows.set(name, waitingOf({ id, created_at, spec, state }, name, sign));
      });
      return end ? rows : new Map();
    } catch {
      return new Map();
    }
  }
}

/** Tells each line but the last, which must hold their number and their sum: else false. Read in pieces, for the whole would stay in memory for long. */
function readLines(path: string, tell: (line: string, at: number) => void): boolean {
  const fd = openSync(path, 'r');
  try {
    const piece = Buffer.alloc(PIECE);
    let rest = Buffer.alloc(0);
    let last: Buffer | null = null;
    let sum = 0;
    let lines = 0;
    for (let got = readSync(fd, piece); got > 0; got = readSync(fd, piece)) {
      const bytes = Buffer.concat([rest, piece.subarray(0, got)]);
      let from = 0;
      for (let to = bytes.indexOf(10); to >= 0; to = bytes.indexOf(10, from)) {
        if (last) {
          sum = crc32(last, sum);
          tell(last.toString('utf8', 0, last.byteLength - 1), lines++);
        }
        last = Buffer.from(bytes.subarray(from, to + 1));
        from = to + 1;
      }
      rest = bytes.subarray(from);
    }
    if (!last || rest.byteLength > 0) return false;
    const end = JSON.parse(last.toString()) as { lines: number; sum: number };
    return end.lines === lines - 1 && end.sum === sum;
  } finally {
    closeSync(fd);
  }
}
