// The record of a run: the plan, a copy of the file, the values that were given. Private, and whole before the first task is there.
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { Workspace } from '../paths.ts';
import { type Identity, startedAt } from '../process/identity.ts';
import { Durable } from '../queue/files/durable.ts';
import { originOf } from '../queue/files/subtasks.ts';
import type { Wanted } from './check.ts';
import type { StepOutcome } from './parse.ts';

export interface PlannedStep {
  /** The id of its task. */
  id: string;
  name: string;
  role: string;
  inputs: Wanted[];
  outputs: string[];
  when: { step: number; outcomes: StepOutcome[] } | null;
  each: { list: Wanted; item: string; in_turn: boolean } | null;
  /** The steps that it waits for, by number. */
  needs: number[];
  /** Its task file: front matter without id, title and dependencies, and the text below. */
  matter: Record<string, unknown>;
  body: string;
}

export interface Plan {
  version: 1;
  run: string;
  title: string;
  file: string;
  created_at: string;
  /** Who files the tasks: while it lives nobody else does. */
  by: Identity;
  steps: PlannedStep[];
}

/** The items of a step that is done for each; `filed` once all their tasks are there. */
export interface Items {
  items: string[];
  filed: boolean;
}

/** A task that runs again. `anew`: as if it never had; `drop`: it is put by, since its list is made anew. */
export interface Again {
  id: string;
  how: 'on' | 'anew' | 'drop';
  /** The step whose list is forgotten before. */
  list?: number;
}

/** What is to run again since a step is: of the step itself before anything is cancelled, and whole before the first task is moved. */
export interface Rerun {
  step: number;
  /** What is at work after the step is to be cancelled first, and only then known. */
  clears?: boolean;
  /** In this order: each after those that it waits for. */
  tasks: Again[];
}

const PLAN = 'plan.json';
const RERUN = 'rerun.json';
const FILED = 'filed';

export class Runs {
  readonly #workspace: Workspace;
  readonly #disk: Durable;

  constructor(workspace: Workspace, durability: 'full' | 'fast') {
    this.#workspace = workspace;
    this.#disk = new Durable(durability);
  }

  /** Writes a new run down, aside and then under its name. */
  create(plan: Plan, source: string, values: ReadonlyMap<string, string>, items: ReadonlyMap<number, string[]>): void {
    const dir = this.#workspace.workflow(plan.run);
    const aside = join(dirname(dir), `.${plan.run}.${process.pid}`);
    mkdirSync(join(aside, 'vars'), { recursive: true, mode: 0o700 });
    mkdirSync(join(aside, 'items'), { mode: 0o700 });
    const write = (name: string, text: string) => this.#disk.replace(join(aside, name), text);
    write('workflow.md', source);
    for (const [name, value] of values) write(join('vars', name), value);
    for (const [step, list] of items) write(itemsFile(step), JSON.stringify({ items: list, filed: false }));
    write(PLAN, JSON.stringify(plan));
    for (const name of ['vars', 'items', '.']) this.#disk.sync(join(aside, name));
    renameSync(aside, dir);
    for (const parent of [dirname(dir), this.#workspace.state]) this.#disk.sync(parent);
  }

  /** The plan of a run; null when there is none. */
  plan(run: string): Plan | null {
    // It may be what a person typed: a path is no name.
    if (!/^[a-z0-9-]+$/.test(run)) return null;
    return readJson<Plan>(join(this.#workspace.workflow(run), PLAN));
  }

  /** All runs, the oldest first. */
  all(): Plan[] {
    return this.#names()
      .flatMap((run) => this.plan(run) ?? [])
      .sort((a, b) => (a.created_at < b.created_at ? -1 : 1));
  }

  #names(): string[] {
    const { workflows } = this.#workspace;
    return existsSync(workflows) ? readdirSync(workflows).filter((name) => !name.startsWith('.')) : [];
  }

  /** Removes what killed processes had not finished writing. */
  clear(): void {
    const { workflows } = this.#workspace;
    for (const name of existsSync(workflows) ? readdirSync(workflows) : []) {
      const writer = Number(/^\..*\.(\d+)$/.exec(name)?.[1]);
      if (writer > 0 && startedAt(writer) === undefined)
        rmSync(join(workflows, name), { recursive: true, force: true });
    }
  }

  given(run: string, name: string): string | undefined {
    const path = join(this.#workspace.workflow(run), 'vars', name);
    return existsSync(path) ? readFileSync(path, 'utf8') : undefined;
  }

  items(run: string, step: number): Items | null {
    return readJson<Items>(join(this.#workspace.workflow(run), itemsFile(step)));
  }

  keepItems(run: string, step: number, items: Items): void {
    this.#disk.replace(join(this.#workspace.workflow(run), itemsFile(step)), JSON.stringify(items));
  }

  /** The list of a step is not known any more. */
  dropItems(run: string, step: number): void {
    rmSync(join(this.#workspace.workflow(run), itemsFile(step)), { force: true });
  }

  /** What was begun and not finished; null when nothing was. */
  rerun(run: string): Rerun | null {
    return readJson<Rerun>(join(this.#workspace.workflow(run), RERUN));
  }

  keepRerun(run: string, rerun: Rerun): void {
    this.#disk.replace(join(this.#workspace.workflow(run), RERUN), JSON.stringify(rerun));
  }

  endRerun(run: string): void {
    rmSync(join(this.#workspace.workflow(run), RERUN), { force: true });
  }

  /** Runs of which a part is to run again, and not all of it has begun. */
  cutOff(): string[] {
    return this.#names().filter((run) => existsSync(join(this.#workspace.workflow(run), RERUN)));
  }

  /** The tasks of a step, with those of its items; the step's own first. */
  tasksOf(plan: Plan, at: number): string[] {
    const step = plan.steps[at]!;
    const items = step.each ? (this.items(plan.run, at)?.items ?? []) : [];
    return [step.id, ...items.map((_, n) => itemId(step, n + 1))];
  }

  /** Runs of which some task may not be there yet. */
  unfiled(): string[] {
    return this.#names().filter((run) => !existsSync(join(this.#workspace.workflow(run), FILED)));
  }

  setFiled(run: string): void {
    this.#disk.replace(join(this.#workspace.workflow(run), FILED), '');
  }

  /** Puts values where the run of a task reads them: a file each. Returns the folder. */
  putInputs(run: string, id: string, values: ReadonlyMap<string, string>): string {
    const dir = join(this.#workspace.workflow(run), 'inputs', id);
    mkdirSync(dir, { recursive: true, mode: 0o700 });
    for (const [name, value] of values) writeFileSync(join(dir, name), value, { mode: 0o600 });
    return dir;
  }
}

const itemsFile = (step: number): string => join('items', `${step}.json`);

/** The task of one item of a step, the first being 1. */
export const itemId = ({ id }: Pick<PlannedStep, 'id'>, item: number): string => `${id}-${item}`;

/** Which step of which run a task is, by what is privately known; null for any other task. */
export function stepOf(
  workspace: Workspace,
  id: string,
): { run: string; step: number; item?: number | undefined } | null {
  // Most tasks are none: their names tell without a look at the disk.
  if (!/^[a-z0-9-]+\.\d+-/.test(id)) return null;
  const origin = originOf(workspace, id);
  return origin?.kind === 'step' ? origin : null;
}

function readJson<T>(path: string): T | null {
  try {
    return JSON.parse(readFileSync(path, 'utf8')) as T;
  } catch {
    return null;
  }
}
