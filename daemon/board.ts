// `.towpath/daemon.json`: what the daemon tells of itself to whoever reads files.
import { rmSync } from 'node:fs';
import { socketPath } from './api/control.ts';
import type { Context } from './attempt/context.ts';
import { writeJson } from './attempt/work.ts';
import { now } from './clock.ts';
import { type DaemonInfo, daemonInfoPath } from './hold.ts';
import type { Scheduler } from './scheduler.ts';

/** Changes within this long are written once, ms. */
const GATHER_MS = 300;
/** Waiting tasks, and tasks with a question, that are named. */
const NAMED = 100;

export class Board {
  readonly #ctx: Context;
  readonly #scheduler: Pick<Scheduler, 'holds' | 'waits' | 'reserved'>;
  readonly #counts: () => DaemonInfo['counts'];
  readonly #load: (endpoint: string) => number;
  readonly #questions: (count: number) => string[];
  readonly #version: string;
  readonly #started = now();
  #timer: NodeJS.Timeout | null = null;
  #last = '';

  constructor(
    ctx: Context,
    scheduler: Pick<Scheduler, 'holds' | 'waits' | 'reserved'>,
    counts: () => DaemonInfo['counts'],
    load: (endpoint: string) => number,
    questions: (count: number) => string[],
    version: string,
  ) {
    this.#ctx = ctx;
    this.#scheduler = scheduler;
    this.#counts = counts;
    this.#load = load;
    this.#questions = questions;
    this.#version = version;
  }

  soon(): void {
    this.#timer ??= setTimeout(() => {
      this.#timer = null;
      this.publish();
    }, GATHER_MS).unref();
  }

  info(): DaemonInfo {
    const { workspace, self } = this.#ctx;
    const { holds, reserved } = this.#scheduler;
    return {
      ...self,
      started_at: this.#started,
      socket: socketPath(workspace),
      version: this.#version,
      paused: holds.reason,
      faults: holds.faults,
      endpoints: this.#endpoints(),
      counts: this.#counts(),
      questions: this.#questions(NAMED),
      waiting: Object.fromEntries([...this.#scheduler.waits(NAMED)].map(([id, { reason }]) => [id, reason])),
      reserved,
    };
  }

  #endpoints(): DaemonInfo['endpoints'] {
    const { settings, endpoints } = this.#ctx;
    return settings.endpoints.map(({ name, models, slots }) => {
      const { reachable, told } = endpoints.of(name);
      return { name, models, reachable, told, used: this.#load(name), slots };
    });
  }

  publish(): void {
    const { workspace } = this.#ctx;
    const info = this.info();
    const text = JSON.stringify(info);
    if (text === this.#last) return;
    try {
      writeJson(daemonInfoPath(workspace), info);
      this.#last = text;
    } catch (thrown) {
      // Whoever asks for the status asks the socket first: the file is told anew when the fault is over.
      this.#scheduler.holds.blame(thrown);
    }
  }

  remove(): void {
    if (this.#timer) clearTimeout(this.#timer);
    rmSync(daemonInfoPath(this.#ctx.workspace), { force: true });
  }
}
