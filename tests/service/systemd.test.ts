// The service under a real systemd: start, reload, restart, stop, crash, hang, bad settings.
import { mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { serviceName } from '../../daemon/service/unit.ts';
import { Systemd, whyNoSystemd } from '../helpers/systemd.ts';
import { BIN, shellTask, TestWorkspace, until } from '../helpers/workspace.ts';

const why = whyNoSystemd();
/** An agent that tells when it began, and ends when it is told to. */
const PATIENT = shellTask(
  'env > agent.env; echo "$$" > agent.pid; sed "s/ (.*) / x /" /proc/self/stat | cut -d" " -f22 > agent.started\nuntil [ -e "$TOWPATH_WORKSPACE/go" ]; do sleep 0.1; done; echo done > result',
  'timeout: 5m\n',
);

describe('a service', { timeout: 120_000 }, () => {
  if (why !== null) it.skip(`is not tried: ${why}`);
  describe.runIf(why === null)('under systemd', () => {
    let systemd: Systemd;
    const open: Service[] = [];

    beforeAll(async () => {
      systemd = new Systemd();
      await systemd.start();
    });
    afterAll(async () => {
      await systemd.close();
      for (const { ws } of open) await ws.close();
    });

    class Service {
      readonly ws: TestWorkspace;
      readonly name: string;
      constructor(folder: string | null = null, settings?: string) {
        this.ws = new TestWorkspace(settings);
        // Nothing else can be seen from inside.
        const root = join(systemd.home, folder ?? `ws-${open.length}`);
        renameSync(this.ws.root, root);
        Object.assign(this.ws, { root });
        this.name = serviceName(this.ws.root);
        open.push(this);
      }
      cli(...words: string[]) {
        return systemd.run([BIN, ...words], { cwd: this.ws.root });
      }
      service(action: string, ...words: string[]) {
        return this.cli('service', action, ...words);
      }
      install(...words: string[]): void {
        const { code, out } = this.service('install', ...words);
        if (code !== 0) throw new Error(`install: ${out}\n${systemd.log().slice(-3000)}`);
      }
      systemctl(...words: string[]) {
        return systemd.systemctl(...words, this.name);
      }
      show(property: string): string {
        return systemd.show(`${this.name}.service`, property);
      }
      /** Lines for the unit that make a test quicker. */
      dropIn(text: string): void {
        const folder = join(systemd.home, '.config/systemd/user', `${this.name}.service.d`);
        mkdirSync(folder, { recursive: true });
        writeFileSync(join(folder, 'test.conf'), text);
      }
      /** Starts a task whose agent waits, and returns the agent's pid. */
      async busy(id = 'patient'): Promise<string> {
        this.ws.file(`queues/incoming/${id}.md`, PATIENT);
        const file = this.ws.path('.worktrees', `task-${id}`, 'agent.started');
        await until(
          () => read(file) !== '',
          'the agent runs',
          30_000,
          () => systemd.log().slice(-3000),
        );
        return read(this.ws.path('.worktrees', `task-${id}`, 'agent.pid'));
      }
      agentEnv(id = 'patient'): string {
        return read(this.ws.path('.worktrees', `task-${id}`, 'agent.env'));
      }
      go(): void {
        writeFileSync(this.ws.path('go'), '');
      }
      pid(): string {
        return this.show('MainPID');
      }
      lives(pid: string): boolean {
        return systemd.run(['kill', '-0', pid]).code === 0;
      }
      status(): { faults: { what: string; doing: string }[]; daemon: { running: boolean } } {
        return JSON.parse(
          this.cli('status', '--json')
            .out.split('\n')
            .find((line) => line.startsWith('{'))!,
        );
      }
      state(id = 'patient'): { attempts: number | null; reason: string | null; queue: string } {
        return JSON.parse(
          this.cli('show', id, '--json')
            .out.split('\n')
            .find((line) => line.startsWith('{'))!,
        );
      }
    }

    it('starts when it is ready, hauls a task, and comes up by itself', async () => {
      const one = new Service();
      one.install();
      expect(one.show('ActiveState')).toBe('active');
      expect(one.show('UnitFileState')).toBe('enabled');
      expect(one.status().daemon.running).toBe(true);
      const pid = await one.busy();
      await until(() => one.show('StatusText').startsWith('1 running, 0 waiting'), 'the line of status', 30_000);
      expect(one.agentEnv()).toContain('TOWPATH_TASK_ID=patient');
      expect(one.agentEnv()).not.toMatch(/NOTIFY_SOCKET|WATCHDOG_|MAINPID|INVOCATION_ID/);
      expect(one.lives(pid)).toBe(true);
      one.go();
      await one.ws.reaches('patient', 'done', 30_000);
      expect(one.ws.git('log', '--oneline', 'main..towpath/patient').trim().split('\n')).toHaveLength(1);
      const told = JSON.parse(one.service('status', '--json').out) as Record<string, unknown>;
      expect(told).toMatchObject({
        installed: true,
        enabled: true,
        active: 'active',
        pid: Number(one.pid()),
        differs: [],
      });
      expect(one.service('install').out).toMatch(/^as it was/);
      expect(one.service('uninstall').out).toMatch(/^stopped, and removed/);
      expect(one.service('status').out).toMatch(/^not installed/);
      expect(one.show('ActiveState')).toBe('inactive');
      expect(one.service('uninstall').code).toBe(4);
    });

    it('keeps the agents through a restart, and ends and parks them on a stop', async () => {
      const one = new Service();
      one.install();
      const [daemon, agent] = [one.pid(), await one.busy()];
      expect(one.systemctl('restart').code, systemd.log().slice(-2000)).toBe(0);
      expect(one.pid()).not.toBe(daemon);
      expect(one.lives(agent)).toBe(true);
      await until(() => systemd.log().includes('goes on with it'), 'it is found again');
      expect(one.systemctl('stop').code).toBe(0);
      expect(one.show('ActiveState')).toBe('inactive');
      expect(one.show('Result')).toBe('success');
      expect(one.lives(agent)).toBe(false);
      const parked = one.state();
      expect(parked).toMatchObject({ queue: 'incoming', reason: 'put back: the daemon was stopped' });
      expect(parked.attempts ?? 0).toBe(0);
      one.go();
      expect(one.systemctl('start').code).toBe(0);
      await one.ws.reaches('patient', 'done', 30_000);
      one.service('uninstall');
    });

    it('comes up again after a crash, and goes on with the same agent', async () => {
      const one = new Service();
      one.dropIn('[Service]\nRestartSec=100ms\n');
      one.install();
      const [daemon, agent] = [one.pid(), await one.busy()];
      systemd.run(['kill', '-9', daemon]);
      await until(
        () => one.show('NRestarts') === '1' && one.show('ActiveState') === 'active',
        'it is up again',
        30_000,
      );
      expect(one.lives(agent)).toBe(true);
      one.go();
      await one.ws.reaches('patient', 'done', 30_000);
      expect(one.cli('logs', 'patient').code).toBe(0);
      const runs = JSON.parse(one.cli('show', 'patient', '--json').out) as { runs: unknown[] };
      expect(runs.runs).toHaveLength(1);
      one.service('uninstall');
    });

    it('is killed when it hangs, with its agents kept', async () => {
      const one = new Service();
      one.dropIn('[Service]\nWatchdogSec=3s\nRestartSec=100ms\n');
      one.install();
      const [daemon, agent] = [one.pid(), await one.busy()];
      // Signs of life keep it up for as long as it does not hang.
      await new Promise((resolve) => setTimeout(resolve, 8000));
      expect(one.pid()).toBe(daemon);
      systemd.run(['kill', '-STOP', daemon]);
      await until(
        () => one.show('NRestarts') === '1' && one.show('ActiveState') === 'active',
        'it is up again',
        40_000,
      );
      expect(systemd.log()).toContain('Watchdog timeout');
      expect(one.lives(agent)).toBe(true);
      one.go();
      await one.ws.reaches('patient', 'done', 30_000);
      one.service('uninstall');
    });

    it('ends the agents of a daemon that hangs when it is to stop', async () => {
      const one = new Service();
      one.dropIn('[Service]\nTimeoutStopSec=3s\n');
      one.install();
      const [daemon, agent] = [one.pid(), await one.busy()];
      systemd.run(['kill', '-STOP', daemon]);
      one.systemctl('stop');
      expect(one.lives(daemon)).toBe(false);
      expect(one.lives(agent)).toBe(false);
      expect(one.state().queue).toBe('incoming');
      one.service('uninstall');
    });

    it('reloads the settings, and keeps the old ones when the new are wrong', async () => {
      const one = new Service();
      one.install();
      const settings = one.ws.path('towpath.yaml');
      const good = readFileSync(settings, 'utf8');
      writeFileSync(settings, `${good}concurrency: 7\nworktrees: {dir: elsewhere}\n`);
      expect(one.systemctl('reload').code).toBe(0);
      await until(
        () => /settings reloaded {2}concurrency.*worktrees\.dir: takes effect after a restart/.test(systemd.log()),
        'it reloads',
        15_000,
        () => systemd.log().slice(-2000),
      );
      writeFileSync(settings, `${good}concurency: 7\n`);
      one.systemctl('reload');
      await until(() => existsFault(one), 'the fault is told');
      expect(one.show('ActiveState')).toBe('active');
      writeFileSync(settings, good);
      one.systemctl('reload');
      await until(() => one.status().faults.length === 0, 'the fault is over');
      one.service('uninstall');
    });

    it('is not started again with settings that are refused', async () => {
      const one = new Service();
      one.install('--no-start');
      expect(one.show('ActiveState')).toBe('inactive');
      one.ws.file('towpath.yaml', 'concurency: 7\n');
      expect(one.systemctl('start').code).toBe(1);
      expect(one.show('ActiveState')).toBe('failed');
      expect(one.show('ExecMainStatus')).toBe('3');
      expect(one.show('NRestarts')).toBe('0');
      expect(systemd.log()).toContain('unknown key "concurency"');
      expect(one.service('install').code).toBe(3);
      one.service('uninstall');
    });

    it('serves a workspace of any name, beside another', async () => {
      const one = new Service('a b%h $HOME "q" \'s\' ünï & <x> [z]*;#\\');
      const two = new Service('two');
      one.install();
      two.install();
      expect(one.name).not.toBe(two.name);
      for (const each of [one, two]) {
        each.go();
        each.ws.file('queues/incoming/patient.md', PATIENT);
        await each.ws.reaches('patient', 'done', 30_000);
        expect(each.show('WorkingDirectory')).toBe(each.ws.root);
        expect(each.systemctl('stop').code).toBe(0);
        expect(each.show('Result')).toBe('success');
        each.service('uninstall');
      }
    });

    it('leaves a file alone that is not its own, and a daemon that runs', async () => {
      const one = new Service();
      const { file } = JSON.parse(one.service('print', '--json').out) as { file: string };
      mkdirSync(systemd.home, { recursive: true });
      systemd.run(['mkdir', '-p', join(file, '..')]);
      systemd.run(['cp', '/proc/self/status', file]);
      const refused = one.service('install');
      expect([refused.code, refused.out]).toEqual([
        1,
        expect.stringMatching(/was not written by Towpath: move it away/),
      ]);
      expect(one.service('uninstall').code).toBe(1);
      systemd.run(['rm', file]);
      const started = systemd.run(
        [
          'sh',
          '-c',
          `${BIN} start >/dev/null 2>&1 & until ${BIN} status --json | grep -q '"running":true'; do sleep 0.1; done`,
        ],
        { cwd: one.ws.root },
      );
      expect(started.code).toBe(0);
      const busy = one.service('install');
      expect([busy.code, busy.out]).toEqual([1, expect.stringMatching(/a daemon already runs.*stop --keep-agents/)]);
      expect(one.cli('stop', '--keep-agents').code).toBe(0);
      one.install();
      one.service('uninstall');
    });

    const existsFault = (one: Service) =>
      one
        .status()
        .faults.some(
          ({ what, doing }) => what.includes('unknown key "concurency"') && doing.includes('settings from before'),
        );
  });
});

function read(path: string): string {
  try {
    return readFileSync(path, 'utf8').trim();
  } catch {
    return '';
  }
}
