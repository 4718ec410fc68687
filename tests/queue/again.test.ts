// A queue that remembers what it read gives the same order, the same claims and the same refusals as one that reads all anew.
import {
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import fc from 'fast-check';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { Workspace } from '../../daemon/paths.ts';
import { self } from '../../daemon/process/identity.ts';
import { FileQueue } from '../../daemon/queue/files/engine.ts';
import type { Vetted } from '../../daemon/queue/port.ts';
import { QUEUES } from '../../daemon/task/terms.ts';
import { tempDir } from '../helpers/workspace.ts';

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['Date'] });
});
afterEach(() => {
  vi.useRealTimers();
});

const names = ['a', 'b', 'c', 'd', 'e', 'f'];
const name = fc.constantFrom(...names);
/** Of one length, so that one can take the place of another unnoticed by its size. */
const content = fc
  .record({
    priority: fc.constantFrom('P0', 'P1', 'P2', 'P0', 'P1', 'P2', 'P3', 'P9'),
    role: fc.constantFrom('one', 'two'),
    id: fc.option(fc.constantFrom('x', 'a', 'b'), { nil: undefined, freq: 3 }),
    more: fc.constantFrom(
      'title: Some',
      'note: "a:b"',
      'towpath: {}',
      'x: [a, b]',
      'y: {a: b}',
      'bad: [1',
      'not_before:',
    ),
  })
  .map(({ priority, role, id, more }) =>
    `---\npriority: ${priority}\nrole: ${role}\n${id ? `id: ${id}` : '#  no'}\n${more}\n---\nDo it.\n`.padEnd(80, '\n'),
  );
const age = fc.integer({ min: 10, max: 14 });
const operation = fc.oneof(
  { weight: 9, arbitrary: fc.record({ op: fc.constant('write' as const), name, content, age }) },
  { weight: 2, arbitrary: fc.record({ op: fc.constant('in place' as const), name, content, age }) },
  { weight: 1, arbitrary: fc.record({ op: fc.constant('remove' as const), name }) },
  { weight: 1, arbitrary: fc.record({ op: fc.constant('rename' as const), name, to: name }) },
  { weight: 1, arbitrary: fc.record({ op: fc.constant('touch' as const), name, age }) },
  { weight: 1, arbitrary: fc.record({ op: fc.constant('role' as const), role: fc.constantFrom('one', 'two') }) },
  { weight: 1, arbitrary: fc.record({ op: fc.constant('claim' as const) }) },
  {
    weight: 2,
    arbitrary: fc.record({
      op: fc.constant('restart' as const),
      harm: fc.constantFrom('none', 'none', 'none', 'kill', 'cut', 'older'),
    }),
  },
);

/** The same hands on two workspaces: one remembers, the other is read anew each time. */
class Side {
  readonly workspace = new Workspace(tempDir());
  readonly remembers: boolean;
  roles = new Set(['one', 'two']);
  queue: FileQueue;
  known = 0;

  constructor(remembers: boolean) {
    this.remembers = remembers;
    for (const queue of QUEUES) mkdirSync(this.workspace.queue(queue), { recursive: true });
    mkdirSync(this.workspace.state);
    this.queue = this.make();
  }

  make(version = '1'): FileQueue {
    const vet = ({ id, spec }: Vetted) =>
      id && this.roles.has(spec.role ?? '') ? null : `${id}: no role ${spec.role}`;
    return new FileQueue(this.workspace, { durability: 'fast', vet, ...(this.remembers ? { version } : {}) });
  }

  async restart(harm: string): Promise<void> {
    const kept = join(this.workspace.state, 'waiting');
    if (this.remembers && harm !== 'kill') {
      await this.queue.intake.scan();
      await this.queue.intake.save();
      const lines = readdirSync(this.workspace.state).includes('waiting')
        ? readFileSync(kept, 'utf8').split('\n').length
        : 0;
      this.known += Math.max(0, lines - 3);
      if (harm === 'cut' && lines > 0) truncateSync(kept, lines * 20);
    }
    this.queue = this.make(harm === 'older' ? '2' : '1');
    await this.queue.intake.scan();
  }

  path = (file: string) => join(this.workspace.queue('incoming'), `${file}.md`);
  order = () => this.queue.intake.inOrder().map((one) => [one.name, one.id, one.spec.priority, one.spec.role]);
  files = () =>
    QUEUES.map((queue) =>
      readdirSync(this.workspace.queue(queue))
        .filter((file) => !file.includes('lock'))
        .sort(),
    );
  refusals = () =>
    readdirSync(this.workspace.queue('failed'))
      .sort()
      .map((file) => /^ {2}reason: .*$/m.exec(readFileSync(join(this.workspace.queue('failed'), file), 'utf8'))?.[0]);
  async claim(): Promise<string | null> {
    const claim = await this.queue.claim({ owner: self(), accepts: () => null, now: Date.now() });
    return claim && `${claim.task.id} ${claim.task.spec.priority} ${claim.task.body.trim()}`;
  }
}

it('reads the same, orders the same, claims the same, refuses the same', async () => {
  let known = 0;
  await fc.assert(
    fc.asyncProperty(fc.array(operation, { minLength: 8, maxLength: 20, size: 'max' }), async (operations) => {
      const sides = [new Side(true), new Side(false)];
      const at = Date.now() / 1000;
      try {
        for (const one of operations) {
          // One moment for both: what passed a moment ago passes again.
          vi.setSystemTime(performance.timeOrigin + performance.now());
          // What was written a moment ago is not kept: let a tick of the file's clock go by.
          if (one.op === 'restart') {
            await sleep(110);
            vi.setSystemTime(performance.timeOrigin + performance.now());
          }
          for (const side of sides) {
            const there = 'name' in one && readdirSync(side.workspace.queue('incoming')).includes(`${one.name}.md`);
            if (one.op === 'write') {
              const aside = join(side.workspace.root, 'aside');
              writeFileSync(aside, one.content);
              utimesSync(aside, at, at - one.age);
              renameSync(aside, side.path(one.name));
            } else if (one.op === 'in place' && there) {
              writeFileSync(side.path(one.name), one.content);
              utimesSync(side.path(one.name), at, at - one.age);
            } else if (one.op === 'remove' && there) rmSync(side.path(one.name));
            else if (one.op === 'rename' && there) renameSync(side.path(one.name), side.path(one.to));
            else if (one.op === 'touch' && there) utimesSync(side.path(one.name), at, at - one.age);
            else if (one.op === 'role')
              side.roles = new Set(
                [...side.roles].includes(one.role)
                  ? [...side.roles].filter((r) => r !== one.role)
                  : [...side.roles, one.role],
              );
            else if (one.op === 'restart') await side.restart(one.harm);
            await (one.op === 'restart' ? undefined : side.queue.intake.scan());
          }
          const [a, b] = sides as [Side, Side];
          if (one.op === 'claim') expect(await a.claim()).toEqual(await b.claim());
          expect(a.order()).toEqual(b.order());
        }
        // The plain one forgets all before the end: what both claim is what the files say.
        const [a, b] = sides as [Side, Side];
        b.queue = b.make();
        for (const side of sides) await side.queue.intake.scan();
        for (let n = 0; n <= names.length; n++) expect(await a.claim()).toEqual(await b.claim());
        expect(a.files()).toEqual(b.files());
        expect(a.refusals()).toEqual(b.refusals());
        known += a.known;
      } finally {
        for (const side of sides) rmSync(side.workspace.root, { recursive: true });
      }
    }),
    { numRuns: 25, interruptAfterTimeLimit: 60_000 },
  );
  // Else nothing would have been remembered, and nothing shown.
  expect(known).toBeGreaterThan(0);
}, 120_000);

it('a file that nobody can judge is told, and holds up none of the others', async () => {
  const workspace = new Workspace(tempDir());
  for (const queue of QUEUES) mkdirSync(workspace.queue(queue), { recursive: true });
  const vet = ({ id }: Vetted) => {
    if (id === 'b') throw new TypeError('a bug of ours');
    return null;
  };
  const queue = new FileQueue(workspace, { durability: 'fast', vet });
  for (const one of ['a', 'b', 'c']) {
    const path = join(workspace.queue('incoming'), `${one}.md`);
    writeFileSync(path, '---\noutput_schema: {type: object}\n---\nDo it.\n');
    utimesSync(path, 1000, 1000);
  }
  await expect(queue.intake.scan()).rejects.toThrow('a bug of ours');
  expect(queue.intake.inOrder().map(({ id }) => id)).toEqual(['a', 'c']);
  expect(readdirSync(workspace.queue('incoming'))).toEqual(['a.md', 'b.md', 'c.md']);
  rmSync(workspace.root, { recursive: true });
});
