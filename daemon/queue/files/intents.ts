// Moves between queues that are under way, a small file each: what a kill cuts in two is known by it, and finished.
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import type { Queue } from '../../task/terms.ts';
import type { Settlement } from '../port.ts';

export interface Intent {
  source: string;
  target: string;
  to: Queue;
  /** What is written after the rename; a state that is written before it is in the file already. */
  change?: Settlement['state'];
}

export class Intents {
  readonly #dir: string;

  constructor(dir: string) {
    this.#dir = dir;
  }

  /** Kept until the returned function is called. Not synced: after a power cut a move is done or not, as the disk has it. */
  keep(intent: Intent): () => void {
    const path = join(this.#dir, `${basename(intent.target)}.json`);
    if (!existsSync(this.#dir)) mkdirSync(this.#dir, { recursive: true, mode: 0o700 });
    writeFileSync(path, JSON.stringify(intent), { mode: 0o600 });
    return () => rmSync(path, { force: true });
  }

  /** Those that were left; each is forgotten once `finish` has returned. */
  finishAll(finish: (intent: Intent) => void): void {
    for (const name of existsSync(this.#dir) ? readdirSync(this.#dir) : []) {
      const path = join(this.#dir, name);
      const intent = read(path);
      if (intent) finish(intent);
      rmSync(path, { force: true });
    }
  }
}

/** Null for one that was cut off itself: the move had not begun. */
function read(path: string): Intent | null {
  try {
    return JSON.parse(readFileSync(path, 'utf8')) as Intent;
  } catch {
    return null;
  }
}
