// What every queue engine must do, as one suite: each engine runs it through an adapter of its own.
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { TowpathError } from '../../daemon/errors.ts';
import { type Identity, self } from '../../daemon/process/identity.ts';
import type { Choice, Claim, QueueHint, QueuePort, Task } from '../../daemon/queue/port.ts';
import type { Queue } from '../../daemon/task/terms.ts';
import { until } from '../helpers/workspace.ts';

/** An engine under test, and the hands of a person or a crash on what it keeps. */
export interface QueueBench {
  queue: QueuePort;
  /** A second handle on the same tasks, as another process has it. */
  another(): Promise<QueuePort>;
  /** Lets every handle see what waits. */
  look(): Promise<void>;
  /** A task put into a queue past the port; null takes it away. */
  put(queue: Queue, id: string, content: string | null): Promise<void>;
  /** What lies there for a task, byte for byte. */
  content(queue: Queue, id: string): string;
  /** Leaves a lock that nobody can read, or none. */
  setLock(id: string, lock: 'unreadable' | null): void;
  close(): Promise<void>;
}

const owner: Identity = self();
const any = { owner, accepts: () => null };
const text = (matter = '', body = 'Do it.') => `---\n${matter}---\n${body}\n`;
const ids = (tasks: Task[]) => tasks.map(({ id }) => id);

/** The code of the error that a promise ends with; `none` when it does not fail. */
const codeOf = async (work: Promise<unknown>): Promise<string> =>
  work.then(
    () => 'none',
    (thrown: TowpathError) => thrown.code,
  );

export function queueContract(name: string, make: () => Promise<QueueBench>): void {
  describe(`queue engine: ${name}`, () => {
    let bench: QueueBench;
    let queue: QueuePort;
    beforeEach(async () => {
      bench = await make();
      queue = bench.queue;
    });
    afterEach(() => bench.close());

    /** Submitted one after the other, each a little younger than the one before: a file's clock ticks every 4 or 10 ms. */
    async function submit(tasks: Record<string, string>): Promise<string[]> {
      const made: string[] = [];
      for (const [id, content] of Object.entries(tasks)) {
        made.push(await queue.submit({ name: `${id}.md`, content }));
        await sleep(12);
      }
      await bench.look();
      return made;
    }
    async function claim(id?: string): Promise<Claim> {
      const accepts = (task: Choice) => (id === undefined || task.id === id ? null : 'another is wanted');
      const claimed = await queue.claim({ owner, accepts });
      if (!claimed) throw new Error(`nothing to claim (${id ?? 'any'})`);
      return claimed;
    }
    const where = async (id: string) => (await queue.get(id))?.queue ?? null;

    describe('submit', () => {
      it('takes the id from the name, or from the frontmatter', async () => {
        expect(await submit({ one: text(), two: text('id: second\n'), three: 'no frontmatter at all\n' })).toEqual([
          ...['one', 'second', 'three'],
        ]);
        expect(await queue.get('one')).toMatchObject({ id: 'one', queue: 'incoming', refusal: null, body: 'Do it.\n' });
        expect(await queue.get('second')).toMatchObject({ id: 'second', queue: 'incoming', data: { id: 'second' } });
        expect(await queue.get('two')).toBeNull();
      });

      it('gives a taken stem -2, -3 …, wherever the holder lies', async () => {
        await submit({ fix: text() });
        expect(await queue.submit({ name: 'fix.md', content: text() })).toBe('fix-2');
        await bench.look();
        await queue.move('fix', 'incoming', { to: 'done', state: {} });
        expect(await queue.submit({ name: 'fix.md', content: text() })).toBe('fix-3');
      });

      it('refuses an explicit id that is taken, in any queue', async () => {
        await submit({ a: text('id: mine\n') });
        const again = () => codeOf(queue.submit({ name: 'b.md', content: text('id: mine\n') }));
        expect(await again()).toBe('task_refused');
        await queue.move('mine', 'incoming', { to: 'done', state: {} });
        expect(await again()).toBe('task_refused');
        expect(await queue.counts()).toMatchObject({ incoming: 0, done: 1 });
      });

      it('a stem that is the explicit id of a waiting task is taken too', async () => {
        await submit({ a: text('id: b\n') });
        expect(await submit({ b: text() })).toEqual(['b-2']);
        await submit({ c: text() });
        expect(ids(await queue.list('incoming'))).toEqual(['b', 'b-2', 'c']);
      });

      it.each([
        ['bad YAML', 'x.md', '---\na: [1\n---\nbody\n'],
        ['a value that is not allowed', 'x.md', text('priority: P9\n')],
        ['an empty body', 'x.md', text('', '')],
        ['an unsafe name', '-x.md', text()],
        ['an unsafe id', 'x.md', text('id: ../x\n')],
      ])('refuses %s, and keeps nothing of it', async (_what, name, content) => {
        expect(await codeOf(queue.submit({ name, content }))).toBe('task_refused');
        await bench.look();
        expect(await queue.list()).toEqual([]);
      });
    });

    describe('claim', () => {
      it('goes by priority, then by age', async () => {
        await submit({
          ...{ 'z-old': text(), 'y-new': text(), low: text('priority: P3\n') },
          ...{ urgent: text('priority: P0\n'), soon: text('priority: P1\n') },
        });
        const order: string[] = [];
        for (let one = await queue.claim(any); one; one = await queue.claim(any)) order.push(one.task.id);
        expect(order).toEqual(['urgent', 'soon', 'z-old', 'y-new', 'low']);
      });

      it('tells the claim as it is', async () => {
        await submit({ t: text('title: A title\n') });
        const { task, lock } = (await queue.claim({ ...any, worker: 'w-1' }))!;
        expect(task).toMatchObject({ id: 't', title: 'A title', queue: 'claimed', state: {}, body: 'Do it.\n' });
        expect(lock).toMatchObject({ version: 1, task: 't', attempt: 1, epoch: 1, phase: 'prepare', worker: 'w-1' });
        expect(lock).toMatchObject({ owner, agent: null, claimed_at: expect.stringMatching(/Z$/) });
        expect(await where('t')).toBe('claimed');
        expect(await queue.counts()).toMatchObject({ incoming: 0, claimed: 1 });
      });

      it('passes over what accepts() does not let through, and asks again the next time', async () => {
        await submit({ first: text('priority: P0\n'), second: text() });
        const asked: string[] = [];
        const accepts = (task: Choice) => {
          asked.push(task.id);
          return task.id === 'first' ? 'it waits' : null;
        };
        expect((await queue.claim({ owner, accepts }))?.task.id).toBe('second');
        expect(asked).toEqual(['first', 'second']);
        expect(await queue.claim({ owner, accepts })).toBeNull();
        expect(await where('first')).toBe('incoming');
        expect((await queue.claim(any))?.task.id).toBe('first');
      });

      it('is exclusive: of many at once each gets a task of its own', async () => {
        const names = Array.from({ length: 20 }, (_, n) => `t${n}`);
        for (const id of names) await queue.submit({ name: `${id}.md`, content: text() });
        const other = await bench.another();
        await bench.look();
        const claims = await Promise.all(
          Array.from({ length: 30 }, (_, n) => (n % 2 ? queue : other).claim({ ...any, worker: `w-${n}` })),
        );
        const got = claims.flatMap((one) => (one ? [one.task.id] : []));
        expect(got.sort()).toEqual(names.sort());
        expect(await queue.counts()).toMatchObject({ incoming: 0, claimed: 20 });
      });

      it('raises the epoch with each claim, and the attempt with each run', async () => {
        await submit({ t: text() });
        const seen: [number, number][] = [];
        for (let n = 0; n < 3; n++) {
          const { lock } = await claim('t');
          seen.push([lock.epoch, lock.attempt]);
          await queue.settle(lock, { to: 'incoming', state: n === 0 ? { runs: 1 } : {} });
          await bench.look();
        }
        expect(seen).toEqual([
          [1, 1],
          [2, 2],
          [3, 2],
        ]);
      });

      it('gives nothing to the state that a dropped file brings along', async () => {
        const brought = 'towpath:\n  epoch: 40\n  runs: 7\n  attempts: 2\n  cost_usd: 3\n  session: other\n';
        await submit({ copy: text(`id: copied\n${brought}`) });
        expect((await queue.get('copied'))?.state).toEqual({});
        const { task, lock } = await claim('copied');
        expect([task.state.session, task.state.attempts, lock.epoch, lock.attempt]).toEqual([
          undefined,
          undefined,
          1,
          1,
        ]);
        const settled = await queue.settle(lock, { to: 'incoming', state: { attempts: 1 } });
        expect(settled.state).not.toHaveProperty('session');
        expect(settled.state).toMatchObject({ attempts: 1, epoch: 1 });
        expect(settled.state.cost_usd).toBeUndefined();
      });

      it('leaves a task alone whose lock is there, readable or not', async () => {
        await submit({ held: text(), odd: text() });
        const { lock } = await claim('held');
        // A person moves the file back while its claim lives; the other lock is one that a crash has cut off.
        const content = bench.content('claimed', 'held');
        await bench.put('claimed', 'held', null);
        await bench.put('incoming', 'held', content);
        bench.setLock('odd', 'unreadable');
        await bench.look();
        expect(await queue.claim(any)).toBeNull();
        expect([await where('held'), await where('odd')]).toEqual(['incoming', 'incoming']);
        // Once the locks are gone both run, without another look, and the epoch of the one that ran has risen.
        for (const id of ['held', 'odd']) bench.setLock(id, null);
        expect((await claim('odd')).lock.epoch).toBe(1);
        const again = await claim('held');
        expect(again.lock.epoch).toBe(2);
        expect(await codeOf(queue.settle(lock, { to: 'done', state: {} }))).toBe('wrong_state');
      });
    });

    describe('renew', () => {
      it('writes the lock anew', async () => {
        await submit({ t: text() });
        const { lock } = await claim('t');
        await sleep(5);
        await queue.renew({ ...lock, phase: 'execute', branch: 'towpath/t' });
        const [left] = await queue.recover();
        expect(left?.lock).toMatchObject({ phase: 'execute', branch: 'towpath/t', epoch: 1 });
        const beat = left?.lock && left.lock !== 'unreadable' ? left.lock.heartbeat_at : '';
        expect(beat > lock.heartbeat_at).toBe(true);
      });

      it('refuses an older epoch, another owner, an unreadable lock, and a claim that is over', async () => {
        await submit({ t: text() });
        const first = await claim('t');
        await queue.settle(first.lock, { to: 'incoming', state: {} });
        expect(await codeOf(queue.renew(first.lock))).toBe('wrong_state');
        await bench.look();
        const second = await claim('t');
        expect(await codeOf(queue.renew(first.lock))).toBe('wrong_state');
        const stranger = { ...second.lock, owner: { ...owner, pid: owner.pid + 1 } };
        expect(await codeOf(queue.renew(stranger))).toBe('wrong_state');
        expect(await codeOf(queue.renew(second.lock))).toBe('none');
        bench.setLock('t', 'unreadable');
        expect(await codeOf(queue.renew(second.lock))).toBe('wrong_state');
      });
    });

    describe('settle', () => {
      it('moves the task, writes its state, ends the claim', async () => {
        await submit({ t: text() });
        const { lock } = await claim('t');
        const state = { outcome: 'failed', reason: 'it: broke\n"twice"', attempts: 1, runs: 1 } as const;
        const settled = await queue.settle(lock, { to: 'provisional', state });
        expect(settled).toMatchObject({ id: 't', queue: 'provisional', state: { ...state, queue: 'provisional' } });
        expect(await queue.get('t')).toMatchObject({ queue: 'provisional', state: { ...state, epoch: 1 } });
        expect(await queue.recover()).toEqual([]);
        expect(await queue.counts()).toMatchObject({ claimed: 0, provisional: 1 });
      });

      it('removes what is set to undefined, and keeps the rest from before', async () => {
        await submit({ t: text() });
        const first = await claim('t');
        const before = { reason: 'x', cost_usd: 0.5, not_before: '2030-01-01T00:00:00.000Z' };
        await queue.settle(first.lock, { to: 'incoming', state: before });
        await bench.look();
        const second = await claim('t');
        expect(second.task.state).toMatchObject(before);
        const done = await queue.settle(second.lock, { to: 'blocked', state: { reason: undefined, attempts: 2 } });
        expect(done.state).not.toHaveProperty('reason');
        expect(done.state).toMatchObject({ cost_usd: 0.5, attempts: 2, epoch: 2 });
      });

      it('keeps every byte that is the user’s', async () => {
        const content = [
          ...['---', '# mine', 'priority:   P1   # soon', "title: 'It''s'", 'x-own: {a: 1,   b: [2]}', ''],
          ...['---', '', '# Heading', '', 'towpath: not yours', '  trailing  ', '```', '---', '```', 'no end'],
        ].join('\n');
        await submit({ t: content });
        const { lock } = await claim('t');
        await queue.settle(lock, { to: 'incoming', state: { reason: 'a: b # c', attempts: 1 } });
        await bench.look();
        await queue.settle((await claim('t')).lock, { to: 'failed', state: { outcome: 'failed' } });
        const written = bench.content('failed', 't');
        expect(written).toContain('towpath:\n');
        expect(written.replace(/^towpath:\n(?:[ ]+.*\n)+/m, '')).toBe(content);
        expect((await queue.get('t'))?.data).toEqual({ priority: 'P1', title: "It's", 'x-own': { a: 1, b: [2] } });
      });

      it('refuses an older epoch, another owner and an unreadable lock, and changes nothing then', async () => {
        await submit({ t: text() });
        const first = await claim('t');
        await queue.settle(first.lock, { to: 'incoming', state: { reason: 'first' } });
        await bench.look();
        const second = await claim('t');
        const settle = (lock: Claim['lock']) => codeOf(queue.settle(lock, { to: 'done', state: { reason: 'stale' } }));
        expect(await settle(first.lock)).toBe('wrong_state');
        expect(await settle({ ...second.lock, epoch: 99 })).toBe('wrong_state');
        expect(await settle({ ...second.lock, owner: { ...owner, pid: owner.pid + 1 } })).toBe('wrong_state');
        bench.setLock('t', 'unreadable');
        expect(await settle(second.lock)).toBe('wrong_state');
        expect(await queue.get('t')).toMatchObject({ queue: 'claimed', state: { reason: 'first' } });
      });

      it('twice is once: the second time changes nothing and answers the same', async () => {
        await submit({ t: text() });
        const { lock } = await claim('t');
        const once = await queue.settle(lock, { to: 'provisional', state: { attempts: 1 } });
        const twice = await queue.settle(lock, { to: 'failed', state: { attempts: 2 } });
        expect(twice).toEqual(once);
        expect(await queue.counts()).toMatchObject({ provisional: 1, failed: 0 });
        // What went on meanwhile stays as it is.
        await queue.move('t', 'provisional', { to: 'done', state: {} });
        expect((await queue.settle(lock, { to: 'incoming', state: {} })).queue).toBe('done');
        expect(await where('t')).toBe('done');
      });
    });

    describe('move', () => {
      it('takes a task from one of the named queues, and writes its state', async () => {
        await submit({ t: text() });
        const blocked = await queue.move('t', 'incoming', {
          to: 'blocked',
          state: { reason: 'held', waits_for: 'paused' },
        });
        expect(blocked).toMatchObject({ id: 't', queue: 'blocked', state: { reason: 'held', queue: 'blocked' } });
        expect(await queue.claim(any)).toBeNull();
        const back = await queue.move('t', ['failed', 'blocked'], { to: 'incoming', state: { waits_for: undefined } });
        expect(back.queue).toBe('incoming');
        await bench.look();
        expect((await claim('t')).task.id).toBe('t');
      });

      it('may stay in its queue with other state', async () => {
        await submit({ t: text() });
        await queue.move('t', 'incoming', { to: 'provisional', state: { attempts: 1 } });
        await queue.move('t', 'provisional', { to: 'provisional', state: { waits_for: 'review' } });
        const state = { attempts: 1, waits_for: 'review', queue: 'provisional' };
        expect(await queue.get('t')).toMatchObject({ queue: 'provisional', state });
        expect(await queue.counts()).toMatchObject({ provisional: 1 });
      });

      it('moves a task whose file has another name than its id', async () => {
        await submit({ 'some-file': text('id: own\n') });
        await queue.move('own', 'incoming', { to: 'done', state: {} });
        expect(await queue.get('own')).toMatchObject({ id: 'own', queue: 'done' });
        expect(await queue.list('incoming')).toEqual([]);
      });

      it('refuses a task that is not there, or lies elsewhere, and says where', async () => {
        await submit({ t: text() });
        const to = { to: 'done' as const, state: { reason: 'no' } };
        expect(await codeOf(queue.move('nobody', 'incoming', to))).toBe('task_not_found');
        expect(await codeOf(queue.move('../t', 'incoming', to))).toBe('task_not_found');
        expect(await codeOf(queue.move('t', 'blocked', to))).toBe('wrong_state');
        await expect(queue.move('t', ['blocked', 'failed'], to)).rejects.toThrow('incoming/');
        expect(await queue.get('t')).toMatchObject({ queue: 'incoming', state: {} });
      });
    });

    it('recover tells every leftover: with its lock, without one, with one that cannot be read, with no task', async () => {
      await submit({ whole: text(), bare: text(), odd: text(), gone: text(), waiting: text() });
      for (const id of ['whole', 'bare', 'odd', 'gone']) await claim(id);
      bench.setLock('bare', null);
      bench.setLock('odd', 'unreadable');
      await bench.put('claimed', 'gone', null);
      const left = await (await bench.another()).recover();
      const told = left.map(({ task, lock }) => ({
        id: task?.id ?? null,
        lock: lock === null || lock === 'unreadable' ? lock : `${lock.task} ${lock.epoch}`,
      }));
      expect(told.sort((a, b) => String(a.id).localeCompare(String(b.id)))).toEqual([
        { id: 'bare', lock: null },
        { id: null, lock: 'gone 1' },
        { id: 'odd', lock: 'unreadable' },
        { id: 'whole', lock: 'whole 1' },
      ]);
      // Telling changes nothing: it may be asked again.
      expect(await queue.recover()).toHaveLength(4);
    });

    describe('looking', () => {
      it('lists in running order, then queue by queue, and counts', async () => {
        await submit({
          ...{ 'z-first': text(), 'y-second': text(), urgent: text('priority: P0\n') },
          ...{ run: text(), 'd-old': text(), 'c-new': text(), bad: text() },
        });
        await claim('run');
        for (const id of ['d-old', 'c-new']) await queue.move(id, 'incoming', { to: 'done', state: {} });
        await queue.move('bad', 'incoming', { to: 'failed', state: { reason: 'x' } });
        expect(ids(await queue.list('incoming'))).toEqual(['urgent', 'z-first', 'y-second']);
        expect(ids(await queue.list('done'))).toEqual(['d-old', 'c-new']);
        expect(ids(await queue.list())).toEqual([...['urgent', 'z-first', 'y-second', 'run', 'd-old', 'c-new', 'bad']]);
        expect(await queue.counts()).toEqual({
          ...{ incoming: 3, claimed: 1, provisional: 0 },
          ...{ done: 2, blocked: 0, failed: 1 },
        });
      });

      it('knows no task by the name of a path, a hidden file or nothing', async () => {
        await submit({ t: text() });
        for (const id of ['', '.', '../incoming/t', 't.md', '.t', 't\0']) expect(await queue.get(id)).toBeNull();
      });

      it('keeps the age of a task through its life', async () => {
        await submit({ t: text() });
        const born = (await queue.get('t'))!.created_at;
        await sleep(5);
        const { lock } = await claim('t');
        expect((await queue.settle(lock, { to: 'incoming', state: {} })).created_at).toBe(born);
        expect((await queue.move('t', 'incoming', { to: 'done', state: {} })).created_at).toBe(born);
      });
    });

    it('watch hints at every queue that changes, until it is stopped', async () => {
      const hints: QueueHint[] = [];
      const stop = await queue.watch((hint) => hints.push(hint));
      const hinted = (at: Queue) => () => hints.some(({ queue }) => queue === at);
      await (await bench.another()).submit({ name: 't.md', content: text() });
      await until(hinted('incoming'), 'a hint at incoming', 5000);
      await bench.look();
      const { lock } = await claim('t');
      await until(hinted('claimed'), 'a hint at claimed', 5000);
      await queue.settle(lock, { to: 'blocked', state: { reason: 'x' } });
      await until(hinted('blocked'), 'a hint at blocked', 5000);
      await stop();
      const before = hints.length;
      await queue.move('t', 'blocked', { to: 'done', state: {} });
      await sleep(100);
      expect(hints.length).toBe(before);
    });
  });
}
