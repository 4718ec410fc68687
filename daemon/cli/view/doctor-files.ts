// What doctor says of the files: settings and where each comes from, the repository, roles, hooks, worktrees left over.
import { execFile } from 'node:child_process';
import { existsSync, readdirSync, type Stats, statSync } from 'node:fs';
import { join, relative, resolve } from 'node:path';
import { promisify } from 'node:util';
import type { LoadedSettings } from '../../config.ts';
import { messageOf, TowpathError } from '../../errors.ts';
import type { Workspace } from '../../paths.ts';
import type { QueuePort } from '../../queue/port.ts';
import { readRole, rolePath } from '../../roles/role.ts';
import { HOOK_EVENTS, type Settings } from '../../settings.ts';
import { DEFAULT_ROLE } from '../../task/terms.ts';
import { headOf, inspect } from '../../worktree/repo.ts';
import { atLeast } from './doctor-machine.ts';
import type { Finding } from './finding.ts';
import { plural, shellWord } from './words.ts';

const GIT_AT_LEAST = '2.31.0';
const SECRET = /key|token|secret|password/i;

export function settingFindings(workspace: Workspace, loaded: LoadedSettings | TowpathError): Finding[] {
  const area = 'settings';
  if (loaded instanceof TowpathError) return [{ area, level: 'error', what: loaded.message, next: loaded.next }];
  const found: Finding[] = [...loaded.origins]
    .filter(([key]) => key !== '')
    .map(([key, origin]) => ({
      area,
      level: 'ok',
      what: `${key} = ${valueAt(loaded.settings, key)} (${origin})`,
      next: '',
    }));
  if (found.length > 0) return found;
  return [
    {
      area,
      level: 'ok',
      what: existsSync(workspace.settings)
        ? 'towpath.yaml sets nothing: all defaults'
        : 'no towpath.yaml: all defaults',
      next: '',
    },
  ];
}

function valueAt(settings: Settings, key: string): string {
  if (SECRET.test(key)) return '(set)';
  let at: unknown = settings;
  for (const part of key.split('.')) at = (at as Record<string, unknown> | undefined)?.[part];
  const text = typeof at === 'string' ? at : (JSON.stringify(at) ?? '');
  return text.length > 60 ? `${text.slice(0, 59)}…` : text;
}

export async function gitFindings(workspace: Workspace, settings: Settings | null): Promise<Finding[]> {
  const area = 'git';
  let version: string;
  try {
    const { stdout } = await promisify(execFile)('git', ['--version'], { timeout: 5000 });
    version = /\d+(\.\d+)+/.exec(stdout)?.[0] ?? '0';
  } catch (thrown) {
    return [{ area, level: 'error', what: `git cannot be run: ${messageOf(thrown)}`, next: 'install git' }];
  }
  const fine = atLeast(version, GIT_AT_LEAST);
  const found: Finding[] = [
    {
      area,
      level: fine ? 'ok' : 'error',
      what: fine ? version : `${version} is too old`,
      next: fine ? '' : `install git ${GIT_AT_LEAST} or newer`,
    },
  ];
  const places = new Map([['repo', settings?.repo ?? '.']]);
  for (const [name, project] of Object.entries(settings?.projects ?? {}))
    if (project.repo) places.set(`projects.${name}.repo`, project.repo);
  for (const [key, path] of places) found.push(await repoFinding(key, resolve(workspace.root, path)));
  return found;
}

async function repoFinding(key: string, dir: string): Promise<Finding> {
  const area = 'git';
  if (!existsSync(dir))
    return { area, level: 'error', what: `${key}: ${dir} does not exist`, next: `set ${key} in towpath.yaml` };
  const repo = await inspect(dir);
  if (repo.kind === 'none')
    return {
      area,
      level: 'warn',
      what: `${key}: ${dir} is no git repository: only minor tasks can run`,
      next: `git init ${shellWord(dir)}`,
    };
  const { sha, branch } = await headOf(repo.root);
  if (sha === null)
    return {
      area,
      level: 'error',
      what: `${key}: ${repo.root} has no commit yet, and a branch needs one`,
      next: `git -C ${shellWord(dir)} commit --allow-empty -m "Begin"`,
    };
  return {
    area,
    level: 'ok',
    what: `${key}: ${repo.root}, ${branch ?? 'no branch checked out'} at ${sha.slice(0, 8)}`,
    next: '',
  };
}

export function roleFindings(workspace: Workspace): Finding[] {
  const area = 'roles';
  const own = entries(workspace.roles).filter(([name, stat]) => stat.isFile() && name.endsWith('.md'));
  const names = own.map(([name]) => name.slice(0, -3));
  const found = names.flatMap((name): Finding[] => {
    try {
      readRole(workspace, name);
      return [];
    } catch (thrown) {
      return [{ area, level: 'error', what: messageOf(thrown), next: `$EDITOR roles/${shellWord(`${name}.md`)}` }];
    }
  });
  if (!rolePath(workspace, DEFAULT_ROLE))
    found.push({
      area,
      level: 'error',
      what: `no role "${DEFAULT_ROLE}", which every task has that names none`,
      next: 'towpath init',
    });
  const what = names.length > 0 ? names.join(', ') : 'the ones that come with Towpath';
  return found.length > 0 ? found : [{ area, level: 'ok', what, next: '' }];
}

/** Files named like a moment must be executable; an executable named like none never runs. */
export function hookFindings(workspace: Workspace): Finding[] {
  const area = 'hooks';
  const files = entries(workspace.hooks).flatMap(([name, stat]): [string, Stats][] =>
    stat.isDirectory() && name.endsWith('.d')
      ? entries(join(workspace.hooks, name)).map(([inner, of]) => [join(name, inner), of])
      : [[name, stat]],
  );
  const ready: string[] = [];
  const found: Finding[] = [];
  for (const [name, stat] of files) {
    if (!stat.isFile() || /\.sample$|~$|^\.|\/\.|\.md$/i.test(name)) continue;
    const known = HOOK_EVENTS.some((event) => name === event || name.startsWith(`${event}.`));
    const executable = (stat.mode & 0o111) !== 0;
    const path = shellWord(relative(workspace.root, join(workspace.hooks, name)));
    if (known && executable) ready.push(name);
    else if (known)
      found.push({
        area,
        level: 'warn',
        what: `${name} is not executable, so it does not run`,
        next: `chmod +x ${path}`,
      });
    else if (executable)
      found.push({
        area,
        level: 'warn',
        what: `${name} is named like no moment, so it does not run`,
        next: `name it ${HOOK_EVENTS.join(', ')}`,
      });
  }
  if (ready.length > 0 || found.length === 0)
    found.unshift({ area, level: 'ok', what: ready.join(', ') || 'none', next: '' });
  return found;
}

/** Worktrees of ours whose task is in no queue any more. */
export async function leftoverFindings(dir: string, queue: QueuePort): Promise<Finding[]> {
  const area = 'worktrees';
  const ours = entries(dir).filter(([name, stat]) => stat.isDirectory() && name.startsWith('task-'));
  const found: Finding[] = [];
  for (const [name] of ours) {
    if (await queue.get(name.slice('task-'.length))) continue;
    const path = join(dir, name);
    found.push({
      area,
      level: 'warn',
      what: `${path} belongs to no task`,
      next: `look into it, then: git worktree remove ${shellWord(path)}`,
    });
  }
  return found.length > 0
    ? found
    : [{ area, level: 'ok', what: ours.length === 0 ? 'none' : plural(ours.length, 'worktree'), next: '' }];
}

function entries(dir: string): [string, Stats][] {
  if (!existsSync(dir)) return [];
  return readdirSync(dir)
    .sort()
    .flatMap((name): [string, Stats][] => {
      const stat = statSync(join(dir, name), { throwIfNoEntry: false });
      return stat ? [[name, stat]] : [];
    });
}
