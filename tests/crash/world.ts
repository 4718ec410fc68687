// A workspace that is made once, kept as a template, and put back at the same path before each case: git knows worktrees by their paths.
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import {
  accessSync,
  chmodSync,
  constants,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gitIn, makeRepo } from '../helpers/workspace.ts';

const MAIN = fileURLToPath(new URL('../../daemon/towpath.js', import.meta.url));
const PRELOAD = new URL('./preload.ts', import.meta.url).href;
export const QUEUES = ['incoming', 'claimed', 'provisional', 'done', 'blocked', 'failed'] as const;

/** Memory where it can be had: the calls are the same, and a sweep makes thousands of workspaces. */
function scratch(): string {
  try {
    accessSync('/dev/shm', constants.W_OK);
    return '/dev/shm';
  } catch {
    return realpathSync(tmpdir());
  }
}

/** What a world begins with. */
export interface Made {
  settings: string;
  hooks?: Record<string, string>;
  /** Files of the workspace that git tracks. */
  files?: Record<string, string>;
  /** Task files by id, put in before the template is taken. */
  tasks?: Record<string, string>;
}

export interface Ended {
  code: number | null;
  signal: NodeJS.Signals | null;
  output: string;
}

export class World {
  readonly base: string;
  readonly root: string;
  readonly #children = new Set<ChildProcess>();

  constructor(made: Made) {
    this.base = mkdtempSync(join(scratch(), 'towpath-crash-'));
    this.root = join(this.base, 'ws');
    makeRepo(this.root);
    const files = { 'towpath.yaml': made.settings, 'src/a.txt': 'a\n', '.gitignore': 'ignored/\n', ...made.files };
    for (const [path, text] of Object.entries(files)) this.write(path, text, text.startsWith('#!') ? 0o755 : 0o644);
    for (const queue of QUEUES) mkdirSync(this.path('queues', queue), { recursive: true });
    for (const name of ['queues', '.towpath', '.worktrees']) this.write(`${name}/.gitignore`, '*\n');
    for (const [name, text] of Object.entries(made.hooks ?? {})) this.write(`hooks/${name}`, text, 0o755);
    gitIn(this.root, 'add', '-A');
    gitIn(this.root, 'commit', '-q', '-m', 'second');
    this.write('user.txt', 'not tracked\n');
    for (const [id, text] of Object.entries(made.tasks ?? {})) this.write(`queues/incoming/${id}.md`, text);
    this.settle();
  }

  path(...parts: string[]): string {
    return join(this.root, ...parts);
  }

  write(path: string, text: string, mode = 0o644): void {
    mkdirSync(dirname(this.path(path)), { recursive: true });
    writeFileSync(this.path(path), text);
    chmodSync(this.path(path), mode);
  }

  read(path: string): string {
    return existsSync(this.path(path)) ? readFileSync(this.path(path), 'utf8') : '';
  }

  /** What agents and hooks wrote of themselves, beside the workspace. */
  get ledger(): string[] {
    const path = join(this.base, 'ledger');
    return existsSync(path) ? readFileSync(path, 'utf8').split('\n').filter(Boolean) : [];
  }

  /** Keeps the world as it is now. */
  keep(): void {
    rmSync(join(this.base, 'template'), { recursive: true, force: true });
    execFileSync('cp', ['-a', this.root, join(this.base, 'template')]);
    if (existsSync(join(this.base, 'ledger'))) cpSync(join(this.base, 'ledger'), join(this.base, 'template.ledger'));
  }

  /** Puts it back. */
  restore(): void {
    rmSync(this.root, { recursive: true, force: true, maxRetries: 5 });
    rmSync(join(this.base, 'ledger'), { force: true });
    execFileSync('cp', ['-a', join(this.base, 'template'), this.root]);
    if (existsSync(join(this.base, 'template.ledger')))
      cpSync(join(this.base, 'template.ledger'), join(this.base, 'ledger'));
  }

  /** Starts a command of Towpath. `crash` is for preload.ts; `under` is put before it (strace …). */
  start(
    args: string[],
    { crash, under = [] }: { crash?: string | undefined; under?: string[] } = {},
  ): ChildProcess & { ended: Promise<Ended> } {
    const node = [process.execPath, '--max-semi-space-size=2', ...(crash ? ['--import', PRELOAD] : []), MAIN, ...args];
    const [program = '', ...rest] = [...under, ...node];
    const env: NodeJS.ProcessEnv = { ...process.env, TOWPATH_WORKSPACE: this.root, NO_COLOR: '1' };
    if (crash) Object.assign(env, { TOWPATH_CRASH: crash, TOWPATH_CRASH_LOG: join(this.base, 'calls') });
    const child = spawn(program, rest, { cwd: this.root, env, stdio: ['ignore', 'pipe', 'pipe'] });
    this.#children.add(child);
    let output = '';
    for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk: Buffer) => (output += chunk));
    // Not `close`: what a killed daemon leaves running may hold its pipes for long.
    const ended = new Promise<Ended>((resolve) =>
      child.once('exit', (code, signal) => {
        this.#children.delete(child);
        setImmediate(() => resolve({ code, signal, output }));
      }),
    );
    return Object.assign(child, { ended });
  }

  /** Runs a command to its end; one that hangs is killed, and ends by SIGKILL. */
  async run(
    args: string[],
    options: { crash?: string | undefined; under?: string[]; ms?: number } = {},
  ): Promise<Ended> {
    const child = this.start(args, options);
    const timer = setTimeout(() => child.kill('SIGKILL'), options.ms ?? 60_000);
    const ended = await child.ended;
    clearTimeout(timer);
    return ended;
  }

  drain(options: Parameters<World['run']>[1] = {}): Promise<Ended> {
    return this.run(['start', '--drain'], options);
  }

  /** The calls that preload.ts noted, and a clean page. */
  takeCalls(): string[] {
    const path = join(this.base, 'calls');
    const lines = existsSync(path) ? readFileSync(path, 'utf8').split('\n').filter(Boolean) : [];
    rmSync(path, { force: true });
    return lines.map((line) => line.replaceAll(this.root, ''));
  }

  /** Task ids and the queues that they are in. */
  tasks(): Map<string, string[]> {
    const found = new Map<string, string[]>();
    for (const queue of QUEUES)
      for (const name of readdirSync(this.path('queues', queue)))
        if (name.endsWith('.md') && !name.startsWith('.'))
          found.set(name.slice(0, -3), [...(found.get(name.slice(0, -3)) ?? []), queue]);
    return found;
  }

  /** What lies in incoming was written a while ago: in memory, write and rename fall into one tick of the clock, and look like a file that is being written. */
  settle(): void {
    for (const name of readdirSync(this.path('queues/incoming')))
      if (name.endsWith('.md') && !name.startsWith('.')) utimesSync(this.path('queues/incoming', name), 1e9, 1e9);
  }

  git(...args: string[]): string {
    return gitIn(this.root, ...args);
  }

  close(): void {
    for (const child of this.#children) child.kill('SIGKILL');
    for (const { pid } of this.processes()) process.kill(pid, 'SIGKILL');
    rmSync(this.base, { recursive: true, force: true, maxRetries: 5 });
  }

  /** Live processes that were started for this workspace, by their environment. Linux only. */
  processes(): { pid: number; what: string }[] {
    if (process.platform !== 'linux') return [];
    return readdirSync('/proc').flatMap((name) => {
      if (!/^\d+$/.test(name) || Number(name) === process.pid) return [];
      try {
        const here = readFileSync(`/proc/${name}/environ`, 'utf8').includes(this.root);
        if (!here || /\) [ZX] /.test(readFileSync(`/proc/${name}/stat`, 'latin1'))) return [];
        return [{ pid: Number(name), what: readFileSync(`/proc/${name}/cmdline`, 'utf8').replaceAll('\0', ' ') }];
      } catch {
        return [];
      }
    });
  }
}
