// towpath service: lets a service manager keep the daemon of this workspace up: its file written, started, looked at, removed.
import {
  existsSync,
  mkdirSync,
  readFileSync,
  realpathSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { userInfo } from 'node:os';
import { dirname, isAbsolute, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { loadSettings } from '../config.ts';
import { TowpathError } from '../errors.ts';
import { readDaemonInfo } from '../hold.ts';
import { findWorkspace } from '../paths.ts';
import { isAlive } from '../process/identity.ts';
import { launchd, logFile } from '../service/launchd.ts';
import type { Manager } from '../service/manager.ts';
import { configDir, systemd } from '../service/systemd.ts';
import { differences, type Form, MARK, render, type Service, serviceName } from '../service/unit.ts';
import type { Common } from './common.ts';

export const ACTIONS = ['install', 'uninstall', 'status', 'print'] as const;

interface ServiceOptions extends Common {
  system?: boolean;
  /** False with `--no-start`. */
  start?: boolean;
  systemd?: boolean;
  launchd?: boolean;
}

interface Scene {
  service: Service;
  manager: Manager;
  /** What the file would hold if it were written now. */
  text: string;
  options: ServiceOptions;
}

export async function service([action]: [(typeof ACTIONS)[number]], options: ServiceOptions): Promise<void> {
  if ((options.systemd || options.launchd) && action !== 'print')
    throw new TowpathError(
      'bad_usage',
      `"service ${action}" uses what this machine has`,
      'leave --systemd and --launchd to "service print"',
    );
  if (options.start === false && action !== 'install')
    throw new TowpathError('bad_usage', '--no-start is for "service install"', 'leave it out');
  const here: Form = process.platform === 'darwin' ? 'launchd' : 'systemd';
  const one = describe(options.launchd ? 'launchd' : options.systemd ? 'systemd' : here, options);
  const { form, scope, name } = one;
  const manager = form === 'launchd' ? launchd(name, scope) : systemd(name, scope);
  const scene = { service: one, manager, text: render(one), options };
  if (action === 'print') return print(scene);
  if (action === 'status') return status(scene);
  if (scope === 'system' && process.getuid?.() !== 0)
    throw new TowpathError(
      'failed',
      `a service of the machine can only be changed by root`,
      `sudo env "PATH=$PATH" ${process.argv[1]} --workspace ${one.workspace} service ${action} --system`,
    );
  return action === 'install' ? install(scene) : uninstall(scene);
}

function describe(form: Form, options: ServiceOptions): Service {
  const found = findWorkspace(options.workspace);
  const workspace = realpathSync(found.root);
  const scope = options.system ? 'system' : 'user';
  const name = serviceName(workspace);
  return {
    form,
    scope,
    name,
    workspace,
    node: process.execPath,
    program: fileURLToPath(new URL('../towpath.js', import.meta.url)),
    path: lastingPath(process.env['PATH'] ?? ''),
    environment: join(scope === 'system' ? '/etc' : configDir(), 'towpath/env'),
    // Under sudo it is for whoever called it.
    user: (process.getuid?.() === 0 && process.env['SUDO_USER']) || userInfo().username,
    log: logFile(name, scope),
  };
}

/** The folders of PATH that are still there tomorrow: npm and npx put some of a project's own in front. */
function lastingPath(path: string): string {
  const folders = path
    .split(':')
    .filter((dir) => isAbsolute(dir) && !/\/(node_modules|_npx)(\/|$)/.test(dir))
    .filter((dir) => statSync(dir, { throwIfNoEntry: false })?.isDirectory());
  return [...new Set(folders)].join(':') || '/usr/local/bin:/usr/bin:/bin';
}

function print({ service, manager, text, options }: Scene): void {
  if (!options.json) return void process.stdout.write(text);
  const { form, scope, name, environment } = service;
  console.log(JSON.stringify({ name, form, scope, file: manager.file, environment, text }));
}

async function install({ service, manager, text, options }: Scene): Promise<void> {
  const { name, workspace, environment } = service;
  const start = options.start ?? true;
  loadSettings(findWorkspace(workspace));
  const before = ours(manager.file);
  const absent = await manager.absent();
  if (absent && start)
    throw new TowpathError(
      'failed',
      `the service cannot be started: ${absent}`,
      '"towpath service install --no-start" only writes the file',
    );
  const was = absent ? null : await manager.state();
  if (start && !was?.running) mustBeFree(workspace);
  const written = before !== text;
  if (written) writeWhole(manager.file, text);
  if (!absent) await manager.enable(start);
  const hints = [
    ...(absent ? [`${absent}: the file waits there until it runs`] : await manager.hints()),
    ...(was?.running && written
      ? [`it still runs as it was before: "${manager.commands.restart}" (agents are kept)`]
      : []),
    ...(existsSync(environment) && (statSync(environment).mode & 0o077) !== 0
      ? [`${environment} can be read by others: chmod 600 ${environment}`]
      : []),
  ];
  const state = absent ? null : await manager.state();
  if (options.json)
    return console.log(
      JSON.stringify({
        name,
        file: manager.file,
        written,
        started: state?.running ?? false,
        pid: state?.pid ?? null,
        hints,
      }),
    );
  console.log(`${before === null ? 'written' : written ? 'written anew' : 'as it was'}  ${manager.file}`);
  if (before === null) console.log(text.replace(/^(?=.)/gm, '  '));
  if (state?.running) console.log(`running  ${name} (pid ${state.pid}); its log: ${manager.commands.log}`);
  else console.log(`not started  ${name}`);
  for (const hint of hints) console.error(hint);
}

/** The text of the file, null when there is none. Throws `wrong_state` when somebody else wrote it. */
function ours(file: string): string | null {
  if (!existsSync(file)) return null;
  const text = readFileSync(file, 'utf8');
  if (text.includes(MARK)) return text;
  throw new TowpathError('wrong_state', `${file} was not written by Towpath`, 'move it away first');
}

function mustBeFree(workspace: string): void {
  const info = readDaemonInfo(findWorkspace(workspace));
  if (info && isAlive(info))
    throw new TowpathError(
      'daemon_running',
      `a daemon already runs in ${workspace} (pid ${info.pid})`,
      'end it with "towpath stop --keep-agents", then install the service: it goes on with the agents',
    );
}

function writeWhole(file: string, text: string): void {
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(`${file}.tmp`, text, { mode: 0o644 });
  renameSync(`${file}.tmp`, file);
}

async function uninstall({ service, manager, options }: Scene): Promise<void> {
  if (ours(manager.file) === null)
    throw new TowpathError('not_found', `no service is installed at ${manager.file}`, elsewhere(service));
  const absent = await manager.absent();
  if (!absent) await manager.disable();
  rmSync(manager.file);
  if (!absent) await manager.forget();
  if (options.json) console.log(JSON.stringify({ name: service.name, file: manager.file, removed: true }));
  else console.log(`${absent ? '' : 'stopped, and '}removed  ${manager.file}`);
}

async function status({ service, manager, text, options }: Scene): Promise<void> {
  const { name, form, scope } = service;
  const installed = existsSync(manager.file);
  const absent = await manager.absent();
  const state = installed && !absent ? await manager.state() : null;
  const differs = installed ? differences(form, readFileSync(manager.file, 'utf8'), text) : [];
  if (options.json)
    return console.log(
      JSON.stringify({
        name,
        form,
        scope,
        file: manager.file,
        installed,
        enabled: state?.enabled ?? false,
        active: state?.active ?? null,
        pid: state?.pid ?? null,
        since: state?.since ?? null,
        differs,
      }),
    );
  if (!installed) return console.log(`not installed  ${name}: ${elsewhere(service)}`);
  console.log(`installed  ${manager.file}`);
  if (absent) console.log(`not running  ${absent}`);
  else if (state) {
    const since = state.since ? ` since ${state.since}` : '';
    console.log(
      `${state.active}${state.enabled ? '' : ', not enabled'}${state.pid ? ` (pid ${state.pid})` : ''}${since}`,
    );
  }
  if (differs.length)
    console.log(`an install now would change ${differs.join(', ')}: run "towpath service install" to renew it`);
}

/** What to do when it is not there: it may be there for the machine, or for the user. */
function elsewhere({ name, form, scope }: Service): string {
  const other = scope === 'user' ? 'system' : 'user';
  const there = (form === 'launchd' ? launchd : systemd)(name, other).file;
  const flag = scope === 'user' ? ' --system' : '';
  if (existsSync(there)) return `${there} is there: ${flag ? 'use --system' : 'leave --system out'}`;
  return `"towpath service install${scope === 'system' ? ' --system' : ''}" makes it`;
}
