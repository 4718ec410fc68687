// towpath init: the folders of a workspace, a settings file that explains itself, the shipped roles and hook samples.
import { copyFileSync, existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { errno, messageOf, TowpathError } from '../errors.ts';
import { makeFolders } from '../folders.ts';
import { SETTINGS, Workspace } from '../paths.ts';
import { SHIPPED_ROLES } from '../roles/role.ts';
import { QUEUES } from '../task/terms.ts';
import { headOf, inspect } from '../worktree/repo.ts';
import type { Common } from './common.ts';

const SHIPPED_HOOKS = fileURLToPath(new URL('../../hooks/', import.meta.url));

const TEMPLATE = `# Settings of this Towpath workspace. Every key is optional; docs/settings.md explains each one.
# repo: .                    # the repository that tasks work in
# base: main                 # the branch that tasks start from (default: the one that is checked out)
# agent: auto                # claude, shell, or a name under agents:
# review: none               # none, human, agent (the role reviewer), or a list: [reviewer, human]
# checks: [npm test]         # what must pass before a task is done
# protect: [.github/**]      # files that no task may change
# concurrency: 2
# timeouts: {agent: 10m, stuck: 5m, first_output: 2m}
# agents:
#   mybot: {command: [./mybot, --fast], input: json}
`;

/** One folder after the other: where none can be made (/proc) Node's `recursive` goes round for ever. Throws `failed`. */
function makeRoot(dir: string): void {
  if (existsSync(dir)) return;
  makeRoot(dirname(dir));
  try {
    mkdirSync(dir);
  } catch (thrown) {
    if (errno(thrown) !== 'EEXIST')
      throw new TowpathError(
        'failed',
        `${dir} could not be made: ${messageOf(thrown)}`,
        'name a folder that you may write to',
      );
  }
}

/** Makes a workspace in a folder; what is there already stays as it is. */
export async function init([dir]: [string | undefined], options: Common): Promise<void> {
  const workspace = new Workspace(resolve(dir ?? options.workspace ?? '.'));
  const made: string[] = [];
  const folder = (path: string) => {
    if (!existsSync(path)) made.push(`${relative(workspace.root, path)}/`);
    mkdirSync(path, { recursive: true });
  };
  const file = (path: string, make: (path: string) => void) => {
    if (existsSync(path)) return;
    make(path);
    made.push(relative(workspace.root, path));
  };
  makeRoot(workspace.root);
  file(workspace.settings, (path) => writeFileSync(path, TEMPLATE));
  for (const queue of QUEUES) folder(workspace.queue(queue));
  for (const name of ['hooks', 'roles', 'workflows', 'patterns']) folder(join(workspace.root, name));
  for (const [from, to] of [
    [SHIPPED_ROLES, workspace.roles],
    [SHIPPED_HOOKS, workspace.hooks],
  ] as const)
    for (const name of readdirSync(from))
      if (/\.(md|sample)$/.test(name)) file(join(to, name), (path) => copyFileSync(join(from, name), path));
  makeFolders(workspace, join(workspace.root, '.worktrees'));
  const repo = await inspect(workspace.root);
  if (options.json) {
    console.log(JSON.stringify({ workspace: workspace.root, made, git: repo.kind }));
    return;
  }
  console.log(`workspace ready: ${workspace.root} (${SETTINGS})`);
  if (repo.kind === 'none')
    console.error(`note: ${workspace.root} is no git repository: run "git init" there, or set repo: in ${SETTINGS}`);
  else if ((await headOf(repo.root)).sha === null)
    console.error('note: the repository has no commit yet: tasks need one to start from');
  console.error('next: "towpath start", and drop a .md file into queues/incoming');
}
