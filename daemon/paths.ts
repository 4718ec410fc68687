// Where everything lies in a workspace: the only module that builds such paths.
import { existsSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { TowpathError } from './errors.ts';
import type { Queue } from './task/terms.ts';

export const SETTINGS = 'towpath.yaml';

/** The paths of one workspace; every member is absolute. */
export class Workspace {
  readonly root: string;
  constructor(root: string) {
    this.root = resolve(root);
  }

  get settings(): string {
    return join(this.root, SETTINGS);
  }
  get queues(): string {
    return join(this.root, 'queues');
  }
  get hooks(): string {
    return join(this.root, 'hooks');
  }
  get roles(): string {
    return join(this.root, 'roles');
  }
  get skills(): string {
    return join(this.root, 'skills');
  }
  get schedules(): string {
    return join(this.root, 'schedules');
  }
  get patterns(): string {
    return join(this.root, 'patterns');
  }
  /** Private state: ledger, runs, daemon lock, control socket. Mode 0700. */
  get state(): string {
    return join(this.root, '.towpath');
  }
  get ledger(): string {
    return join(this.state, 'ledger.db');
  }
  /** Touched while a daemon lives: its time is when the last one did. */
  get alive(): string {
    return join(this.state, 'alive');
  }
  /** What was filed of each schedule. */
  get scheduleBook(): string {
    return join(this.state, 'schedules.json');
  }
  /** What happened, as JSON lines. */
  get log(): string {
    return join(this.state, 'daemon.log');
  }
  /** Moves between queues that are under way, a file each: what a kill cut in two is finished from here. */
  get moves(): string {
    return join(this.state, 'moves');
  }
  queue(queue: Queue): string {
    return join(this.queues, queue);
  }
  lock(id: string): string {
    return join(this.queues, 'claimed', `${id}.lock.json`);
  }
  /** Everything that is kept of one task's runs: `.towpath/runs/<id>/`. */
  runs(id: string): string {
    return join(this.state, 'runs', id);
  }
  /** Who filed a task, until its runs have a folder that may be believed. */
  origin(id: string): string {
    return join(this.state, 'origins', `${id}.json`);
  }
  /** Records of the runs of workflows. */
  get workflows(): string {
    return join(this.state, 'workflows');
  }
  workflow(run: string): string {
    return join(this.workflows, run);
  }
  run(id: string, attempt: number): string {
    return join(this.runs(id), String(attempt));
  }
}

/** The workspace of `--workspace`, else TOWPATH_WORKSPACE, else the nearest parent of cwd with towpath.yaml. Throws `no_workspace`. */
export function findWorkspace(given?: string, cwd = process.cwd(), env = process.env): Workspace {
  const named = given ?? env['TOWPATH_WORKSPACE'];
  if (named) {
    const root = resolve(cwd, named);
    if (existsSync(join(root, SETTINGS)) || existsSync(join(root, 'queues'))) return new Workspace(root);
    throw new TowpathError('no_workspace', `no workspace at ${root} (no ${SETTINGS})`, `run "towpath init ${named}"`);
  }
  for (let dir = resolve(cwd); ; dir = dirname(dir)) {
    if (existsSync(join(dir, SETTINGS))) return new Workspace(dir);
    if (dirname(dir) === dir)
      throw new TowpathError(
        'no_workspace',
        `no ${SETTINGS} in ${cwd} or above`,
        'run "towpath init" or name --workspace DIR',
      );
  }
}
