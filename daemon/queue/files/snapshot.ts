// What was read of the waiting files, kept for the next start: a file that changed since is read again, a broken snapshot is none.
import { closeSync, openSync, readSync, renameSync, writeSync } from 'node:fs';
import { crc32 } from 'node:zlib';
import { type Sign, sameSign, sharedSpec, type Waiting, waitingOf } from './waiting.ts';

/** To be raised whenever a file would be read differently. */
const FORMAT = 3;
/** Written in one go, characters; between them other work goes on. */
const CHUNK = 1 << 18;
/** Read in one go, bytes. */
const PIECE = 1 << 18;

/** Name, signs, id (null: the name's stem), age, which of the specs before it, and state if there is one. */
type Row = [string, number, number, number, number, string | null, string, number, Waiting['state']?];
/** A spec by itself: those that share one are many. */
type SpecRow = [Waiting['spec']];

/** Lines of JSON: a head, one for each spec and each file, and an end that tells how many there are and their sum. */
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
      const specs = new Map<Waiting['spec'], number>();
      for (const one of entries) {
        const { ino, size, mtime, ctime } = one.sign;
        // One whose sign was not kept would not be found again.
        if (one.gone || ctime === 0) continue;
        let spec = specs.get(one.spec);
        if (spec === undefined) {
          spec = specs.size;
          specs.set(one.spec, spec);
          chunk += `${JSON.stringify([one.spec] satisfies SpecRow)}\n`;
          lines++;
        }
        const id = `${one.id}.md` === one.name ? null : one.id;
        const row: Row = [one.name, ino, size, mtime, ctime, id, one.created_at, spec];
        if (Object.keys(one.state).length > 0) row.push(one.state);
        chunk += `${JSON.stringify(row)}\n`;
        lines++;
        if (chunk.length < CHUNK) continue;
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
    const specs: ReturnType<typeof sharedSpec>[] = [];
    try {
      const end = readLines(this.#path, (line, number) => {
        if (number === 0) {
          if (`${line}\n` !== this.#head) throw new Error('of another version');
          return;
        }
        const row = JSON.parse(line) as Row | SpecRow;
        if (row.length === 1) return void specs.push(sharedSpec(row[0]));
        const [name, ino, size, mtime, ctime, id, created_at, at, state = {}] = row;
        const shared = specs[at]!;
        const task = { id: id ?? name.slice(0, -3), created_at, spec: shared.spec, state };
        rows.set(name, waitingOf(task, name, { ino, size, mtime, ctime }, shared));
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
