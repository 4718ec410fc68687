// Which agents are closed and until when: kept in a file, so that a restart does not run into the same wall.
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

  /** Closed agents, those whose time has come left out. */
  list(): Record<string, Limit> {
    const open = Object.entries(this.#closed).filter(
      ([, limit]) => limit.until === null || Date.parse(limit.until) > Date.now(),
    );
    return Object.fromEntries(open);
  }

  of(agent: string): Limit | null {
    return this.list()[agent] ?? null;
  }

  close(agent: string, limit: Limit): void {
    this.#edit((closed) => ({ ...closed, [agent]: limit }));
  }

  /** Opens an agent by hand; false when it was not closed. */
  open(agent: string): boolean {
    const was = this.of(agent) !== null;
    if (was) this.#edit(({ [agent]: _, ...rest }) => rest);
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
