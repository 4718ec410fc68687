// A throwaway workspace with a real daemon in it, and tasks that are dropped as a careful program does: written aside, renamed in.
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { until, wallMs } from './measure.ts';

export const BIN = fileURLToPath(new URL('../daemon/towpath.js', import.meta.url));
const FLOOR = fileURLToPath(new URL('./floor.ts', import.meta.url));

const made: string[] = [];

/** A temporary folder, on the disk where TMPDIR is. */
export function tempDir(): string {
  const dir = realpathSync(mkdtempSync(join(tmpdir(), 'towpath-bench-')));
  made.push(dir);
  return dir;
}

/** Removes all of them, at the very end: where ext4 has no journal, what was just deleted makes each new file dearer for a minute. */
export function removeAll(): void {
  for (const dir of made.splice(0)) rmSync(dir, { recursive: true, force: true, maxRetries: 5 });
}

export const gitIn = (dir: string, ...args: string[]): string =>
  execFileSync('git', ['-c', 'user.name=b', '-c', 'user.email=b@example.org', ...args], { cwd: dir, encoding: 'utf8' });

/** A repository with one commit of a few files. */
export function makeRepo(dir: string): void {
  mkdirSync(dir, { recursive: true });
  gitIn(dir, 'init', '-q', '-b', 'main');
  for (let n = 0; n < 20; n++) writeFileSync(join(dir, `file-${n}.txt`), `${n}\n`);
  gitIn(dir, 'add', '-A');
  gitIn(dir, 'commit', '-q', '-m', 'first');
}

/** A process with folders that tasks go through; `stop` ends it by its own pid. */
export class Place {
  readonly root: string;
  child: ChildProcess | null = null;
  /** The end of what the last process wrote to stderr. */
  said = '';

  constructor(root = tempDir()) {
    this.root = root;
  }

  path(...parts: string[]): string {
    return join(this.root, ...parts);
  }

  file(path: string, content: string, mode = 0o644): void {
    mkdirSync(dirname(this.path(path)), { recursive: true });
    writeFileSync(this.path(path), content, { mode });
  }

  get pid(): number {
    return this.child?.pid ?? 0;
  }

  /** Writes a task aside; the returned function renames it into incoming and says when. */
  stage(id: string, content: string): () => number {
    this.file(`staged/${id}.md`, content);
    const from = this.path('staged', `${id}.md`);
    const to = this.path('queues/incoming', `${id}.md`);
    return () => {
      const at = wallMs();
      renameSync(from, to);
      return at;
    };
  }

  /** The ids of the tasks in a queue. */
  names(queue: string): string[] {
    return readdirSync(this.path('queues', queue)).flatMap((name) => (name.endsWith('.md') ? [name.slice(0, -3)] : []));
  }

  count(queue: string): number {
    return this.names(queue).length;
  }

  protected async launch(argv: string[], ready: () => boolean, env = process.env): Promise<void> {
    this.said = '';
    const child = spawn(argv[0]!, argv.slice(1), { cwd: this.root, stdio: ['ignore', 'ignore', 'pipe'], env });
    child.stderr.on('data', (chunk: Buffer) => {
      this.said = (this.said + chunk.toString()).slice(-2000);
    });
    this.child = child;
    await until(() => {
      if (child.exitCode !== null) throw new Error(`${argv.join(' ')} ended: ${this.said}`);
      return ready();
    }, 'the start');
  }

  /** As a crash does: at once, and what it started lives on. */
  async kill(): Promise<void> {
    const { child } = this;
    this.child = null;
    if (!child) return;
    const gone = new Promise((resolve) => child.once('exit', resolve));
    child.kill('SIGKILL');
    await gone;
  }

  /** `now`: what runs is ended too. */
  async stop({ now = false } = {}): Promise<void> {
    const { child } = this;
    this.child = null;
    if (!child || child.exitCode !== null || child.signalCode !== null) return;
    const gone = new Promise((resolve) => child.once('exit', resolve));
    child.kill('SIGTERM');
    if (now) setTimeout(() => child.kill('SIGTERM'), 200);
    const late = setTimeout(() => child.kill('SIGKILL'), 10_000);
    await gone;
    clearTimeout(late);
  }
}

/** Towpath itself. `settings` is the text of towpath.yaml. */
export class Towpath extends Place {
  constructor(settings: string, root?: string) {
    super(root);
    this.file('towpath.yaml', settings);
    for (const queue of ['incoming', 'claimed', 'provisional', 'done', 'blocked', 'failed'])
      mkdirSync(this.path('queues', queue), { recursive: true });
  }

  async start(env = process.env): Promise<void> {
    await this.launch([BIN, 'start', '--workspace', this.root], () => this.#told() === this.pid, env);
  }

  #told(): number | null {
    try {
      return (JSON.parse(readFileSync(this.path('.towpath/daemon.json'), 'utf8')) as { pid: number }).pid;
    } catch {
      return null;
    }
  }

  /** What the program of a task printed, its first run. */
  printed(id: string): string {
    return textOf(this.path('.towpath/runs', id, '1/stdout'));
  }
}

/** The bare script: see floor.ts. */
export class Floor extends Place {
  async start(lanes: number, argv: string[]): Promise<void> {
    for (const queue of ['incoming', 'claimed', 'done']) mkdirSync(this.path('queues', queue), { recursive: true });
    const command = [process.execPath, FLOOR, this.root, String(lanes), ...argv];
    await this.launch(command, () => textOf(this.path('ready')) !== '');
  }

  printed(id: string): string {
    return textOf(this.path('runs', id));
  }
}

export function textOf(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}
