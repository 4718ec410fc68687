// launchd: an agent of the logged-in user, or a daemon of the machine.
import { mkdirSync } from 'node:fs';
import { homedir } from 'node:os';
import { dirname, join } from 'node:path';
import { call, type Manager, tryCall } from './manager.ts';
import type { Scope } from './unit.ts';

/** launchd writes output to a file. */
export const logFile = (name: string, scope: Scope): string =>
  join(scope === 'user' ? homedir() : '/', 'Library/Logs/towpath', `${name}.log`);

export function launchd(name: string, scope: Scope): Manager {
  const domain = scope === 'user' ? `gui/${process.getuid?.()}` : 'system';
  const target = `${domain}/${name}`;
  const file = join(scope === 'user' ? homedir() : '/', 'Library', scope === 'user' ? 'LaunchAgents' : 'LaunchDaemons');
  const plist = join(file, `${name}.plist`);
  const log = logFile(name, scope);
  const loaded = async () => (await tryCall(['launchctl', 'print', target])).code === 0;
  return {
    file: plist,
    commands: { log: `tail -F ${log}`, restart: `towpath stop --keep-agents; launchctl kickstart ${target}` },
    absent: async () => {
      const { spawnError } = await tryCall(['launchctl', 'help']);
      return spawnError ? 'launchctl is not there: this is no macOS' : null;
    },
    enable: async (start) => {
      mkdirSync(dirname(log), { recursive: true });
      await call(['launchctl', 'enable', target]);
      // What lies in its folder comes up at the next login; it knows no way to load without a start.
      if (!start) return;
      if (await loaded()) await call(['launchctl', 'bootout', target]);
      await call(['launchctl', 'bootstrap', domain, plist], {}, `see ${log}`);
    },
    disable: async () => {
      if (await loaded()) await call(['launchctl', 'bootout', target]);
    },
    forget: async () => {},
    state: async () => {
      const { code, stdout } = await tryCall(['launchctl', 'print', target]);
      const of = (key: string) => new RegExp(`^\\s*${key} = (.*)$`, 'm').exec(stdout)?.[1] ?? '';
      const active = code === 0 ? of('state') || 'loaded' : 'not loaded';
      return {
        enabled: code === 0,
        active,
        running: active === 'running',
        pid: Number(of('pid')) || null,
        since: null,
      };
    },
    hints: async () => [],
  };
}
