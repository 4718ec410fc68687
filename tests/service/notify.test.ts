// What the daemon sends over NOTIFY_SOCKET, heard by a few lines of perl, for Node cannot bind such a socket.
import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { fromManager } from '../../daemon/service/notify.ts';
import { missing } from '../helpers/systemd.ts';
import { shellTask, tempDir, until, workspaces } from '../helpers/workspace.ts';

const LISTEN = `
use Socket; $| = 1;
socket(my $s, AF_UNIX, SOCK_DGRAM, 0) or die; bind($s, sockaddr_un($ARGV[0])) or die;
while (defined(recv($s, my $text, 65536, 0))) { $text =~ s/\\n/|/g; print "$text\\n"; }
`;

const workspace = workspaces();
const tools = missing('perl', 'systemd-notify');
if (tools.length > 0) describe.skip(`NOTIFY_SOCKET: there is no ${tools}`, () => it('is heard', () => {}));

describe.runIf(tools.length === 0)('a service manager', { timeout: 60_000 }, () => {
  let listener: ChildProcess | undefined;
  let heard: string[] = [];
  let folder = '';
  afterEach(() => {
    listener?.kill('SIGKILL');
    rmSync(folder, { recursive: true, force: true });
  });

  async function listen(): Promise<string> {
    heard = [];
    folder = tempDir('towpath-notify-');
    const socket = join(folder, 'socket');
    listener = spawn('perl', ['-e', LISTEN, socket], { stdio: ['ignore', 'pipe', 'inherit'] });
    listener.stdout!.setEncoding('utf8').on('data', (text: string) => {
      heard.push(...text.split('\n').filter((line) => line && !line.startsWith('BARRIER')));
    });
    await until(() => existsSync(socket), 'somebody listens');
    return socket;
  }
  const hears = (what: RegExp, ms = 20_000) =>
    until(
      () => heard.some((line) => what.test(line)),
      `${what}`,
      ms,
      () => heard.join('\n'),
    );

  it('hears that it is ready, what it does, signs of life, and that it ends', async () => {
    const ws = workspace();
    const daemon = await ws.start([], { NOTIFY_SOCKET: await listen(), WATCHDOG_USEC: '2000000' });
    await hears(/^READY=1\|STATUS=0 running, 0 waiting/);
    await hears(/^WATCHDOG=1/);
    ws.drop('one', shellTask('env > seen; sleep 3'));
    await hears(/STATUS=1 running/);
    await ws.reaches('one', 'done');
    expect(ws.git('show', 'towpath/one:seen')).not.toMatch(/NOTIFY_SOCKET|WATCHDOG/);
    daemon.kill('SIGHUP');
    await hears(/^RELOADING=1\|READY=1/);
    daemon.kill('SIGTERM');
    await hears(/^STOPPING=1\|STATUS=stopping/);
  });

  it('hears nothing of one that hangs, and nothing is ready before its health is known', async () => {
    const ws = workspace();
    ws.hook('health_check', '#!/bin/sh\nuntil [ -e "$TOWPATH_WORKSPACE/well" ]; do sleep 0.1; done\n');
    const daemon = await ws.start([], { NOTIFY_SOCKET: await listen(), WATCHDOG_USEC: '1000000' });
    await new Promise((resolve) => setTimeout(resolve, 2500));
    expect(heard).toEqual([]);
    ws.file('well', '');
    await hears(/^READY=1/);
    await hears(/^WATCHDOG=1/);
    daemon.kill('SIGSTOP');
    await new Promise((resolve) => setTimeout(resolve, 1000));
    const before = heard.length;
    await new Promise((resolve) => setTimeout(resolve, 3000));
    expect(heard.length).toBe(before);
    daemon.kill('SIGCONT');
    await until(() => heard.length > before, 'it lives again');
  });

  it('is told of once when it cannot be reached, and work goes on', async () => {
    const ws = workspace();
    await ws.start([], { NOTIFY_SOCKET: join(ws.root, 'nobody'), WATCHDOG_USEC: '400000' });
    ws.drop('one', shellTask('echo 1 > one; sleep 2'));
    await ws.reaches('one', 'done');
    expect(ws.output.match(/could not be told that Towpath runs/g)).toHaveLength(1);
  });
});

describe('what a service manager gave us', () => {
  it('is taken out of the environment, and believed only when it is for us', () => {
    const env = { NOTIFY_SOCKET: '/s', WATCHDOG_USEC: '120000000', WATCHDOG_PID: String(process.pid), PATH: '/bin' };
    expect(fromManager(env)).toEqual({ socket: '/s', watchdog_ms: 120_000 });
    expect(env).toEqual({ PATH: '/bin' });
    expect(fromManager({ NOTIFY_SOCKET: '@s', WATCHDOG_USEC: '1000', WATCHDOG_PID: '1' })?.watchdog_ms).toBe(null);
    expect(fromManager({ WATCHDOG_USEC: '1000' })).toBe(null);
  });
});
