// Power cuts: the disk is cut off under load and mounted again; what was acknowledged is there, and all is done once.
import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect, it } from 'vitest';
import { findWorkspace } from '../../daemon/paths.ts';
import { FileQueue } from '../../daemon/queue/files/engine.ts';
import { afterReboot } from '../helpers/boot.ts';
import { canLoop, ImageDisk } from '../helpers/disk.ts';
import { gitIn, shellTask, TestWorkspace, until } from '../helpers/workspace.ts';

const CUTS = Number(process.env.TOWPATH_POWER_CUTS ?? 2);
const ORDER = ['incoming', 'claimed', 'provisional', 'done'];

it.skipIf(!canLoop)(
  'a power cut loses nothing that was acknowledged, and no task is done twice',
  async () => {
    const disk = new ImageDisk(192);
    const ws = new TestWorkspace('agent: shell\nconcurrency: 2\nretry: {initial: 50ms}\nlimits: {disk_free: 1MB}\n', {
      dir: `${disk.dir}/ws`,
    });
    try {
      execFileSync('sync');
      const queue = new FileQueue(findWorkspace(ws.root), { durability: 'full' });
      const submitted = new Set<string>();
      const content = (id: string) => shellTask(`echo ${id} >> ${id}.txt`, `# ${id}\n`);
      for (let cut = 1; cut <= CUTS; cut++) {
        const daemon = await ws.start(['--json'], {}, afterReboot());
        ws.output = '';
        const ends = Date.now() + 800 + Math.random() * 1500;
        for (let n = 1; Date.now() < ends; n++) {
          const id = await queue.submit({ content: content(`t${cut}-${n}`), name: `t${cut}-${n}.md` });
          submitted.add(id);
          await sleep(Math.random() * 120);
        }
        daemon.kill('SIGSTOP');
        // What it told reaches us a moment after it was told.
        await sleep(50);
        const told = lastOf(ws.output);
        disk.cutOff(() => {
          daemon.kill('SIGKILL');
          for (const pid of atWorkIn(ws.root)) process.kill(pid, 'SIGKILL');
        });
        for (const id of submitted) {
          const where = ws.where(id);
          expect(where, `${id} was acknowledged before cut ${cut}`).not.toBeNull();
          const text = readFileSync(ws.path('queues', where!, `${id}.md`), 'utf8');
          expect(text, `${id} is whole`).toContain(`echo ${id} >> ${id}.txt\n\`\`\`\n`);
          const known = told.get(id);
          if (known)
            expect(ORDER.indexOf(where!), `${id} was told to be in ${known}`).toBeGreaterThanOrEqual(
              ORDER.indexOf(known),
            );
        }
      }
      expect(submitted.size).toBeGreaterThan(5);
      await ws.start([], {}, afterReboot());
      for (const id of submitted)
        await until(
          () => ws.where(id) === 'done',
          `${id} is done`,
          60_000,
          () => `${ws.run(['why', id]).stdout}\n${ws.run(['events', '--task', id]).stdout}`,
        );
      for (const id of submitted) {
        expect(gitIn(ws.root, 'show', `towpath/${id}:${id}.txt`), id).toBe(`${id}\n`);
        // A run that went down with the machine is run again, and what it left is kept beside.
        const commits = gitIn(ws.root, 'log', '--format=%s', `main..towpath/${id}`).trim().split('\n');
        expect(commits.length, id).toBeLessThanOrEqual(CUTS + 1);
      }
      await until(
        () => readdirSync(ws.path('queues/claimed')).filter((name) => name !== '.gitignore').length === 0,
        'no lock is left',
      );
      expect(gitIn(ws.root, 'worktree', 'list').trim().split('\n'), ws.output).toHaveLength(1);
    } finally {
      await ws.close().catch(() => {});
      disk.remove();
    }
  },
  240_000,
);

/** The queue in which each task was last told to be. */
function lastOf(output: string): Map<string, string> {
  const last = new Map<string, string>();
  for (const line of output.split('\n')) {
    if (!line.startsWith('{') || !line.endsWith('}')) continue;
    const event = JSON.parse(line) as { event: string; task: string; to: string };
    if (event.event === 'transition') last.set(event.task, event.to);
  }
  return last;
}

/** Agents, shims, git and checks that work in a workspace. */
function atWorkIn(root: string): number[] {
  return readdirSync('/proc').flatMap((pid) => {
    try {
      const cwd = readlinkSync(`/proc/${Number(pid) || 0}/cwd`);
      return cwd.startsWith(root) ? [Number(pid)] : [];
    } catch {
      return [];
    }
  });
}
