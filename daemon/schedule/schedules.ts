// Files the tasks of schedules when their time has come. Whatever stops it, each planned time is filed at most once.
import { existsSync } from 'node:fs';
import type { Context } from '../attempt/context.ts';
import { vet } from '../attempt/plan.ts';
import type { Holds } from '../holds.ts';
import { titleOf } from '../task/file.ts';
import type { Queue } from '../task/terms.ts';
import { type Book, type Entry, readBook, writeBook } from './book.ts';
import { readSchedules, type Schedule } from './file.ts';

/** Files are looked at again after this long, ms. */
const LOOK_MS = 5000;
/** A time that is longer ago was missed, ms. */
const LATE_MS = 90_000;
const OPEN: readonly Queue[] = ['incoming', 'claimed', 'provisional', 'blocked'];
const iso = (ms: number): string => new Date(ms).toISOString();

export class Schedules {
  readonly #ctx: Context;
  readonly #holds: Holds;
  #faulty = new Set<string>();

  constructor(ctx: Context, holds: Holds) {
    this.#ctx = ctx;
    this.#holds = holds;
  }

  /** Files what is due. Resolves to how many tasks were filed, and when to look again, ms from now. */
  async look(): Promise<{ filed: number; again: number }> {
    const { workspace } = this.#ctx;
    const found = await readSchedules(workspace);
    const before = found.length > 0 ? readBook(workspace) : {};
    const book = Object.fromEntries(Object.entries(before).filter(([name]) => found.some((one) => one.name === name)));
    const faulty = new Set<string>();
    let filed = 0;
    let again = LOOK_MS;
    for (const one of found) {
      const problem = 'problem' in one ? one.problem : this.#problem(one);
      if (problem !== null) {
        faulty.add(one.name);
        this.#tell(one.name, problem);
      } else if (!('problem' in one)) {
        if (await this.#see(one, book)) filed++;
        const next = one.cron.next(Date.now());
        if (next !== null) again = Math.min(again, Math.max(50, next - Date.now()));
      }
    }
    for (const name of this.#faulty) if (!faulty.has(name)) this.#tell(name, null);
    this.#faulty = faulty;
    return { filed, again };
  }

  #tell(name: string, problem: string | null): void {
    const what = `schedules/${name}.md: ${problem}`;
    const fault = problem === null ? null : { what, doing: 'it files nothing until it is mended; the others go on' };
    this.#holds.setFault(`schedule ${name}`, fault);
  }

  /** What this workspace would refuse of its tasks. */
  #problem({ name, task }: Schedule): string | null {
    const { settings, workspace, agents } = this.#ctx;
    const rest = { id: name, title: titleOf(task) ?? name, queue: 'incoming', path: '', created_at: '' } as const;
    return vet({ ...task, ...rest }, settings, workspace, agents);
  }

  async #see(schedule: Schedule, book: Book): Promise<boolean> {
    const now = Date.now();
    const { name, rule, cron } = schedule;
    const key = `${rule.cron} ${rule.timezone ?? ''}`;
    const note = (change: Partial<Entry>) => {
      const kept = book[name] ?? { rule: key, since: iso(now), filing: null, last: null, skipped: null };
      book[name] = { ...kept, rule: key, ...change };
      writeBook(this.#ctx.workspace, this.#ctx.settings.durability, book);
    };
    const { filing = null } = book[name] ?? {};
    if (filing) {
      await this.#file(schedule, Date.parse(filing.at));
      note({ since: filing.at, filing: null, last: filing });
    }
    // What is new, or comes at other times from now on, has missed nothing; a clock that was set back leaves nothing behind it.
    const known = book[name];
    if (known?.rule !== key || Date.parse(known.since) > now + LATE_MS) note({ since: iso(now) });
    const { since, last, skipped } = book[name]!;
    const at = cron.last(now);
    if (at === null || at <= Date.parse(since)) return filing !== null;
    if (rule.catch_up === 'none' && now - at > LATE_MS) {
      note({ since: iso(at) });
      this.#warn(`schedule ${name}: ${iso(at)} was missed, and is not made up for (catch_up: none)`);
      return filing !== null;
    }
    const open = rule.overlap === 'skip' && last ? await this.#ctx.queue.get(last.task) : null;
    if (open && OPEN.includes(open.queue)) {
      if (skipped?.task !== open.id)
        this.#warn(`schedule ${name}: ${iso(at)} is left out: ${open.id} is not over, it is in ${open.queue}/`);
      note({ since: iso(at), skipped: { at: iso(at), task: open.id } });
      return filing !== null;
    }
    const task = schedule.taskAt(at).id;
    note({ filing: { at: iso(at), task } });
    await this.#file(schedule, at);
    note({ since: iso(at), filing: null, last: { at: iso(at), task } });
    return true;
  }

  /** One that is there, or was, was filed before we could note it. */
  async #file(schedule: Schedule, at: number): Promise<void> {
    const { queue, workspace } = this.#ctx;
    const { id, content } = schedule.taskAt(at);
    if (existsSync(workspace.runs(id)) || (await queue.get(id)) !== null) return;
    await queue.submit({ name: `${id}.md`, content });
  }

  #warn(message: string): void {
    this.#ctx.events.emit('warning', { message });
  }
}
