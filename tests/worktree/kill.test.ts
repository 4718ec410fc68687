// A kill -9 before any git call is healed by doing the same again.
import { execFileSync, spawnSync } from 'node:child_process';
import { chmodSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { type OpenTree, openTree } from '../../daemon/worktree/tree.ts';
import { commit, folder, read, repository, sh, write } from './helper.ts';

/** Runs an operation whose git kills it before its call number `at` (0: never). Returns the calls made and how it ended. */
function run(name: string, input: unknown, at: number) {
  const dir = folder();
  const real = execFileSync('sh', ['-c', 'command -v git'], { encoding: 'utf8' }).trim();
  const count = `n=$(($(cat "${dir}/n") + 1)); echo $n > "${dir}/n"`;
  write(dir, {
    n: '0',
    'bin/git': `#!/bin/sh\n${count}\n[ $n = ${at} ] && kill -9 $PPID && exit 1\nexec "${real}" "$@"\n`,
  });
  chmodSync(join(dir, 'bin/git'), 0o755);
  const env = { ...process.env, PATH: `${join(dir, 'bin')}:${process.env['PATH']}` };
  const steps = join(import.meta.dirname, 'steps.ts');
  const done = spawnSync(process.execPath, [steps, name, JSON.stringify(input)], { env, encoding: 'utf8' });
  return { calls: Number(read(dir, 'n')), signal: done.signal, status: done.status, stderr: done.stderr };
}

function forEachKill(name: string, points: number, make: () => Promise<{ input: unknown; state: () => unknown }>) {
  return async () => {
    const plain = await make();
    const { calls, status, stderr } = run(name, plain.input, 0);
    expect([status, stderr]).toEqual([0, '']);
    for (let i = 0; i < points; i++) {
      const at = 1 + Math.floor((i * calls) / points);
      const { input, state } = await make();
      expect(run(name, input, at).signal).toBe('SIGKILL');
      expect(run(name, input, 0)).toMatchObject({ status: 0, stderr: '' });
      expect([at, state()]).toEqual([at, plain.state()]);
    }
  };
}

test(
  'prepareWorktree',
  forEachKill('prepare', 5, async () => {
    const repo = repository({ a: '1', '.gitignore': '.env\n', '.worktreeinclude': '.env\n' });
    write(repo, { '.env': 'E' });
    sh(repo, 'checkout', '-q', '-b', 'dep');
    commit(repo, { dep: 'd' });
    sh(repo, 'checkout', '-q', 'main');
    commit(repo, { more: 'm' });
    const dir = join(repo, '.worktrees/task-x');
    const input = { repo, dir, branch: 'towpath/x', ours: true, dependencies: ['dep'] };
    const state = () => [
      sh(dir, 'status', '--porcelain'),
      read(dir, '.env'),
      read(dir, 'dep'),
      sh(dir, 'symbolic-ref', 'HEAD'),
    ];
    return { input, state };
  }),
  60_000,
);

test(
  'a minor task from capture to acceptance',
  forEachKill('minor', 6, async () => {
    const repo = repository({ a: '1', b: '2', 'dir/c': 'c', '.gitignore': '*.log\n' });
    write(repo, { mine: 'm', 'x.log': 'l' });
    const open: OpenTree = await openTree(repo);
    commit(repo, { e: 'e' });
    rmSync(join(repo, 'dir'), { recursive: true });
    rmSync(join(repo, 'b'));
    // The same size within the same second: only the content tells that it changed.
    write(repo, { a: 'A', dir: 'file', n: 'n', '.gitignore': '' });
    const state = () => [
      ...[
        sh(repo, 'status', '--porcelain'),
        sh(repo, 'ls-tree', '-r', '--name-only', 'main'),
        sh(repo, 'rev-list', '--count', 'HEAD'),
      ],
      ...['a', 'dir', 'mine', 'x.log'].map((name) => read(repo, name)),
    ];
    return { input: { open, file: join(folder(), 'state.json') }, state };
  }),
  60_000,
);
