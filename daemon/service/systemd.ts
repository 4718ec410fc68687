// systemd: the user's own instance, or the machine's.
import { existsSync } from 'node:fs';
import { homedir, userInfo } from 'node:os';
import { join } from 'node:path';
import { call, type Manager, tryCall } from './manager.ts';
import type { Scope } from './unit.ts';

const TEXT = { LC_ALL: 'C', SYSTEMD_COLORS: '0', SYSTEMD_PAGER: '' };

export const configDir = (): string => process.env['XDG_CONFIG_HOME'] || join(homedir(), '.config');

export function systemd(name: string, scope: Scope): Manager {
  const unit = `${name}.service`;
  const user = scope === 'user' ? ['--user'] : [];
  const typed = `systemctl ${user.map((word) => `${word} `).join('')}`;
  const journal = `journalctl ${user.map((word) => `${word} `).join('')}-u ${name}`;
  const env = { ...TEXT, ...runtimeDir(scope) };
  const systemctl = (...words: string[]) =>
    call(['systemctl', ...user, ...words], env, `see "${typed}status ${name}" and "${journal}"`);
  return {
    file: join(scope === 'user' ? join(configDir(), 'systemd/user') : '/etc/systemd/system', unit),
    commands: { log: journal, restart: `${typed}restart ${name}` },
    absent: async () => {
      const { code, spawnError, stdout, stderr } = await tryCall(['systemctl', ...user, 'is-system-running'], env);
      // It exits with 1 when something else has failed, but then it says so.
      if (code === 0 || /^(running|degraded|starting|initializing|maintenance|stopping)$/m.test(stdout)) return null;
      return spawnError ? 'systemctl is not installed' : stderr.trim().split('\n')[0] || 'systemd does not run here';
    },
    enable: async (start) => {
      await systemctl('daemon-reload');
      await systemctl('enable', unit);
      // A service that failed too often would not be started.
      await tryCall(['systemctl', ...user, 'reset-failed', unit], env);
      if (start) await systemctl('start', unit);
    },
    disable: async () => {
      await systemctl('disable', '--now', unit);
    },
    forget: async () => {
      await systemctl('daemon-reload');
      await tryCall(['systemctl', ...user, 'reset-failed', unit], env);
    },
    state: async () => {
      const keys = ['ActiveState', 'MainPID', 'UnitFileState', 'ActiveEnterTimestamp'];
      const told = await systemctl('show', '--timestamp=unix', ...keys.map((key) => `--property=${key}`), unit);
      const of = (key: string) => new RegExp(`^${key}=(.*)$`, 'm').exec(told)?.[1] ?? '';
      const running = of('ActiveState') === 'active' || of('ActiveState') === 'reloading';
      const since = /^@(\d+)$/.exec(of('ActiveEnterTimestamp'))?.[1];
      return {
        enabled: of('UnitFileState') === 'enabled',
        active: of('ActiveState'),
        running,
        pid: Number(of('MainPID')) || null,
        since: running && since ? new Date(Number(since) * 1000).toISOString() : null,
      };
    },
    hints: async () => {
      if (scope === 'system') return [];
      const name = userInfo().username;
      const { code, stdout } = await tryCall(['loginctl', 'show-user', '--property=Linger', name], env);
      return code === 0 && stdout.includes('Linger=yes')
        ? []
        : [`it ends when you log out, and comes up when you log in: "loginctl enable-linger ${name}" keeps it up`];
    },
  };
}

/** Under `su` and in jobs the variable is missing, though the manager runs. */
function runtimeDir(scope: Scope): Record<string, string> {
  const dir = `/run/user/${process.getuid?.()}`;
  return scope === 'user' && !process.env['XDG_RUNTIME_DIR'] && existsSync(dir) ? { XDG_RUNTIME_DIR: dir } : {};
}
