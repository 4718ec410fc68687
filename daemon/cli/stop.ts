// towpath stop: tells the daemon to end, and waits until it has.
import { setTimeout as sleep } from 'node:timers/promises';
import { isAlive } from '../process/identity.ts';
import type { Common } from './common.ts';
import { askDaemon, open } from './open.ts';

export async function stop(_: [], options: Common & { now?: boolean }): Promise<void> {
  const opened = open(options.workspace);
  const { running } = (await askDaemon(opened, { op: 'stop', now: options.now ?? false })) as { running: number };
  if (running > 0 && !options.json)
    console.error(
      options.now
        ? `ending ${running} running …`
        : `waiting for ${running} running; "towpath stop --now" puts them back …`,
    );
  while (isAlive(opened.daemon!)) await sleep(50);
  console.log(options.json ? JSON.stringify({ stopped: opened.daemon!.pid }) : `stopped (pid ${opened.daemon!.pid})`);
}
