// on_accept: merge: the train, with real git and the real daemon.
import { existsSync, readdirSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { gitIn, makeRepo, shellTask, type TestWorkspace, until, workspaces } from '../helpers/workspace.ts';

const workspace = workspaces();
const SETTINGS = 'agent: shell\non_accept: merge\nretry: {initial: 100ms}\n';

const log = (ws: TestWorkspace, branch = 'main') =>
  ws.git('log', '--reverse', '--format=%s', branch).trim().split('\n');
/** As a person does by hand: a command for each costs a quarter of a second of processor time. */
const accept = (ws: TestWorkspace, ...ids: string[]) => {
  for (const id of ids) renameSync(ws.path(`queues/provisional/${id}.md`), ws.path(`queues/done/${id}.md`));
};
const left = (ws: TestWorkspace) =>
  existsSync(ws.path('.worktrees')) ? readdirSync(ws.path('.worktrees')).filter((name) => !name.startsWith('.')) : [];
const titled = (title: string, script: string, more = '') => shellTask(script, more).replace('# A task', `# ${title}`);

describe('the train', () => {
  it('merges three, each on top of the one before, together with the tree; worktrees and branches go', () => {
    const ws = workspace(`${SETTINGS}checks: ["test -e README.md"]\nconcurrency: 3\n`);
    ws.file('mine', 'not tracked\n');
    for (const id of ['a', 'b', 'c']) ws.drop(id, titled(id, `echo ${id} > ${id}`));
    const drained = ws.drain();
    expect(drained.code, drained.stderr + drained.stdout).toBe(0);
    expect(log(ws).sort()).toEqual(['a', 'b', 'c', 'first']);
    for (const id of ['a', 'b', 'c']) {
      const task = ws.show(id);
      expect(task).toMatchObject({
        queue: 'done',
        outcome: 'ok',
        branch: null,
        worktree: null,
        reason: null,
        attempts: 1,
      });
      expect(ws.git('show', '--name-only', '--format=%B', task.commit!)).toMatch(
        new RegExp(`Towpath-Task: ${id}\\n[\\s\\S]*\\n${id}\\n`),
      );
      expect(readFileSync(ws.path(id), 'utf8')).toBe(`${id}\n`);
    }
    expect(ws.git('status', '--porcelain', '-uno')).toBe('');
    expect(ws.git('rev-list', '--merges', 'main')).toBe('');
    expect(ws.git('branch', '--list', 'towpath/*')).toBe('');
    expect(left(ws)).toEqual([]);
    expect(readFileSync(ws.path('mine'), 'utf8')).toBe('not tracked\n');
  });

  it('sends a conflict back with what conflicts, merges the next attempt, and holds up nobody behind it', async () => {
    const ws = workspace(`${SETTINGS}concurrency: 3\n`);
    ws.drop('first', titled('Write it first', 'echo first > same'));
    // It writes the file again on what it is given; the conflict is resolved by that.
    ws.drop(
      'second',
      titled(
        'Write it too',
        'cp "$TOWPATH_PROMPT_FILE" "prompt-$TOWPATH_ATTEMPT"; { grep first same >/dev/null && echo first; echo second; } > new; mv new same',
        'review: human\n',
      ),
    );
    ws.drop('third', titled('Another', 'echo third > third', 'review: human\n'));
    await ws.start();
    await ws.reaches('first', 'done');
    // Both began on the base from before.
    await until(
      () => ['second', 'third'].every((id) => ws.show(id).reason?.includes('waits for review')),
      'both wait',
      30_000,
    );
    const fork = ws.show('second').base;
    ws.file('same', 'by hand\n');
    ws.git('commit', '-qam', 'By hand');
    accept(ws, 'second', 'third');
    await ws.reaches('third', 'done', 40_000);
    await until(
      () => ws.show('second').attempts === 2 && ws.where('second') === 'provisional',
      'the second attempt',
      40_000,
    );
    const back = ws.show('second');
    expect(back.feedback).toMatchObject([
      { from: 'merge', attempt: 1, message: expect.stringContaining('These files conflict: same.') },
    ]);
    expect(back.feedback[0]!.message).toContain('By hand');
    expect(back.base).not.toBe(fork);
    expect(ws.git('show', 'towpath/second:prompt-2')).toContain('These files conflict: same.');
    expect(ws.run(['accept', 'second']).code).toBe(0);
    await ws.reaches('second', 'done', 40_000);
    expect(ws.git('show', 'main:same')).toContain('second');
    expect(ws.git('show', 'main:same')).not.toContain('<<<<');
    expect(ws.git('status', '--porcelain', '-uno')).toBe('');
    expect(log(ws)).toContain('By hand');
  });

  it('brings files and index to where the base is, when git was held up between the two', async () => {
    const ws = workspace(`${SETTINGS}review: human\n`);
    ws.file('.gitattributes', 'f filter=x\n');
    ws.git('add', '.gitattributes');
    ws.git('commit', '-qm', 'attributes');
    ws.git('config', 'filter.x.clean', 'cat');
    // Somebody's git takes the index while the files are written.
    const held = ws.path('.git/index.lock');
    ws.git('config', 'filter.x.smudge', `sh -c 'cat; if [ -e ${ws.path('armed')} ]; then : > ${held}; fi'`);
    ws.drop('a', titled('a', 'echo a > f'));
    expect(ws.drain().code).toBe(0);
    ws.file('armed', '');
    ws.run(['accept', 'a']);
    await ws.start();
    await until(() => ws.show('a').reason?.includes('index.lock') === true, 'it is told', 20_000);
    expect(ws.show('a').reason).toMatch(/Unable to create '.*index.lock': File exists; it is tried again by itself$/);
    rmSync(ws.path('armed'));
    rmSync(held, { force: true });
    await ws.reaches('a', 'done', 20_000);
    expect(ws.git('status', '--porcelain', '-uno')).toBe('');
    expect(log(ws)).toEqual(['first', 'attributes', 'a']);
  });

  it('finds the one that breaks the others, and merges those', async () => {
    const ws = workspace(
      `${SETTINGS}review: human\nconcurrency: 4\nchecks: ["test $(ls part-* 2>/dev/null | wc -l) -lt 3 || test -e all"]\n`,
    );
    for (const id of ['a', 'b', 'c', 'd'])
      ws.drop(id, titled(id, `[ "$TOWPATH_ATTEMPT" = 1 ] || touch all; echo ${id} > part-${id}`));
    ws.drain();
    // In this order.
    for (const id of ['a', 'b', 'c', 'd']) ws.run(['accept', id]);
    expect(ws.show('a').reason).toBe('accepted; waits to be merged into main');
    await ws.start();
    // c makes three of them, and d three again: both go back with what the check said, and wait for the next review.
    const again = (id: string) =>
      ws.show(id).attempts === 2 && ws.show(id).reason?.includes('waits for review') === true;
    await until(() => again('c') && again('d'), 'both wait for the next review', 60_000);
    for (const id of ['a', 'b']) expect(ws.show(id), id).toMatchObject({ queue: 'done', attempts: 1 });
    for (const id of ['c', 'd']) {
      expect(ws.show(id).feedback[0]).toMatchObject({
        from: 'merge',
        message: expect.stringContaining('On top of main as it is now the checks no longer pass'),
      });
      // What was merged came into its branch.
      expect(ws.git('ls-tree', '--name-only', `towpath/${id}`)).toContain('part-a');
    }
    accept(ws, 'c', 'd');
    // Whose branch is gone is merged; a file that was moved to done/ goes back until then.
    await until(() => ['c', 'd'].every((id) => ws.show(id).branch === null), 'both are merged', 60_000);
    await until(() => left(ws).length === 0, 'the train is gone');
    expect(ws.git('ls-tree', '--name-only', 'main').trim().split('\n')).toEqual([
      'README.md',
      'all',
      'part-a',
      'part-b',
      'part-c',
      'part-d',
    ]);
  }, 120_000);

  it('goes again from where the base was moved to, also while the checks run', async () => {
    const ws = workspace(SETTINGS);
    ws.drop(
      't',
      titled(
        't',
        'echo t > t',
        'checks: ["[ $(basename $PWD) = task-t ] || { touch $TOWPATH_WORKSPACE/checking; sleep 2; }"]\nreview: human\n',
      ),
    );
    ws.drain();
    ws.file('other', 'x\n');
    ws.git('add', 'other');
    ws.git('commit', '-qm', 'meanwhile');
    ws.run(['accept', 't']);
    await ws.start();
    await until(() => existsSync(ws.path('checking')), 'the checks run', 30_000);
    ws.git('commit', '-q', '--allow-empty', '-m', 'and again');
    await ws.reaches('t', 'done', 40_000);
    expect(log(ws)).toEqual(['first', 'meanwhile', 'and again', 't']);
    expect(ws.git('status', '--porcelain', '-uno')).toBe('');
  });

  it('leaves what you have changed in the tree alone: it merges beside it, or waits until you have put it aside', () => {
    const ws = workspace(SETTINGS);
    ws.file('other', '1\n');
    ws.git('add', 'other');
    ws.git('commit', '-qm', 'second');
    ws.file('other', 'mine\n');
    ws.drop('beside', titled('beside', 'echo b > b'));
    expect(ws.drain().code).toBe(0);
    expect(ws.show('beside').queue).toBe('done');
    expect(readFileSync(ws.path('b'), 'utf8')).toBe('b\n');
    expect(ws.git('status', '--porcelain', '-uno').trim()).toBe('M other');
    ws.drop('same', titled('same', 'echo theirs > other'));
    expect(ws.drain().code).toBe(1);
    const held = ws.json<{ next: string[] }>(['show', 'same']);
    expect(held).toMatchObject({
      queue: 'blocked',
      attempts: 1,
      reason: expect.stringMatching(
        /^could not be merged: main is checked out in .* changed files are in the way \(other\): commit them or put them aside; then "towpath accept same"$/,
      ),
    });
    expect(held.next[0]).toBe('towpath accept same');
    expect(readFileSync(ws.path('other'), 'utf8')).toBe('mine\n');
    expect(ws.git('show', 'main:other')).toBe('1\n');
    ws.git('checkout', '-q', '--', 'other');
    expect(ws.run(['accept', 'same']).code).toBe(0);
    expect(ws.drain().code).toBe(0);
    expect(ws.show('same')).toMatchObject({ queue: 'done', attempts: 1 });
    expect(readFileSync(ws.path('other'), 'utf8')).toBe('theirs\n');
  });

  it('checks what rides together with its submodules; whoever cannot be merged holds up nobody else', () => {
    const library = makeRepo();
    const library2 = gitIn(library, 'commit-tree', 'HEAD^{tree}', '-p', 'HEAD', '-m', 'second').trim();
    gitIn(library, 'update-ref', 'refs/heads/main', library2);
    const ws = workspace(
      `${SETTINGS}concurrency: 4\nreview: human\nchecks: ["test $(git -C lib rev-parse HEAD) = $(cat want)"]\n`,
    );
    ws.git('-c', 'protocol.file.allow=always', 'submodule', '-q', 'add', library, 'lib');
    gitIn(ws.path('lib'), 'checkout', '-q', 'HEAD~1');
    ws.file('want', gitIn(ws.path('lib'), 'rev-parse', 'HEAD'));
    ws.git('add', 'lib', 'want', '.gitmodules');
    ws.git('commit', '-q', '-m', 'With a library');
    ws.git('tag', 'v1');
    ws.drop('bump', titled('bump', `git -C lib checkout -q ${library2}; echo ${library2} > want`));
    ws.drop('other', titled('other', 'echo $TOWPATH_ATTEMPT > other'));
    ws.drop('readme', titled('readme', 'echo theirs > README.md'));
    ws.drop('tag', titled('tag', 'echo t > t', 'base: v1\n'));
    expect(ws.drain().code).toBe(1);
    // Told before its agent has cost anything.
    expect(ws.show('tag')).toMatchObject({ queue: 'blocked', attempts: 0 });
    expect(ws.show('tag').reason).toMatch(/^there is no branch v1 in .* to merge into: make one of that name/);
    ws.file('other', 'mine\n');
    ws.git('add', 'other');
    ws.git('commit', '-q', '-m', 'meanwhile');
    ws.file('README.md', 'mine\n');
    accept(ws, 'bump', 'other', 'readme');
    ws.drain();
    expect(ws.show('bump')).toMatchObject({ queue: 'done', attempts: 1 });
    expect(ws.show('readme')).toMatchObject({ queue: 'blocked', reason: expect.stringContaining('(README.md)') });
    // It came back with the library as it is now, and does not take it a step back.
    const back = ws.show('other');
    expect(back).toMatchObject({ queue: 'provisional', attempts: 2, feedback: [{ from: 'merge' }] });
    expect(ws.git('ls-tree', 'towpath/other', 'lib')).toContain(library2);
    expect(ws.run(['accept', 'other']).stdout).toContain('waits to be merged');
    ws.drain();
    expect(ws.show('other').queue).toBe('done');
    expect(ws.git('ls-tree', 'main', 'lib')).toContain(library2);
    expect(readFileSync(ws.path('README.md'), 'utf8')).toBe('mine\n');
    expect(left(ws)).toEqual(['task-readme', 'task-tag']);
    rmSync(library, { recursive: true });
  });

  it('says so when the base is gone, and merges into one that is checked out nowhere', () => {
    const ws = workspace(SETTINGS);
    ws.git('branch', 'gone');
    ws.git('branch', 'release');
    ws.drop('a', titled('a', 'echo a > a', 'base: gone\nreview: human\n'));
    ws.drop('b', titled('b', 'echo b > b', 'base: release\n'));
    ws.drain();
    expect(log(ws, 'release')).toEqual(['first', 'b']);
    expect(existsSync(ws.path('b'))).toBe(false);
    ws.git('branch', '-D', 'gone');
    ws.run(['accept', 'a']);
    ws.drain();
    expect(ws.show('a')).toMatchObject({
      queue: 'blocked',
      reason: expect.stringMatching(
        /there is no branch gone in .*: make it again, then "towpath accept a", or name another one as base: in its file, then "towpath retry a"$/,
      ),
    });
    ws.git('branch', 'gone');
    ws.run(['accept', 'a']);
    ws.drain();
    expect(ws.show('a').queue).toBe('done');
    expect(log(ws, 'gone')).toEqual(['first', 'a']);
  });

  it('is for each task and project to say; a file that is moved to done is accepted, and done once it is merged', async () => {
    const ws = workspace('agent: shell\nprojects: {p: {on_accept: merge, repo: .}}\n');
    ws.drop('keep', titled('keep', 'echo k > k'));
    ws.drop('own', titled('own', 'echo o > o', 'on_accept: merge\n'));
    ws.drop('project', titled('project', 'echo p > p', 'project: p\nreview: human\n'));
    ws.drain();
    expect(ws.show('keep')).toMatchObject({ queue: 'done', branch: 'towpath/keep' });
    expect(log(ws)).toEqual(['first', 'own']);
    accept(ws, 'project');
    expect(ws.drain().code).toBe(0);
    expect(ws.show('project')).toMatchObject({ queue: 'done', branch: null });
    expect(log(ws)).toEqual(['first', 'own', 'project']);
  });

  it('gives a dependent what was merged, once; a rejected one gets off; one that was merged may be done again', () => {
    const ws = workspace(`${SETTINGS}concurrency: 3\n`);
    ws.drop('base', titled('base', 'echo 1 > base-file'));
    ws.drop('other', titled('other', 'echo 1 > other-file'));
    ws.drop('next', titled('next', 'cat base-file other-file > both', 'depends_on: [base, other]\n'));
    ws.drop('off', titled('off', 'echo "$TOWPATH_ATTEMPT" > off', 'review: human\n'));
    ws.drain();
    expect(log(ws).sort()).toEqual(['base', 'first', 'next', 'other']);
    ws.run(['accept', 'off']);
    expect(ws.run(['reject', 'off', '-m', 'no']).code).toBe(0);
    ws.run(['retry', 'base']);
    ws.drain();
    expect(ws.show('off')).toMatchObject({ queue: 'provisional', attempts: 2 });
    // Its change is in the base already.
    expect(ws.show('base').outcome).toBe('no_changes');
    expect(log(ws).sort()).toEqual(['base', 'first', 'next', 'other']);
  });

  it('merges beside a minor task that works in the tree, when that is over', async () => {
    const ws = workspace(`${SETTINGS}concurrency: 2\n`);
    ws.drop(
      'minor',
      titled(
        'minor',
        'echo m > m; while [ ! -e "$TOWPATH_WORKSPACE/queues/go" ]; do sleep 0.1; done',
        'complexity: minor\n',
      ),
    );
    ws.drop('major', titled('major', 'echo M > M'));
    await ws.start();
    await until(
      () => ws.where('major') === 'provisional' && ws.show('major').reason?.startsWith('accepted') === true,
      'the train',
      30_000,
    );
    expect(log(ws)).toEqual(['first']);
    ws.file('queues/go', '');
    await ws.reaches('major', 'done', 30_000);
    await ws.reaches('minor', 'done', 30_000);
    expect(log(ws).sort()).toEqual(['first', 'major', 'minor']);
    expect(ws.git('status', '--porcelain', '-uno')).toBe('');
  });
});
