import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { TowpathError } from '../../daemon/errors.ts';
import { Events } from '../../daemon/events.ts';
import * as operate from '../../daemon/operate.ts';
import { Workspace } from '../../daemon/paths.ts';
import { self } from '../../daemon/process/identity.ts';
import { FileQueue } from '../../daemon/queue/files/engine.ts';
import type { Claim } from '../../daemon/queue/port.ts';
import { settingsSchema } from '../../daemon/settings.ts';
import { QUEUES, type Queue } from '../../daemon/task/terms.ts';
import { tempDir } from '../helpers/workspace.ts';

const names = ['a', 'b', 'c', 'sub-task'];
const queues = fc.constantFrom(...QUEUES);
const name = fc.constantFrom(...names);
const operation = fc.oneof(
  fc.record({ op: fc.constant('drop' as const), name, id: fc.option(name, { nil: undefined }), bad: fc.boolean() }),
  fc.record({ op: fc.constant('submit' as const), name }),
  fc.record({ op: fc.constant('hand' as const), from: queues, to: queues, pick: fc.nat(5) }),
  fc.record({ op: fc.constant('claim' as const) }),
  fc.record({
    op: fc.constant('settle' as const),
    pick: fc.nat(5),
    to: fc.constantFrom('provisional', 'incoming', 'blocked', 'failed'),
    stale: fc.boolean(),
  }),
  fc.record({
    op: fc.constant('verb' as const),
    verb: fc.constantFrom('accept', 'retry', 'cancel', 'pause', 'resume'),
    pick: fc.nat(5),
  }),
  fc.record({ op: fc.constant('reject' as const), pick: fc.nat(5) }),
  fc.record({ op: fc.constant('scan' as const) }),
  fc.record({ op: fc.constant('restart' as const) }),
);

it('no operation by hand, by command or by the daemon loses a task, doubles it, or leaves it in two queues', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(operation, { minLength: 1, maxLength: 40 }), async (operations) => {
      const workspace = new Workspace(tempDir());
      for (const queue of QUEUES) mkdirSync(workspace.queue(queue), { recursive: true });
      mkdirSync(workspace.state);
      const settings = settingsSchema.parse({});
      const events = new Events();
      const make = () => new FileQueue(workspace, { durability: 'fast' });
      let queue = make();
      const claims: Claim[] = [];
      const tokens = new Map<string, Queue | null>();
      let serial = 0;
      const content = (id?: string, bad = false) => {
        const token = `token-${++serial}`;
        tokens.set(token, null);
        return `---\n${id ? `id: ${id}\n` : ''}${bad ? 'priority: P9\n' : ''}complexity: minor\n---\n${token}\n`;
      };
      const files = (at: Queue) =>
        readdirSync(workspace.queue(at))
          .filter((file) => file.endsWith('.md'))
          .sort();
      const pickId = (n: number) => {
        const all = QUEUES.flatMap((at) => files(at).map((file) => file.slice(0, -3)));
        return all[n % Math.max(1, all.length)] ?? 'nobody';
      };
      const tolerated = async (work: () => Promise<unknown>) => {
        try {
          await work();
        } catch (thrown) {
          if (!(thrown instanceof TowpathError)) throw thrown;
        }
      };
      try {
        for (const one of operations) {
          if (one.op === 'drop') {
            const path = join(workspace.queue('incoming'), `${one.name}.md`);
            // A person who overwrites a file loses it by their own hand: that is not ours to prevent.
            if (!existsSync(path)) {
              writeFileSync(path, content(one.id, one.bad));
              queue.intake.handedOver(`${one.name}.md`);
            }
          } else if (one.op === 'submit') await queue.submit({ name: `${one.name}.md`, content: content() });
          else if (one.op === 'hand') {
            const file = files(one.from)[one.pick];
            if (file && !existsSync(join(workspace.queue(one.to), file)))
              renameSync(join(workspace.queue(one.from), file), join(workspace.queue(one.to), file));
          } else if (one.op === 'claim') {
            const claim = await queue.claim({ owner: self(), accepts: () => null });
            if (claim) {
              mkdirSync(workspace.run(claim.task.id, claim.lock.attempt), { recursive: true });
              claims.push(claim);
            }
          } else if (one.op === 'settle' && claims.length > 0) {
            const claim = claims[one.pick % claims.length]!;
            const lock = one.stale ? { ...claim.lock, epoch: claim.lock.epoch - 1 } : claim.lock;
            await tolerated(() =>
              queue.settle(lock, { to: one.to as Queue, state: { outcome: 'failed', attempts: 1 } }),
            );
          } else if (one.op === 'verb' || one.op === 'reject') {
            const id = pickId(one.pick);
            const op = { workspace, settings, queue, events, endRunning: async () => false };
            await tolerated(() =>
              one.op === 'reject' ? operate.reject(op, id, 'no') : operate.PLAIN_VERBS[one.verb as 'retry'](op, id),
            );
          } else if (one.op === 'scan') await queue.intake.scan();
          else if (one.op === 'restart') {
            queue = make();
            await queue.intake.scan();
            for (const { task, lock } of await queue.recover()) {
              if (task) claims.push(queue.adopt(task, lock === 'unreadable' ? null : lock, self()));
              else if (lock !== null && lock !== 'unreadable') queue.dropLock(lock.task);
            }
          }
          const seen: string[] = [];
          for (const at of QUEUES)
            for (const file of files(at))
              seen.push(...(/token-\d+/g.exec(readFileSync(join(workspace.queue(at), file), 'utf8')) ?? []));
          expect(seen.sort(), JSON.stringify(one)).toEqual([...tokens.keys()].sort());
          const left = QUEUES.flatMap((at) => readdirSync(workspace.queue(at)).filter((file) => file.endsWith('.tmp')));
          expect(left).toEqual([]);
        }
      } finally {
        rmSync(workspace.root, { recursive: true });
      }
    }),
    { numRuns: 150 },
  );
}, 120_000);
