// When a cron expression says so: the door to croner, which is loaded only where there are schedules. It knows zones and summer time.
import { messageOf } from '../errors.ts';

export interface Cron {
  /** The first time after a moment, ms; null when there is none. */
  next(after: number): number | null;
  /** The last time up to a moment, ms; null when there was none. */
  last(until: number): number | null;
  /** It tells seconds as well. */
  seconds: boolean;
}

/** `timezone` undefined: that of the machine. What is wrong with it is `problem`. */
export async function cronOf(pattern: string, timezone: string | undefined): Promise<Cron | { problem: string }> {
  const { Cron: Croner } = await import('croner');
  try {
    // A date is a pattern of croner's too, and fires once: no schedule.
    if (/^\d{4}-/.test(pattern)) return { problem: `cron: "${pattern}" is a date: write five fields` };
    const cron = new Croner(pattern, { paused: true, ...(timezone === undefined ? {} : { timezone }) });
    const read: Cron = {
      next: (after) => cron.nextRun(new Date(after))?.getTime() ?? null,
      // It looks before the second that it is given.
      last: (until) => cron.previousRuns(1, new Date(Math.floor(until / 1000) * 1000 + 999))[0]?.getTime() ?? null,
      seconds: pattern.trim().split(/\s+/).length > 5,
    };
    return read.next(Date.now()) === null ? { problem: `cron: "${pattern}" never comes` } : read;
  } catch (thrown) {
    const said = messageOf(thrown);
    return {
      problem: /timezone/i.test(said) ? `timezone: "${timezone}" is none: write Europe/Berlin` : `cron: ${said}`,
    };
  }
}
