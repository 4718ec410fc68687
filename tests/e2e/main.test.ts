import { readdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { shellTask, workspaces } from '../helpers/workspace.ts';

const workspace = workspaces();

describe('the main job', () => {
  it('hauls a dropped file to a commit on a branch', () => {
    const ws = workspace();
    ws.drop('hello', shellTask('echo hi > hello.txt', 'checks: [test -s hello.txt]\n'));
    const { code, stderr } = ws.drain();
    expect(stderr).toBe('');
    expect(code).toBe(0);
    const task = ws.show('hello');
    expect(task).toMatchObject({
      queue: 'done',
      outcome: 'ok',
      attempts: 1,
      branch: 'towpath/hello',
      agent: 'shell',
      role: 'implementer',
      reason: null,
    });
    expect(ws.git('show', 'towpath/hello:hello.txt')).toBe('hi\n');
    expect(ws.git('rev-parse', 'towpath/hello').trim()).toBe(task.commit);
    expect(ws.git('show', '-s', '--format=%an', 'towpath/hello').trim()).toBe('shell');
    expect(ws.git('status', '--porcelain', '-uno')).toBe('');
    expect(readdirSync(ws.path('queues/claimed'))).toEqual([]);
  });

  it('sends a failed check back with feedback and goes on on the same branch', () => {
    const ws = workspace();
    ws.drop(
      'sum',
      shellTask(
        'if [ "$TOWPATH_ATTEMPT" = 1 ]; then echo 4 > sum; else echo 5 > sum; cp "$TOWPATH_PROMPT_FILE" prompt; fi',
        'checks: [\'test "$(cat sum)" = 5\']\n',
      ),
    );
    expect(ws.drain().code).toBe(0);
    const task = ws.show('sum');
    expect(task).toMatchObject({ queue: 'done', attempts: 2 });
    expect(task.feedback).toHaveLength(1);
    expect(ws.git('show', 'towpath/sum:prompt')).toContain('failed with exit code 1');
    expect(ws.git('log', '--format=%s', 'main..towpath/sum').trim().split('\n')).toHaveLength(2);
    const evidence = JSON.parse(readFileSync(ws.path('.towpath/runs/sum/1/checks.json'), 'utf8')) as {
      ok: boolean;
      tree: string;
    }[];
    expect(evidence[0]).toMatchObject({ ok: false, code: 1, command: 'test "$(cat sum)" = 5' });
    expect(evidence[0]!.tree).toBe(ws.git('rev-parse', 'towpath/sum~1^{tree}').trim());
  });

  it('calls nothing done that changed nothing', () => {
    const ws = workspace();
    ws.drop('idle', shellTask('echo I am done'));
    expect(ws.drain().code).toBe(1);
    expect(ws.show('idle')).toMatchObject({ queue: 'failed', outcome: 'no_changes' });
  });

  it('lets a task without expected changes through', () => {
    const ws = workspace();
    ws.drop('look', shellTask('echo looked', 'expect: any\n'));
    expect(ws.drain().code).toBe(0);
    expect(ws.show('look')).toMatchObject({ queue: 'done', result: 'looked' });
  });

  it('stops at the same error twice, and keeps the worktree', () => {
    const ws = workspace();
    ws.drop('bad', shellTask('echo half > half; echo broken >&2; exit 7'));
    expect(ws.drain().code).toBe(1);
    const task = ws.show('bad');
    expect(task).toMatchObject({ queue: 'failed', outcome: 'failed', attempts: 2 });
    expect(task.reason).toBe('broken (the same error twice over)');
    expect(ws.git('show', 'towpath/bad:half')).toBe('half\n');
    expect(readdirSync(ws.path('.worktrees'))).toContain('task-bad');
  });

  it('runs minor tasks in the own tree, one at a time, and commits on the checked-out branch', () => {
    const ws = workspace('agent: shell\nconcurrency: 4\n');
    ws.file('mine.txt', 'not tracked');
    for (const n of [1, 2, 3])
      ws.drop(
        `m${n}`,
        shellTask(`test ! -e busy; touch busy; sleep 0.2; rm busy; echo ${n} > m${n}.txt`, 'complexity: minor\n'),
      );
    expect(ws.drain().code).toBe(0);
    expect(ws.git('log', '--format=%s').trim().split('\n')).toHaveLength(4);
    expect(ws.git('ls-files').split('\n')).toEqual(expect.arrayContaining(['m1.txt', 'm2.txt', 'm3.txt']));
    expect(readFileSync(ws.path('mine.txt'), 'utf8')).toBe('not tracked');
    expect(ws.git('ls-files', 'mine.txt')).toBe('');
    expect(ws.git('branch', '--list', 'towpath/*')).toBe('');
  });

  it('gives a minor task that fails its check a second try, and takes failed work out of the tree', () => {
    const ws = workspace();
    ws.drop(
      'm',
      shellTask('test -e first && echo ok > second; echo 1 > first', 'complexity: minor\nchecks: [test -e second]\n'),
    );
    ws.drop(
      'never',
      shellTask(
        'echo $TOWPATH_ATTEMPT >> never',
        "complexity: minor\nchecks: ['echo $RANDOM_; cat never; false']\nmax_attempts: 2\n",
      ),
    );
    ws.drain();
    expect(ws.show('m')).toMatchObject({ queue: 'done', attempts: 2 });
    expect(ws.show('never')).toMatchObject({ queue: 'failed', outcome: 'check_failed' });
    expect(ws.git('status', '--porcelain')).not.toContain('never');
    expect(ws.git('for-each-ref', 'refs/towpath/salvage/never')).not.toBe('');
  });
});

describe('dependencies', () => {
  it('wait, merge in the branches, and handle diamonds', () => {
    const ws = workspace('agent: shell\nconcurrency: 3\n');
    ws.drop('d', shellTask('cat b c > d', 'depends_on: [b, c]\n'));
    ws.drop('b', shellTask('cat a > b; echo b >> b', 'depends_on: [a]\n'));
    ws.drop('c', shellTask('cat a > c; echo c >> c', 'depends_on: [a]\n'));
    ws.drop('a', shellTask('sleep 0.3; echo a > a'));
    expect(ws.drain().code).toBe(0);
    expect(ws.git('show', 'towpath/d:d')).toBe('a\nb\na\nc\n');
  });

  it('name a circle, hold on a failure, cancel when told, run when told, wait for what is missing', () => {
    const ws = workspace();
    ws.drop('x', shellTask('true', 'depends_on: [z]\n'));
    ws.drop('y', shellTask('true', 'depends_on: [x]\n'));
    ws.drop('z', shellTask('true', 'depends_on: [y]\n'));
    ws.drop('fails', shellTask('exit 3', 'max_attempts: 1\n'));
    ws.drop('holds', shellTask('true', 'depends_on: [fails]\n'));
    ws.drop('cancels', shellTask('true', 'depends_on: [fails]\non_dependency_failure: cancel\n'));
    ws.drop('runs', shellTask('echo > f', 'depends_on: [fails]\non_dependency_failure: run\n'));
    ws.drop('misses', shellTask('true', 'depends_on: [nobody]\n'));
    expect(ws.drain().code).toBe(1);
    for (const id of ['x', 'y', 'z'])
      expect(ws.show(id)).toMatchObject({
        queue: 'failed',
        outcome: 'refused',
        reason: expect.stringMatching(/circle: .* → .* → .* → /),
      });
    expect(ws.show('holds')).toMatchObject({
      queue: 'blocked',
      reason: expect.stringContaining('fails, which failed'),
    });
    expect(ws.show('cancels')).toMatchObject({ queue: 'failed', outcome: 'cancelled' });
    expect(ws.show('runs').queue).toBe('done');
    expect(ws.show('misses')).toMatchObject({ queue: 'blocked', reason: 'waits for nobody (in no queue)' });
    // Dropping a file into done/ satisfies its dependents.
    ws.file('queues/done/nobody.md', 'done by hand\n');
    ws.drain();
    expect(ws.show('misses').queue).not.toBe('blocked');
  });
});

describe('order', () => {
  it('runs by priority, then age', () => {
    const ws = workspace('agent: shell\nconcurrency: 1\n');
    ws.run(['pause']);
    for (const [id, priority] of [
      ['late', 'P3'],
      ['old', 'P2'],
      ['new', 'P2'],
      ['first', 'P0'],
    ] as const)
      ws.drop(id, shellTask('true', `priority: ${priority}\nexpect: any\n`));
    ws.run(['resume']);
    ws.drain();
    const rows = ws
      .run(['events', '--json'])
      .stdout.trim()
      .split('\n')
      .map((line) => JSON.parse(line) as { event: string; task?: string; to?: string });
    const order = rows.filter(({ event, to }) => event === 'transition' && to === 'claimed').map(({ task }) => task);
    expect(order).toEqual(['first', 'old', 'new', 'late']);
  });

  it('waits for not_before', () => {
    const ws = workspace();
    ws.drop('later', shellTask('true', 'not_before: 2s\nexpect: any\n'));
    const began = Date.now();
    expect(ws.drain().code).toBe(0);
    expect(Date.now() - began).toBeGreaterThan(1000);
  });
});

describe('losing the ledger', () => {
  it('loses no task', () => {
    const ws = workspace();
    ws.drop('one', shellTask('echo > one'));
    ws.drain();
    for (const name of readdirSync(ws.path('.towpath')))
      if (name.startsWith('ledger')) rmSync(join(ws.path('.towpath'), name));
    ws.drop('two', shellTask('echo > two'));
    expect(ws.drain().code).toBe(0);
    expect(ws.json<unknown[]>(['list', 'done'])).toHaveLength(2);
  });
});

describe('a name that was used before', () => {
  it('does not get the result of the earlier task', () => {
    const ws = workspace();
    ws.drop('again', shellTask('echo one', 'expect: any\n'));
    ws.drain();
    rmSync(ws.path('queues/done/again.md'));
    ws.git('branch', '-D', 'towpath/again');
    ws.drop('again', shellTask('echo two', 'expect: any\n'));
    expect(ws.drain().code).toBe(0);
    expect(ws.show('again')).toMatchObject({ queue: 'done', result: 'two', attempts: 1 });
  });
});
