// What the tests of agents under a daemon share: where a task lies, its runs, and the processes that belong to it.
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import type { RunRecord, RunVerdict } from '../../daemon/attempt/record.ts';
import type { Lock } from '../../daemon/queue/port.ts';
import { type TestWorkspace, until } from './workspace.ts';

/** Slow command lines on a loaded machine need this long, ms. */
const PATIENCE_MS = 90_000;

export class AgentScene {
  readonly #ws: TestWorkspace;
  constructor(ws: TestWorkspace) {
    this.#ws = ws;
  }

  holds(so: () => boolean, what: string): Promise<void> {
    return until(so, what, PATIENCE_MS, () => this.#ws.output);
  }
  reaches(id: string, queue: string): Promise<void> {
    return this.holds(() => existsSync(this.#ws.path('queues', queue, `${id}.md`)), `${id} reaches ${queue}`);
  }
  /** The session of a run, and whether it went on with an earlier one. */
  sessionOf(id: string, attempt: number): [string | null, boolean] {
    const { resumed, verdict } = this.#json<RunVerdict>(`.towpath/runs/${id}/${attempt}/verdict.json`);
    const { session } = this.#json<RunRecord>(`.towpath/runs/${id}/${attempt}/run.json`);
    return [session ?? verdict.session, resumed];
  }
  /** The numbers of a task's runs. */
  runs(id: string): number[] {
    const names = readdirSync(this.#ws.path(`.towpath/runs/${id}`));
    return names.filter((name) => /^\d+$/.test(name)).map(Number);
  }
  agentPid(id: string): number {
    return this.#json<Lock>(`queues/claimed/${id}.lock.json`).agent!.pid;
  }
  limitOf(agent: string): string | null {
    return this.#json<Record<string, { until: string | null }>>('.towpath/limits.json')[agent]!.until;
  }

  #json<T>(path: string): T {
    return JSON.parse(readFileSync(this.#ws.path(path), 'utf8')) as T;
  }
}

/** The living processes of a task's runs. */
export const processesOf = (id: string): string[] =>
  readdirSync('/proc').filter((pid) => /^\d+$/.test(pid) && proc(pid, 'environ').includes(`TOWPATH_RUN=${id}/`));

export function proc(pid: string, file: 'environ' | 'cmdline'): string {
  try {
    return readFileSync(`/proc/${pid}/${file}`, 'utf8');
  } catch {
    return '';
  }
}
