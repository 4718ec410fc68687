// What keeps the whole daemon from claiming, and the faults of the machine: who says so, since when, what is done about it.
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { now } from './clock.ts';
import type { Events } from './events.ts';
import { type Fault, machineFault } from './faults.ts';
import type { Workspace } from './paths.ts';

/** The file that remembers a pause by the operator over a restart; it holds the reason. */
export const pauseFile = (workspace: Workspace): string => join(workspace.state, 'paused');

/** The reason of a pause by the operator, from its file; null when there is none. */
export function pausedBy(workspace: Workspace): string | null {
  try {
    return readFileSync(pauseFile(workspace), 'utf8').trim();
  } catch {
    return null;
  }
}

export class Holds {
  readonly #reasons = new Map<string, string>();
  readonly #faults = new Map<string, Fault>();
  readonly #workspace: Workspace;
  readonly #events: Events;
  /** Called when claiming may go on, or may not any more. */
  onChange: () => void = () => {};

  constructor(workspace: Workspace, events: Events) {
    this.#workspace = workspace;
    this.#events = events;
    const paused = pausedBy(workspace);
    if (paused !== null) this.#reasons.set('operator', paused);
  }

  /** Why nothing is claimed just now, or null. */
  get reason(): string | null {
    return [...this.#reasons.values()][0] ?? null;
  }

  /** `source` (the operator, the health check, the disk …) holds claiming for a reason, or with null no longer does. */
  set(source: string, reason: string | null): void {
    if ((this.#reasons.get(source) ?? null) === reason) return;
    if (reason === null) this.#reasons.delete(source);
    else this.#reasons.set(source, reason);
    if (this.reason === null) this.#events.emit('claiming_resumed', {});
    else this.#events.emit('claiming_paused', { reason: this.reason });
    this.onChange();
  }

  /** A pause by the operator, kept over a restart; null ends it. */
  pause(reason: string | null): { paused: string | null } {
    if (reason === null) rmSync(pauseFile(this.#workspace), { force: true });
    else writeFileSync(pauseFile(this.#workspace), `${reason}\n`);
    this.set('operator', reason);
    return { paused: this.reason };
  }

  get faults(): Fault[] {
    return [...this.#faults.values()];
  }

  hasFault(source: string): boolean {
    return this.#faults.has(source);
  }

  /** A fault that is told again keeps the time it began; null ends it. With `holds` nothing is claimed while it lasts. */
  setFault(source: string, fault: { what: string; doing: string; holds?: boolean } | null): void {
    const known = this.#faults.get(source);
    if (fault) {
      const { what, doing } = fault;
      this.#faults.set(source, { what, since: known?.since ?? now(), doing });
      if (!known) this.#events.emit('warning', { message: `${what}; ${doing}` });
    } else if (known) {
      this.#faults.delete(source);
      this.#events.emit('warning', { message: `it is over: ${known.what}` });
    }
    this.set(`fault: ${source}`, fault?.holds ? fault.what : null);
    if (known?.what !== fault?.what) this.onChange();
  }

  /** Takes a thrown value for what it says of the machine, until it works again; false when it says nothing of it. */
  blame(thrown: unknown): boolean {
    const what = machineFault(thrown);
    // The first is kept: what fails after it fails for the same reason.
    if (what !== null && !this.hasFault('machine')) this.setFault('machine', { what, doing: HELD, holds: true });
    return what !== null;
  }
}

/** What is done about most faults. */
export const HELD = 'nothing is claimed until it is over, and then all goes on by itself';
