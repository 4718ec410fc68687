// Which files are hooks, in which order, and that looking for none costs no reading of the folder.
import { chmodSync, mkdirSync, rmSync, symlinkSync } from 'node:fs';
import { basename, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { discoverHooks, listHooks } from '../../daemon/hooks/discover.ts';
import { workspace, write } from './helpers.ts';

test('the event, then its dotted names, then its folder; asides are no hooks', () => {
  const { hooks } = workspace({
    'pre_task.20-b': '',
    pre_task: '',
    'pre_task.10-a.py': '',
    'pre_task.d/02': '',
    'pre_task.d/01.sh': '',
    'pre_task.d/03.disabled': '',
    'pre_task.sample': '',
    'pre_task.md': '',
    'pre_task.old.disabled': '',
    'pre_task.sh~': '',
    '.pre_task': '',
    pre_tasks: '',
    post_task: '',
  });
  mkdirSync(join(hooks, 'pre_task.folder'));
  symlinkSync('/bin/true', join(hooks, 'pre_task.link'));
  const { run, notExecutable } = discoverHooks(hooks, 'pre_task');
  expect(run.map((path) => path.slice(hooks.length + 1))).toEqual([
    'pre_task',
    'pre_task.10-a.py',
    'pre_task.20-b',
    'pre_task.link',
    'pre_task.d/01.sh',
    'pre_task.d/02',
  ]);
  expect(notExecutable).toEqual([]);
});

test('what nothing can execute is told, and so are executables that no event calls', () => {
  const { hooks } = workspace({ pretask: '', gate: '' });
  write(join(hooks, 'notify'), '', 0o644);
  write(join(hooks, 'notes.txt'), '', 0o644);
  symlinkSync('/no/such', join(hooks, 'setup'));
  const { events, unknown } = listHooks(hooks);
  const of = (name: string) => events.find((one) => one.event === name)!;
  expect(of('gate').run).toEqual([join(hooks, 'gate')]);
  expect(of('notify')).toMatchObject({ run: [], notExecutable: [join(hooks, 'notify')] });
  expect(of('setup')).toMatchObject({ run: [], notExecutable: [join(hooks, 'setup')] });
  expect(unknown.map((path) => basename(path))).toEqual(['pretask']);
});

test('additions, removals and chmod are seen at once', async () => {
  const { hooks } = workspace();
  expect(discoverHooks('/no/such/folder', 'gate')).toEqual({ run: [], notExecutable: [] });
  for (let round = 0; round < 3; round += 1) {
    // Long enough for the listing to be kept.
    await sleep(120);
    expect(discoverHooks(hooks, 'gate').run).toEqual([]);
    const path = write(join(hooks, 'gate'), '');
    expect(discoverHooks(hooks, 'gate').run).toEqual([path]);
    await sleep(120);
    expect(discoverHooks(hooks, 'gate').run).toEqual([path]);
    chmodSync(path, 0o644);
    expect(discoverHooks(hooks, 'gate')).toEqual({ run: [], notExecutable: [path] });
    rmSync(path);
  }
});
