// Looks for work: hints of changed folders, files that settle, and slow looks at all for what nobody told.
import type { Context } from './attempt/context.ts';
import { formatDuration } from './clock.ts';
import { messageOf } from './errors.ts';
import type { QueueHint } from './queue/port.ts';
import type { Scheduler } from './scheduler.ts';
import type { Blocked } from './waiting/blocked.ts';
import { noticeHandMoves } from './waiting/hand.ts';

/** How often the folders are looked at for what the events missed, ms; and how often unsettled files are looked at. */
const RESCAN_MS = 30_000;
const SETTLE_MS = 250;
/** How often they are read while no watch is to be had, ms. */
const UNWATCHED_MS = 5000;
/** How long the first look may take before tasks are started out of what it has seen, ms. */
const FIRST_LOOK_MS = 2000;
/** After so many hints in a row some may have been lost (inotify holds 16,384): the folder is read once they cease for this long, ms. */
const BURST = 500;
const BURST_QUIET_MS = 1000;

export class Look {
  readonly #ctx: Context;
  readonly #scheduler: Scheduler;
  readonly #blocked: Blocked;
  /** Done at each slow look as well. */
  readonly #also: () => void;
  #burst = 0;
  #afterBurst: NodeJS.Timeout | undefined;
  #timers: NodeJS.Timeout[] = [];
  #unwatch: () => Promise<void> = async () => {};

  constructor(ctx: Context, scheduler: Scheduler, blocked: Blocked, also: () => void) {
    this.#ctx = ctx;
    this.#scheduler = scheduler;
    this.#blocked = blocked;
    this.#also = also;
  }

  /** Hints come from here on. */
  async watch(): Promise<void> {
    this.#unwatch = await this.#ctx.queue.watch(
      (hint) => this.#hinted(hint),
      (why) =>
        this.#scheduler.holds.setFault(
          'watch',
          why === null
            ? null
            : {
                what: `the queues cannot be watched: ${why}`,
                doing: `they are read every ${formatDuration(UNWATCHED_MS)} instead`,
              },
        ),
    );
  }

  /** Reads what waits. Tasks may be started when it resolves, or has taken long: then the best of those read so far. */
  async first(): Promise<void> {
    const choose = () => {
      this.#scheduler.ready = true;
      this.#scheduler.nudge();
    };
    this.#timers = [
      setInterval(() => this.#settle(), SETTLE_MS),
      setInterval(() => this.#unwatched(), UNWATCHED_MS),
      setInterval(() => this.#slowly(), RESCAN_MS),
    ];
    this.#scheduler.nudge();
    this.#also();
    const began = performance.now();
    const { intake } = this.#ctx.queue;
    await this.#guarded(() => intake.scan(() => performance.now() - began > FIRST_LOOK_MS && choose()));
    choose();
  }

  /** A fault is over: everything is looked at again. */
  anew(): void {
    void this.#scheduler.takeLeftovers();
    void this.#guarded(() => this.#ctx.queue.intake.scan());
  }

  async close(): Promise<void> {
    for (const timer of this.#timers) clearInterval(timer);
    clearTimeout(this.#afterBurst);
    await this.#unwatch();
  }

  #hinted({ queue, name }: QueueHint): void {
    if (queue !== 'incoming') {
      this.#blocked.changed(queue, name);
      if (name) void noticeHandMoves(this.#ctx, this.#scheduler, queue, name);
    } else if (!name) void this.#again();
    else if (++this.#burst > BURST) {
      clearTimeout(this.#afterBurst);
      this.#afterBurst = setTimeout(() => {
        this.#burst = 0;
        void this.#again();
      }, BURST_QUIET_MS);
    }
    this.#scheduler.nudge();
  }

  #settle(): void {
    const { intake } = this.#ctx.queue;
    if (intake.unsettled > 0) void this.#guarded(() => intake.recheck());
  }

  #unwatched(): void {
    if (!this.#scheduler.holds.hasFault('watch')) return;
    this.#blocked.refresh();
    void this.#again();
  }

  #slowly(): void {
    this.#blocked.refresh();
    this.#burst = 0;
    this.#also();
    void this.#again();
    void this.#scheduler.takeLeftovers();
  }

  #again(): Promise<void> {
    return this.#guarded(() => this.#ctx.queue.intake.refresh());
  }

  /** Runs what may meet a fault of the machine: told, held, and done again when it is over. */
  async #guarded(work: () => unknown): Promise<void> {
    try {
      await work();
    } catch (thrown) {
      if (!this.#scheduler.holds.blame(thrown))
        this.#ctx.events.emit('warning', { message: `could not look for work: ${messageOf(thrown)}` });
    }
    this.#scheduler.nudge();
  }
}
