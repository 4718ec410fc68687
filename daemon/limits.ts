// Which agents and model servers are closed and until when: kept in a file, so that a restart does not run into the same wall.
import { readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { lockSync } from 'proper-lockfile';
import { z } from 'zod';
import { errno } from './errors.ts';
import type { Workspace } from './paths.ts';

const entry = z.object({
  /** ISO time of the reopening; null: until a person says so. */
  until: z.string().nullable(),
  reason: z.string(),
  since: z.string(),
});
const schema = z.record(z.string(), entry);
export type Limit = z.output<typeof entry>;

/** A limit without a reset time is tried again after this long, ms. */
export const UNKNOWN_RESET_MS = 15 * 60_000;
/** A limit whose reset time has passed already, by our clock, holds for this long, ms. */
export const PAST_RESET_MS = 60_000;

/** After so long a limit that nobody tried again is forgotten, ms. */
const FORGOTTEN_MS = 7 * 86_400_000;

/** Its time is over, and nobody has got an answer since: one run goes first and tries. */
export const onTrial = ({ until }: Limit, now = Date.now()): boolean => until !== null && Date.parse(until) <= now;

export class Limits {
  readonly #path: string;
  #closed: Record<string, Limit>;

  constructor(workspace: Workspace) {
    this.#path = join(workspace.state, 'limits.json');
    this.#closed = this.#read();
  }

  #read(): Record<string, Limit> {
    try {
      const parsed = schema.safeParse(JSON.parse(readFileSync(this.#path, 'utf8')));
      return parsed.success ? parsed.data : {};
    } catch {
      return {};
    }
  }

  /** The closed ones, and those on trial. */
  list(): Record<string, Limit> {
    const known = Object.entries(this.#closed).filter(([, limit]) => !onTrial(limit, Date.now() - FORGOTTEN_MS));
    return Object.fromEntries(known);
  }

  of(name: string): Limit | null {
    return this.list()[name] ?? null;
  }

  close(name: string, limit: Limit): void {
    this.#edit((closed) => ({ ...closed, [name]: limit }));
  }

  /** Opens it, by hand or because it answers again; false when it was not closed. */
  open(name: string): boolean {
    const was = this.of(name) !== null;
    if (was) this.#edit(({ [name]: _, ...rest }) => rest);
    return was;
  }

  /** On what the file says now, since a daemon and a command may both edit it. */
  #edit(change: (closed: Record<string, Limit>) => Record<string, Limit>): void {
    const release = locked(this.#path);
    try {
      this.#closed = this.#read();
      this.#closed = change(this.list());
      const aside = `${this.#path}.tmp`;
      writeFileSync(aside, `${JSON.stringify(this.#closed)}\n`, { mode: 0o600 });
      renameSync(aside, this.#path);
    } finally {
      release();
    }
  }
}

/** Waits a little for another process that edits the file, ms; its edit takes less than one. */
const PATIENCE_MS = 200;

/** Locks a file between processes. Where no lock can be had, the edit is made all the same: both would write what a provider said. */
function locked(path: string): () => void {
  for (const end = performance.now() + PATIENCE_MS; performance.now() < end; ) {
    try {
      return lockSync(path, { realpath: false, stale: 5000, onCompromised: () => {} });
    } catch (thrown) {
      if (errno(thrown) !== 'ELOCKED') return () => {};
    }
  }
  return () => {};
}
