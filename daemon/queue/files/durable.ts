// Writes that survive: aside, synced, renamed, and the folders synced after them. `fast` leaves the syncing to the system.
import {
  closeSync,
  existsSync,
  fstatSync,
  fsyncSync,
  linkSync,
  mkdirSync,
  openSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
  writeSync,
} from 'node:fs';
import { basename, dirname, extname, join } from 'node:path';
import { errno } from '../../errors.ts';
import { startedAt } from '../../process/identity.ts';

let serial = 0;

export class Durable {
  readonly #sync: boolean;
  readonly #dir: string | undefined;
  /** `dir` is where files are written before they get their name: on the same filesystem; else beside the name. */
  constructor(durability: 'full' | 'fast', dir?: string) {
    this.#sync = durability === 'full';
    this.#dir = dir;
  }

  /** Removes what killed processes had not finished writing. */
  clear(): void {
    const dir = this.#dir;
    for (const name of dir !== undefined && existsSync(dir) ? readdirSync(dir) : []) {
      const writer = Number(/^\.(?:.*\.(?=\d+\.\d+\.tmp$)|towpath-probe-(?=\d+$))(\d+)/.exec(name)?.[1]);
      if (writer === process.pid || (writer > 0 && startedAt(writer) === undefined))
        rmSync(join(dir!, name), { force: true });
    }
  }

  /** Replaces a file whole: a reader sees the old or the new bytes, never a part. */
  replace(path: string, bytes: Uint8Array | string, sync = this.#sync): void {
    // A file keeps the mode that its owner gave it.
    const mode = statSync(path, { throwIfNoEntry: false })?.mode;
    const aside = this.#aside(path, bytes, sync, mode === undefined ? undefined : mode & 0o777);
    try {
      renameSync(aside, path);
    } catch (thrown) {
      rmSync(aside, { force: true });
      throw thrown;
    }
  }

  /**
   * Writes a small text over a file that must be there, in one piece and not synced: no kill cuts it, and no file is made. The
   * rest of a longer file becomes spaces before the last newline.
   */
  overwrite(path: string, text: string): void {
    const fd = openSync(path, 'r+');
    try {
      const room = fstatSync(fd).size - Buffer.byteLength(text);
      const bytes = Buffer.from(room > 0 ? `${text.slice(0, -1)}${' '.repeat(room)}\n` : text);
      for (let at = 0; at < bytes.byteLength; ) at += writeSync(fd, bytes, at, bytes.byteLength - at, at);
    } finally {
      closeSync(fd);
    }
  }

  /** Makes a file whole under a name that nobody has; false when the name is taken. */
  create(path: string, bytes: Uint8Array | string, sync = this.#sync): boolean {
    const aside = this.#aside(path, bytes, sync);
    try {
      linkSync(aside, path);
    } catch (thrown) {
      if (errno(thrown) === 'EEXIST') return false;
      throw thrown;
    } finally {
      rmSync(aside, { force: true });
    }
    return true;
  }

  /** Takes room on the disk beside a path until it is given back. Throws ENOSPC when there is not so much. */
  reserve(path: string, bytes: number): { give: () => void } {
    const aside = this.#aside(path, Buffer.alloc(bytes), false);
    return { give: () => rmSync(aside, { force: true }) };
  }

  /** One rename, then both folders synced. The caller has made sure that `to` is free. */
  move(from: string, to: string): void {
    try {
      renameSync(from, to);
    } catch (thrown) {
      // One queue's folder may have been removed; without it its tasks would have nowhere to go.
      if (errno(thrown) !== 'ENOENT' || !existsSync(from)) throw thrown;
      mkdirSync(dirname(to));
      renameSync(from, to);
    }
    this.sync(dirname(to));
    if (dirname(from) !== dirname(to)) this.sync(dirname(from));
  }

  /** A file's bytes, or a folder's names. */
  sync(path: string): void {
    if (!this.#sync) return;
    const fd = openSync(path, 'r');
    try {
      fsyncSync(fd);
    } finally {
      closeSync(fd);
    }
  }

  #aside(path: string, bytes: Uint8Array | string, sync: boolean, mode = 0o600): string {
    const dir = this.#dir !== undefined && existsSync(this.#dir) ? this.#dir : dirname(path);
    const aside = join(dir, `.${basename(path)}.${process.pid}.${++serial}.tmp`);
    const fd = openSync(aside, 'wx', mode);
    try {
      const data = typeof bytes === 'string' ? Buffer.from(bytes) : bytes;
      for (let at = 0; at < data.byteLength; ) at += writeSync(fd, data, at);
      if (sync) fsyncSync(fd);
    } catch (thrown) {
      rmSync(aside, { force: true });
      throw thrown;
    } finally {
      closeSync(fd);
    }
    return aside;
  }
}

/** The first of `x.md`, `x-2.md`, `x-3.md` … for which `taken` says no. */
export function freeName(name: string, taken: (name: string) => boolean): string {
  const ext = extname(name);
  const stem = name.slice(0, name.length - ext.length);
  for (let n = 1; ; n++) {
    const candidate = n === 1 ? name : `${stem}-${n}${ext}`;
    if (!taken(candidate)) return candidate;
  }
}

/** A free path beside a taken one. */
export const freePath = (path: string): string =>
  join(
    dirname(path),
    freeName(basename(path), (n) => existsSync(join(dirname(path), n))),
  );
