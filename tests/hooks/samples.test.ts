// The samples that ship: each runs once it has its name, and does what it says; until then it is inert.
import { execFileSync } from 'node:child_process';
import { copyFileSync, mkdirSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { listHooks } from '../../daemon/hooks/discover.ts';
import type { Workspace } from '../../daemon/paths.ts';
import { HOOK_EVENTS, type HookEvent } from '../../daemon/settings.ts';
import { text } from '../process/helpers.ts';
import { hook, SHELL, TASK, workspace, write } from './helpers.ts';

const SHIPPED = fileURLToPath(new URL('../../hooks/', import.meta.url));
const sample = (name: string): string => readFileSync(join(SHIPPED, `${name}.sample`), 'utf8');
const enabled = (event: HookEvent): Workspace => workspace({ [event]: sample(event) });

function git(cwd: string, ...args: string[]): string {
  const who = ['-c', 'user.name=t', '-c', 'user.email=t@example.com', '-c', 'init.defaultBranch=main'];
  return execFileSync('git', [...who, ...args], { cwd, encoding: 'utf8', stdio: 'pipe' });
}

/** A repository with one commit on main and the branch `work` checked out. */
function repository(root: string): void {
  git(root, 'init', '-q');
  write(join(root, 'a.txt'), 'one\n', 0o644);
  git(root, 'add', 'a.txt');
  git(root, 'commit', '-qm', 'first');
  git(root, 'checkout', '-qb', 'work');
}

test('there is one for each event, short, and inert as it ships', () => {
  expect(
    readdirSync(SHIPPED)
      .filter((name) => name.endsWith('.sample'))
      .sort(),
  ).toEqual(HOOK_EVENTS.map((event) => `${event}.sample`).sort());
  for (const event of HOOK_EVENTS) {
    expect(sample(event).split('\n').length).toBeLessThan(60);
    expect(sample(event)).toContain(`cp ${event}.sample ${event} && chmod +x ${event}`);
  }
  const { hooks } = workspace();
  for (const name of readdirSync(SHIPPED)) copyFileSync(join(SHIPPED, name), join(hooks, name));
  const { events, unknown } = listHooks(hooks);
  expect(events.flatMap((one) => [...one.run, ...one.notExecutable]).concat(unknown)).toEqual([]);
});

test('health_check tells what is free, and refuses when it is too little', async () => {
  const where = enabled('health_check');
  expect(
    await hook(where, 'health_check', { payload: {}, env: { MIN_DISK_MB: '1', MIN_MEMORY_MB: '1' } }),
  ).toMatchObject({
    verdict: { kind: 'continue' },
    output: [expect.stringMatching(/^\d+ MB of disk and (\d+|\?) MB of memory are free$/)],
  });
  expect((await hook(where, 'health_check', { env: { MIN_DISK_MB: '999999999' } })).verdict).toMatchObject({
    kind: 'failed',
    reason: expect.stringMatching(/^only \d+ MB of disk are free, 999999999 are wanted$/),
  });
  if (process.platform === 'linux')
    expect(
      (await hook(where, 'health_check', { env: { MIN_DISK_MB: '1', MIN_MEMORY_MB: '999999999' } })).verdict,
    ).toMatchObject({
      kind: 'failed',
      reason: expect.stringContaining('MB of memory are free'),
    });
});

test('pre_task waits for a merge to end', async () => {
  const where = enabled('pre_task');
  repository(where.root);
  const env = { MIN_BATTERY: '0' };
  expect((await hook(where, 'pre_task', { env })).verdict.kind).toBe('continue');
  write(join(where.root, '.git', 'MERGE_HEAD'), git(where.root, 'rev-parse', 'HEAD'), 0o644);
  expect((await hook(where, 'pre_task', { env })).verdict).toMatchObject({
    kind: 'retry',
    reason: expect.stringContaining('in the midst of a merge or rebase (MERGE_HEAD)'),
  });
});

test('post_task keeps a line for each run, in a package of either kind', async () => {
  const where = enabled('post_task');
  for (const type of ['commonjs', 'module']) {
    write(join(where.root, 'package.json'), JSON.stringify({ type }), 0o644);
    const task = { ...TASK, tokens: { input: 5, output: 7 }, cost_usd: 0.5 };
    const answer = await hook(where, 'post_task', { payload: { task, attempt: 2, result: { outcome: 'ok' } } });
    expect(answer.verdict).toMatchObject({ kind: 'continue', messages: ['noted fix-date in completions.ndjson'] });
  }
  const lines = text(join(where.root, 'completions.ndjson')).trim().split('\n');
  expect(lines.map((line) => JSON.parse(line))).toMatchObject(
    Array(2).fill({ task: 'fix-date', attempt: 2, outcome: 'ok', cost_usd: 0.5, tokens: 12 }),
  );
});

test('notify shows what is worth showing, by whatever there is', async () => {
  const where = enabled('notify');
  const bin = join(where.root, 'bin');
  const payload = {
    task: { ...TASK, title: 'Fix "the" date; $(x)' },
    from: 'claimed',
    to: 'failed',
    reason: 'attempts spent',
  };
  const env = { PATH: `${bin}:${process.env['PATH']}` };
  write(join(bin, 'notify-send'), `${SHELL}printf '%s\\n' "$@" >${where.root}/shown\n`);
  await hook(where, 'notify', { payload, env });
  expect(text(join(where.root, 'shown')).split('\n')).toEqual([
    ...['--app-name=Towpath', '--urgency=critical', '--'],
    ...['Fix "the" date; $(x) has failed', 'attempts spent', ''],
  ]);
  write(join(bin, 'notify-send'), `${SHELL}echo no display >&2; exit 1\n`);
  expect(await hook(where, 'notify', { payload, env })).toMatchObject({
    verdict: { kind: 'continue' },
    output: ['Fix "the" date; $(x) has failed (no desktop notice: no display)'],
  });
  for (const quiet of [
    { ...payload, to: 'claimed' },
    { ...payload, to: 'blocked', task: { ...TASK, data: { depends_on: ['x'] } } },
  ])
    expect(await hook(where, 'notify', { payload: quiet, env })).toMatchObject({
      verdict: { kind: 'continue' },
      output: [],
    });
});

test('setup installs by lock file, and lets the agent use what it made', async () => {
  const where = enabled('setup');
  const env = { DRY_RUN: '1' };
  expect((await hook(where, 'setup', { env })).output).toEqual([]);
  for (const name of ['package-lock.json', 'yarn.lock', 'requirements.txt']) write(join(where.root, name), '', 0o644);
  expect((await hook(where, 'setup', { env })).output).toEqual([
    'setup: npm ci --no-audit --no-fund',
    'setup: python3 -m venv .venv',
    'setup: .venv/bin/pip install --quiet --disable-pip-version-check -r requirements.txt',
  ]);
  const real = enabled('setup');
  mkdirSync(join(real.root, '.venv/bin'), { recursive: true });
  const { env: given } = await hook(real, 'setup');
  expect(given['VIRTUAL_ENV']).toBe(join(real.root, '.venv'));
  expect(given['PATH']).toMatch(new RegExp(`^${real.root}/.venv/bin:`));
  const bin = join(where.root, 'bin');
  write(join(bin, 'npm'), `${SHELL}echo "cannot reach the registry" >&2; exit 1\n`);
  const broken = await hook(where, 'setup', { env: { PATH: `${bin}:${process.env['PATH']}` } });
  expect(broken.verdict).toEqual({ kind: 'failed', reason: 'cannot reach the registry', messages: expect.any(Array) });
});

test('gate refuses unfinished work and large diffs, and leaves the rest alone', async () => {
  const where = enabled('gate');
  repository(where.root);
  const gate = async () =>
    (
      await hook(where, 'gate', {
        payload: { task: { ...TASK, base: 'main' }, worktree: where.root },
        env: { MAX_DIFF_LINES: '5' },
      })
    ).verdict;
  const commit = (name: string, content: string) => {
    write(join(where.root, name), content, 0o644);
    git(where.root, 'add', name);
    git(where.root, 'commit', '-qm', name);
  };
  commit('a.txt', 'two\n');
  commit('package-lock.json', 'x\n'.repeat(50));
  expect(await gate()).toMatchObject({
    kind: 'continue',
    messages: ['2 lines changed, nothing is marked as unfinished'],
  });
  commit('b.txt', 'x\n'.repeat(10));
  expect(await gate()).toMatchObject({ kind: 'block', reason: '12 lines changed, 5 are allowed: split the task' });
  commit('c.txt', '// TODO: the rest\n');
  expect(await gate()).toMatchObject({ kind: 'failed', reason: expect.stringContaining('c.txt: // TODO: the rest') });
  expect((await hook(where, 'gate', { payload: { task: TASK } })).verdict.kind).toBe('continue');
  const lost = await hook(where, 'gate', { payload: { task: { ...TASK, base: 'gone' }, worktree: where.root } });
  expect(lost.verdict).toMatchObject({
    kind: 'failed',
    reason: expect.stringContaining('git diff gone...HEAD failed'),
  });
});

test('poll makes tasks of notes and of issues', async () => {
  const where = enabled('poll');
  expect((await hook(where, 'poll', { payload: {} })).runs[0]).toMatchObject({ code: 0, stdout: '' });
  const notes = join(where.root, 'notes');
  write(join(notes, 'fix the date.txt'), 'Fix the date\n\nIt is wrong.\n', 0o644);
  write(join(notes, 'empty.txt'), '\n', 0o644);
  const issues = [{ number: 7, title: 'A bug', body: 'It breaks', url: 'https://example.com/7' }];
  const bin = join(where.root, 'bin');
  write(join(bin, 'gh'), `${SHELL}echo "$*" >${where.root}/asked; echo '${JSON.stringify(issues)}'\n`);
  const env = { POLL_NOTES: notes, POLL_ISSUES: 'me/app#robot', PATH: `${bin}:${process.env['PATH']}` };
  const { runs, output } = await hook(where, 'poll', { payload: {}, env });
  expect(output).toEqual([]);
  expect(runs[0]!.stdout.split('\n').map((line) => JSON.parse(line))).toEqual([
    { id: 'fix-the-date', title: 'Fix the date', body: 'Fix the date\n\nIt is wrong.\n' },
    { id: 'app-7', title: 'A bug', body: '# A bug\n\nIt breaks\n\nFrom https://example.com/7\n' },
  ]);
  expect(text(join(where.root, 'asked'))).toContain('--repo me/app --label robot');
});
