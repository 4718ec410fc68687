// Where lines go: a stream whose reader may leave at any time (`| head`), which ends the showing and breaks nothing.
import type { Writable } from 'node:stream';

export interface Output {
  /** One line, or several in one text; nothing once the reader has left. */
  line(text: string): void;
  /** Bytes as they are. */
  bytes(chunk: Uint8Array | string): void;
  /** The reader has left. */
  readonly closed: boolean;
}

/** Puts a stream behind an Output. Its errors are taken here: an uncaught EPIPE would end the process. */
export function outputTo(stream: Writable): Output {
  let closed = false;
  stream.on('error', () => {
    closed = true;
  });
  const write = (chunk: Uint8Array | string) => {
    if (!closed && stream.writable) stream.write(chunk);
  };
  return {
    line: (text) => write(`${text}\n`),
    bytes: write,
    get closed() {
      return closed || !stream.writable;
    },
  };
}

/** Waits, but not beyond the end of `signal`. The timer keeps the process alive: whoever follows wants it to stay. */
export function pause(ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal?.aborted) return resolve();
    const done = () => {
      clearTimeout(timer);
      signal?.removeEventListener('abort', done);
      resolve();
    };
    const timer = setTimeout(done, ms);
    signal?.addEventListener('abort', done, { once: true });
  });
}

/** How long to sleep; tests give their own. */
export type Sleep = (ms: number, signal?: AbortSignal) => Promise<void>;
