// A throwaway workspace with a real git repository, the real command line, and waiting by condition.
import { type ChildProcess, execFileSync, spawn, spawnSync } from 'node:child_process';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  realpathSync,
  renameSync,
  rmSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { afterEach } from 'vitest';
import { readLock } from '../../daemon/queue/files/lock.ts';
import { readTask } from '../../daemon/queue/files/read.ts';
import { toJson } from '../../daemon/queue/port.ts';
import type { TaskJson } from '../../daemon/task/terms.ts';

export const BIN = fileURLToPath(new URL('../../daemon/towpath.js', import.meta.url));

export interface Result {
  code: number | null;
  stdout: string;
  stderr: string;
}

/** A temporary folder; `clean` removes it. */
export function tempDir(prefix = 'towpath-test-'): string {
  return realpathSync(mkdtempSync(join(tmpdir(), prefix)));
}

export const gitIn = (dir: string, ...args: string[]): string =>
  execFileSync('git', ['-c', 'user.name=t', '-c', 'user.email=t@example.org', ...args], {
    cwd: dir,
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'pipe'],
  });

/** A repository with one commit. */
export function makeRepo(dir = tempDir('towpath-repo-')): string {
  mkdirSync(dir, { recursive: true });
  gitIn(dir, 'init', '-q', '-b', 'main');
  writeFileSync(join(dir, 'README.md'), '# test\n');
  gitIn(dir, 'add', '-A');
  gitIn(dir, 'commit', '-q', '-m', 'first');
  return dir;
}

export class TestWorkspace {
  readonly root: string;
  #children: ChildProcess[] = [];
  /** The age of the last task that was dropped, ms. */
  #dropped = 0;
  /** All that the daemons printed. */
  output = '';

  /** `settings` is the text of towpath.yaml. The workspace is its own repository unless `repo: false`; `dir` is where it is made. */
  constructor(settings = 'agent: shell\nretry: {initial: 100ms}\n', options: { repo?: boolean; dir?: string } = {}) {
    this.root = options.repo === false ? tempDir() : makeRepo(options.dir);
    writeFileSync(join(this.root, 'towpath.yaml'), settings);
    for (const queue of ['incoming', 'claimed', 'provisional', 'done', 'blocked', 'failed'])
      mkdirSync(join(this.root, 'queues', queue), { recursive: true });
    mkdirSync(join(this.root, 'hooks'));
    mkdirSync(join(this.root, '.towpath'));
    for (const name of ['queues', '.towpath']) writeFileSync(join(this.root, name, '.gitignore'), '*\n');
  }

  path(...parts: string[]): string {
    return join(this.root, ...parts);
  }

  file(path: string, content: string, mode = 0o644): string {
    const full = this.path(path);
    mkdirSync(dirname(full), { recursive: true });
    writeFileSync(full, content);
    chmodSync(full, mode);
    return full;
  }

  /** A hook, executable. */
  hook(name: string, content: string): void {
    this.file(`hooks/${name}`, content, 0o755);
  }

  /** Puts a task in, written aside and renamed, as a careful program does: such a file is taken for whole at once. */
  drop(id: string, content: string): void {
    const draft = this.file(`.towpath/draft-${process.pid}.md`, content);
    // A rename in the clock tick of the write looks like a write; and which came first is told by the millisecond.
    this.#dropped = Math.max(Date.now() - 1000, this.#dropped + 2);
    utimesSync(draft, this.#dropped / 1000, this.#dropped / 1000);
    renameSync(draft, this.path('queues/incoming', `${id}.md`));
  }

  /** The command line, to its end. */
  run(args: string[], options: { input?: string; env?: Record<string, string>; cwd?: string } = {}): Result {
    const { status, stdout, stderr } = spawnSync(BIN, args, {
      cwd: options.cwd ?? this.root,
      encoding: 'utf8',
      input: options.input ?? '',
      env: { ...process.env, TOWPATH_WORKSPACE: this.root, ...options.env },
      timeout: 110_000,
      maxBuffer: 64 * 1024 * 1024,
    });
    return { code: status, stdout, stderr };
  }

  json<T = unknown>(args: string[]): T {
    const { code, stdout, stderr } = this.run([...args, '--json']);
    if (code !== 0) throw new Error(`towpath ${args.join(' ')}: exit ${code}: ${stderr}`);
    return JSON.parse(stdout) as T;
  }

  /** A task as `show --json` tells it. Where that is what its file says it is read here: the command costs a third of a second of processor time. */
  show(id: string): TaskJson {
    for (const queue of ['claimed', 'provisional', 'blocked', 'failed', 'done'] as const) {
      const task = readTask(this.path('queues', queue), `${id}.md`, queue);
      const lock = queue === 'claimed' ? readLock(this.path('queues/claimed', `${id}.lock.json`)) : null;
      if (task && lock !== 'unreadable') return JSON.parse(JSON.stringify(toJson(task, lock))) as TaskJson;
    }
    return this.json<TaskJson>(['show', id]);
  }

  /** A daemon in the background; resolves when it has taken the workspace. `before` is put before its command line, `bin` is the program. */
  async start(
    args: string[] = [],
    env: Record<string, string> = {},
    before: string[] = [],
    bin = BIN,
  ): Promise<ChildProcess> {
    const [program, ...rest] = [...before, bin, 'start', ...args] as [string, ...string[]];
    const child = spawn(program, rest, {
      cwd: this.root,
      env: { ...process.env, TOWPATH_WORKSPACE: this.root, ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    this.#children.push(child);
    for (const stream of [child.stdout, child.stderr])
      stream.on('data', (chunk: Buffer) => (this.output += chunk.toString()));
    await until(
      () => this.daemonPid() === child.pid || child.exitCode !== null,
      'the daemon starts',
      20_000,
      () => this.output,
    );
    return child;
  }

  daemonPid(): number | null {
    try {
      return (JSON.parse(readFileSync(this.path('.towpath/daemon.json'), 'utf8')) as { pid: number }).pid;
    } catch {
      return null;
    }
  }

  /** Runs until nothing can run any more. */
  drain(args: string[] = [], env: Record<string, string> = {}): Result {
    return this.run(['start', '--drain', ...args], { env });
  }

  /** Which queue holds a task's file, by name. */
  where(id: string): string | null {
    const look = () =>
      ['incoming', 'claimed', 'provisional', 'done', 'blocked', 'failed'].filter((queue) =>
        existsSync(this.path('queues', queue, `${id}.md`)),
      );
    // Six looks are not one: a task that moves meanwhile may be seen twice, but not three times in a row.
    let found = look();
    for (let n = 0; found.length > 1 && n < 2; n++) found = look();
    if (found.length > 1) throw new Error(`${id} is in ${found.join(' and ')}`);
    return found[0] ?? null;
  }

  async reaches(id: string, queue: string, ms = 20_000): Promise<void> {
    await until(
      () => this.where(id) === queue,
      `${id} reaches ${queue}`,
      ms,
      () => `it is in ${this.where(id)}\n${this.output.slice(-3000)}`,
    );
  }

  git(...args: string[]): string {
    return gitIn(this.root, ...args);
  }

  /** Ends the daemons that were started here, by their own pids, and removes the folder. */
  async close(): Promise<void> {
    for (const child of this.#children) {
      if (child.exitCode !== null || child.signalCode !== null) continue;
      child.kill('SIGTERM');
      child.kill('SIGTERM');
      await Promise.race([new Promise((resolve) => child.once('exit', resolve)), sleep(8000)]);
      if (child.exitCode === null && child.signalCode === null) child.kill('SIGKILL');
    }
    rmSync(this.root, { recursive: true, force: true, maxRetries: 5 });
  }
}

/** Makes workspaces that are closed after each test. */
export function workspaces(): (...args: ConstructorParameters<typeof TestWorkspace>) => TestWorkspace {
  const open: TestWorkspace[] = [];
  afterEach(async () => {
    for (const one of open.splice(0)) await one.close();
  });
  return (...args) => {
    const made = new TestWorkspace(...args);
    open.push(made);
    return made;
  };
}

/** Waits until a condition holds; fails with what was waited for. */
export async function until(
  condition: () => boolean | Promise<boolean>,
  what: string,
  ms = 15_000,
  more: () => string = () => '',
): Promise<void> {
  const end = Date.now() + ms;
  while (!(await condition())) {
    if (Date.now() > end) throw new Error(`waited ${ms} ms in vain: ${what}\n${more()}`);
    await sleep(25);
  }
}

/** A task for the shell agent. */
export const shellTask = (script: string, frontmatter = ''): string =>
  `---\nagent: shell\n${frontmatter}---\n# A task\n\n\`\`\`sh\n${script}\n\`\`\`\n`;
