// Recovery time against the number of claimed tasks whose daemon and agents are dead: until the first, the half and the last is back in incoming.
import { execFileSync } from 'node:child_process';
import { cpSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { until, wallMs } from './measure.ts';
import type { Row } from './table.ts';
import { Towpath, tempDir, textOf } from './workspace.ts';

const CLAIMED = [1, 10, 100, 1000] as const;
const SETTINGS = 'agent: long\nagents: {long: {command: [sleep, "3600"]}}\n';
const TASK = '---\ncomplexity: minor\nexpect: any\n---\n# Work for long\n';
const MODEL = 'model-0';

/** The least: a Node process that puts each back by a rename, with the file and both folders synced, and removes its lock. */
const BACK = `const fs = require('node:fs'), [claimed, incoming] = process.argv.slice(1);
const sync = (path) => { const fd = fs.openSync(path, 'r'); fs.fsyncSync(fd); fs.closeSync(fd); };
for (const name of fs.readdirSync(claimed)) {
  if (!name.endsWith('.md')) continue;
  JSON.parse(fs.readFileSync(claimed + '/' + name.slice(0, -3) + '.lock.json', 'utf8'));
  sync(claimed + '/' + name);
  fs.renameSync(claimed + '/' + name, incoming + '/' + name);
  sync(incoming);
  sync(claimed);
  fs.unlinkSync(claimed + '/' + name.slice(0, -3) + '.lock.json');
}`;

/** A real claim whose daemon and agent were killed, and as many more as copies of all its files. */
async function abandon(place: Towpath, many: number): Promise<void> {
  place.file(`queues/incoming/${MODEL}.md`, TASK);
  await sleep(2500);
  await place.start();
  const lock = () => textOf(place.path('queues/claimed', `${MODEL}.lock.json`));
  await until(() => /"agent": ?\{/.test(lock()), 'its agent runs', 60_000, 10);
  const { agent } = JSON.parse(lock()) as { agent: { pid: number; shim?: { pid: number } } };
  await place.kill();
  for (const pid of [agent.shim?.pid, agent.pid]) if (pid) process.kill(pid, 'SIGKILL');
  // Nothing is claimed anew: what is measured is the recovery alone.
  place.file('.towpath/paused', 'the recovery is measured\n');
  const copied = (from: string, to: string, name: string) =>
    writeFileSync(to, readFileSync(from, 'utf8').replaceAll(MODEL, name), { mode: 0o600 });
  for (let n = 1; n < many; n++) {
    const name = `model-${n}`;
    for (const end of ['.md', '.lock.json'])
      copied(place.path('queues/claimed', MODEL + end), place.path('queues/claimed', name + end), name);
    const [from, to] = [MODEL, name].map((id) => place.path('.towpath/runs', id)) as [string, string];
    cpSync(from, to, { recursive: true });
    for (const path of readdirSync(to, { recursive: true, encoding: 'utf8' }))
      if (/\.(json|md)$/.test(path)) copied(join(from, path), join(to, path), name);
  }
}

export async function claimed(): Promise<Row[]> {
  const rows: Row[] = [];
  for (const many of CLAIMED) {
    const place = new Towpath(SETTINGS);
    const floor = tempDir();
    try {
      await abandon(place, many);
      for (const queue of ['claimed', 'incoming']) mkdirSync(join(floor, queue));
      cpSync(place.path('queues/claimed'), join(floor, 'claimed'), { recursive: true });
      const least = wallMs();
      execFileSync(process.execPath, ['-e', BACK, join(floor, 'claimed'), join(floor, 'incoming')]);
      const bare = wallMs() - least;
      const began = wallMs();
      const back: number[] = [];
      const look = () => {
        for (const more = place.count('incoming'); back.length < more; ) back.push(wallMs() - began);
        return back.length === many && place.count('claimed') === 0;
      };
      await Promise.all([place.start(), until(look, `${many} tasks are back in incoming`, 300_000, 5)]);
      const last = back.at(-1)!;
      rows.push({
        what: `recovery of ${many} claimed, all dead: first / half / last is back`,
        figure: `${[back[0]!, back[Math.floor(many / 2)]!, last].map((ms) => ms.toFixed(0)).join(' / ')} ms`,
        floor: `${bare.toFixed(0)} ms`,
        ratio: (last / bare).toFixed(1),
        target: '',
        met: null,
      });
    } finally {
      await place.stop({ now: true });
      rmSync(floor, { recursive: true, force: true });
    }
  }
  return rows;
}
