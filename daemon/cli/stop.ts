// towpath stop: tells the daemon to end, and waits until it has.
import { setTimeout as sleep } from 'node:timers/promises';
import { runDaemon } from '../daemon.ts';
import { isAlive } from '../process/identity.ts';
import type { Common } from './common.ts';
import { askDaemon, type Opened, open } from './open.ts';

interface StopOptions extends Common {
  now?: boolean;
  keepAgents?: boolean;
}

export async function stop(_: [], { workspace, json, now = false, keepAgents: keep = false }: StopOptions) {
  const opened = open(workspace);
  if (!opened.daemon && now && (await opened.queue.list('claimed')).length > 0) return putBack(opened, json ?? false);
  const { running } = (await askDaemon(opened, { op: 'stop', now, keep })) as { running: number };
  if (running > 0 && !json)
    console.error(
      keep
        ? `leaving ${running} running; the next "towpath start" goes on with them …`
        : now
          ? `ending ${running} running …`
          : `waiting for ${running} running; "towpath stop --now" puts them back …`,
    );
  while (isAlive(opened.daemon!)) await sleep(50);
  console.log(json ? JSON.stringify({ stopped: opened.daemon!.pid }) : `stopped (pid ${opened.daemon!.pid})`);
}

/** What a daemon that was killed has left running is ended by one that starts, recovers, and stops at once. */
async function putBack({ workspace, queue }: Opened, json: boolean): Promise<void> {
  const before = await queue.list('claimed');
  const aborted = AbortSignal.abort();
  await runDaemon({ workspace, drain: false, single: false, ask: null }, { signal: aborted, now: aborted });
  const after = new Set((await queue.list('claimed')).map(({ id }) => id));
  const put_back = before.map(({ id }) => id).filter((id) => !after.has(id));
  console.log(
    json ? JSON.stringify({ stopped: null, put_back }) : `no daemon ran; put back: ${put_back.join(', ') || 'nothing'}`,
  );
}
