// A real systemd for a test: the user's instance in namespaces of its own, that can neither see nor change the machine's files.
import { type ChildProcess, execFileSync, spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { tempDir, until } from './workspace.ts';

const CHECKOUT = fileURLToPath(new URL('../..', import.meta.url)).replace(/\/$/, '');

const FLAGS = ['--mount', '--pid', '--uts', '--ipc', '--cgroup', '--fork', '--mount-proc', '--kill-child'];

/**
 * `$1` is a folder of ours, `$2` the checkout. Inside, /tmp and /run are empty, all else cannot be written, and systemd
 * knows no unit but those of ours: the machine's own would tidy up as if it had just been started.
 */
const INSIDE = `
set -e
mount --make-rprivate /
mount -t tmpfs tmpfs /run
mkdir -p /run/systemd/system /run/user/0 /run/keep/home /run/keep/checkout
chmod 700 /run/user/0
mount --bind "$1" /run/keep/home
mount --bind "$2" /run/keep/checkout
mount -t tmpfs tmpfs /tmp
mkdir -p "$1" "$2"
mount --bind /run/keep/checkout "$2"
mount -o remount,bind,ro "$2"
mount --bind /run/keep/home "$1"
mount -t cgroup2 cgroup2 /sys/fs/cgroup
mount --bind /proc/sys /proc/sys
mount -o remount,bind,ro /proc/sys
mount -o remount,bind,ro /
if touch /towpath-test 2>/dev/null; then exit 1; fi
/lib/systemd/systemd-journald </dev/null >/dev/null 2>&1 &
until [ -S /run/systemd/journal/stdout ]; do sleep 0.05; done
SYSTEMD_UNIT_PATH="$1/.config/systemd/user" /lib/systemd/systemd --user --log-target=journal </dev/null >/dev/null 2>&1 &
echo up >"$1/up"
wait
`;

/** What every service leans on; the machine's own are not there. */
const TARGETS = ['default', 'basic', 'shutdown', 'exit'];

/** Why no systemd can be run here; null when one can. */
export function whyNoSystemd(): string | null {
  if (process.getuid?.() !== 0) return 'needs root for the namespaces';
  if (!existsSync('/lib/systemd/systemd')) return 'systemd is not installed';
  const probe =
    'mount -t cgroup2 cgroup2 /sys/fs/cgroup && mkdir /sys/fs/cgroup/towpath-probe && rmdir /sys/fs/cgroup/towpath-probe';
  const { status, stderr, error } = spawnSync('unshare', [...FLAGS, 'sh', '-c', probe], {
    encoding: 'utf8',
    timeout: 10_000,
  });
  return status === 0 ? null : `no namespaces with control groups: ${error?.message ?? stderr.trim()}`;
}

export class Systemd {
  readonly home = tempDir('towpath-systemd-');
  #outside: ChildProcess | null = null;
  #pid = 0;

  get env(): Record<string, string> {
    return {
      PATH: process.env['PATH'] ?? '',
      HOME: this.home,
      XDG_RUNTIME_DIR: '/run/user/0',
      LC_ALL: 'C',
      SYSTEMD_PAGER: '',
      SYSTEMD_COLORS: '0',
    };
  }

  async start(): Promise<void> {
    const units = join(this.home, '.config/systemd/user');
    mkdirSync(units, { recursive: true });
    for (const name of TARGETS) writeFileSync(join(units, `${name}.target`), '[Unit]\nDefaultDependencies=no\n');
    writeFileSync(join(this.home, 'inside.sh'), INSIDE);
    this.#outside = spawn('unshare', [...FLAGS, 'bash', join(this.home, 'inside.sh'), this.home, CHECKOUT], {
      env: this.env,
      stdio: ['ignore', 'ignore', 'inherit'],
    });
    await until(() => existsSync(join(this.home, 'up')), 'the namespaces are there');
    const { pid } = this.#outside;
    this.#pid = Number(readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim());
    await until(
      () => /^(running|degraded)/.test(this.systemctl('is-system-running').out),
      'systemd is up',
      30_000,
      () => this.log(),
    );
  }

  /** Runs a program inside, to its end. */
  run(
    argv: string[],
    options: { cwd?: string; env?: Record<string, string> } = {},
  ): { code: number | null; out: string } {
    const { status, stdout, stderr } = spawnSync(
      'nsenter',
      ['-t', String(this.#pid), '-m', '-p', '-C', ...(options.cwd ? [`--wdns=${options.cwd}`] : []), '--', ...argv],
      { encoding: 'utf8', env: { ...this.env, ...options.env }, timeout: 90_000 },
    );
    return { code: status, out: stdout + stderr };
  }

  systemctl(...words: string[]): { code: number | null; out: string } {
    return this.run(['systemctl', '--user', ...words]);
  }

  /** What the manager says of a unit. */
  show(unit: string, property: string): string {
    return this.systemctl('show', '--value', '-p', property, unit).out.trim();
  }

  /** What the manager and its services wrote to the journal. */
  log(): string {
    return this.run(['journalctl', '--directory=/run/log/journal', '--no-pager', '-o', 'cat']).out;
  }

  async close(): Promise<void> {
    const child = this.#outside;
    if (child && child.exitCode === null && child.signalCode === null) {
      const gone = new Promise((resolve) => child.once('exit', resolve));
      // The first process inside takes all others of its namespace along.
      if (this.#pid) process.kill(this.#pid, 'SIGKILL');
      child.kill('SIGKILL');
      await gone;
    }
    rmSync(this.home, { recursive: true, force: true, maxRetries: 5 });
  }
}

/** Skips loudly: the name of what is missing stands in the report. */
export const missing = (...programs: string[]): string[] =>
  programs.filter((name) => {
    try {
      execFileSync('sh', ['-c', `command -v ${name}`], { stdio: 'ignore' });
      return false;
    } catch {
      return true;
    }
  });
