// Patches and tests: what is let through, the exact tree that comes of it, the same patch known again, and the way back.
import { execFileSync } from 'node:child_process';
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { keepTests, testsCommit } from '../../daemon/attempt/tests.ts';
import { readWork, type Work, writeWork } from '../../daemon/attempt/work.ts';
import { Events } from '../../daemon/events.ts';
import { takeOff } from '../../daemon/gate/trials/trial.ts';
import { Workspace } from '../../daemon/paths.ts';
import type { Task } from '../../daemon/queue/port.ts';
import { settingsSchema } from '../../daemon/settings.ts';
import { judgeAnswer } from '../../daemon/task/answer.ts';
import { fixProblem, fixSchemaOf, judgeFix, patchHash } from '../../daemon/task/fix.ts';
import type { Tested } from '../../daemon/task/test.ts';
import { moveTo, patchCommit } from '../../daemon/worktree/patch.ts';
import { captureTree, openTree } from '../../daemon/worktree/tree.ts';
import { gitIn, makeRepo, tempDir } from '../helpers/workspace.ts';

let repo: string;
let start: string;
beforeAll(() => {
  repo = makeRepo();
  writeFileSync(join(repo, 'a.txt'), 'one\ntwo\nthree\n');
  writeFileSync(join(repo, 'run.sh'), 'echo\n');
  chmodSync(join(repo, 'run.sh'), 0o755);
  writeFileSync(join(repo, 'blob'), Buffer.from([0, 1, 2, 0, 255]));
  symlinkSync('a.txt', join(repo, 'link'));
  gitIn(repo, 'add', '-A');
  gitIn(repo, 'commit', '-qm', 'files');
  start = gitIn(repo, 'rev-parse', 'HEAD').trim();
});
afterAll(() => rmSync(repo, { recursive: true, force: true }));

const made = { message: 'mend', author: { name: 'fixer', email: 'f@x' } };
const apply = (patch: string) => patchCommit(repo, start, patch, made);
/** The diff of a change to the files, which is undone again. */
function diffOf(change: () => void): string {
  change();
  gitIn(repo, 'add', '-A');
  const text = gitIn(repo, 'diff', '--cached', '--binary');
  gitIn(repo, 'reset', '-q', '--hard', start);
  gitIn(repo, 'clean', '-qffd');
  return text;
}
const GOOD = '--- a/a.txt\n+++ b/a.txt\n@@ -1,3 +1,3 @@\n one\n-two\n+2\n three\n';

describe('a patch', () => {
  it('becomes a commit on top, and neither tree nor branch is touched', async () => {
    const done = await apply(GOOD);
    if (!('commit' in done)) throw new Error(done.problem);
    expect(done.files).toEqual(['a.txt']);
    expect(gitIn(repo, 'show', `${done.commit}:a.txt`)).toBe('one\n2\nthree\n');
    expect(gitIn(repo, 'log', '--format=%an %P', '-1', done.commit).trim()).toBe(`fixer ${start}`);
    expect(gitIn(repo, 'rev-parse', 'HEAD').trim()).toBe(start);
    expect(gitIn(repo, 'status', '--porcelain')).toBe('');
  });
  it('may have wrong counts, new files and no newline at its end', async () => {
    const counts = GOOD.replace('-1,3 +1,3', '-1,9 +1,7').trimEnd();
    expect(await apply(counts)).toHaveProperty('commit');
    expect(await apply('--- /dev/null\n+++ b/sub/new.txt\n@@ -0,0 +1 @@\n+hi\n')).toHaveProperty('commit');
  });
  it('may change several files, also without a line of git between them', async () => {
    const more = '--- /dev/null\n+++ b/new.txt\n@@ -0,0 +1 @@\n+hi\n';
    const program = '--- a/run.sh\n+++ b/run.sh\n@@ -1 +1 @@\n-echo\n+echo 2\n';
    for (const text of [`${GOOD}${more}${program}`, `${program}\n${GOOD}${more}\n\n`])
      expect(await apply(text), text).toMatchObject({ files: ['a.txt', 'new.txt', 'run.sh'] });
    const both = diffOf(() => {
      writeFileSync(join(repo, 'a.txt'), 'one\n');
      writeFileSync(join(repo, 'new.txt'), 'hi\n');
    });
    expect(await apply(both)).toMatchObject({ files: ['a.txt', 'new.txt'] });
  });
  it.each<[string, () => string, RegExp]>([
    ['that does not apply', () => GOOD.replace('-two', '-zwei'), /^it does not apply/],
    ['that is none', () => 'I would change a.txt.', /^it does not apply/],
    ['that leaves the repository', () => GOOD.replaceAll('a.txt', '../a.txt'), /^it does not apply/],
    ['on git’s own files', () => '--- /dev/null\n+++ b/.git/hooks/x\n@@ -0,0 +1 @@\n+hi\n', /^it does not apply/],
    ['that makes a link', () => diffOf(() => symlinkSync('/etc/passwd', join(repo, 'l'))), /^l is no plain file/],
    ['that turns a link', () => diffOf(() => relink('link', '/etc/passwd')), /^link is no plain file/],
    ['that changes a mode', () => diffOf(() => chmodSync(join(repo, 'a.txt'), 0o755)), /changes the mode of a.txt/],
    ['that makes a program', () => diffOf(() => program('p.sh')), /changes the mode of p.sh/],
    ['of a binary file', () => diffOf(() => writeFileSync(join(repo, 'blob'), Buffer.from([0, 9]))), /^blob is binary/],
    ['with a submodule', () => diffOf(submodule), /^mod is no plain file/],
  ])('%s is refused', async (_, patch, problem) => {
    const done = await apply(patch());
    expect('problem' in done && done.problem).toMatch(problem);
    expect(gitIn(repo, 'status', '--porcelain')).toBe('');
  });
  it('may be told to remove nothing', async () => {
    const gone = '--- a/a.txt\n+++ /dev/null\n@@ -1,3 +0,0 @@\n-one\n-two\n-three\n';
    expect(await apply(gone)).toHaveProperty('commit');
    expect(await patchCommit(repo, start, gone, { ...made, keeps: true })).toEqual({ problem: 'it removes a.txt' });
  });
  it('that writes through a link is refused', async () => {
    const through = '--- /dev/null\n+++ b/link/x\n@@ -0,0 +1 @@\n+hi\n';
    expect(await apply(through)).toHaveProperty('problem');
  });
});

it('is taken back exactly', async () => {
  const done = await apply(GOOD);
  if (!('commit' in done)) throw new Error(done.problem);
  await moveTo(repo, done.commit);
  expect(readFileSync(join(repo, 'a.txt'), 'utf8')).toBe('one\n2\nthree\n');
  writeFileSync(join(repo, 'a.txt'), 'a check wrote here\n');
  await moveTo(repo, start);
  expect(readFileSync(join(repo, 'a.txt'), 'utf8')).toBe('one\ntwo\nthree\n');
  expect(gitIn(repo, 'status', '--porcelain')).toBe('');
});

it('is the same wherever its hunks lie, and another with another word', () => {
  const moved = GOOD.replace('@@ -1,3 +1,3 @@', '@@ -7,3 +7,3 @@ there').replace('--- a', 'index 12..34 100644\n--- a');
  expect(patchHash(moved)).toBe(patchHash(GOOD));
  expect(patchHash(`${GOOD.replaceAll('\n', '\r\n')}\n`)).toBe(patchHash(GOOD));
  expect(patchHash(GOOD.replace('+2', '+3'))).not.toBe(patchHash(GOOD));
});

it('comes by its schema, with a test only where that is asked for', () => {
  const judge = (value: unknown, with_test = false) => judgeAnswer(JSON.stringify(value), fixSchemaOf(with_test));
  const fix = { patch: GOOD, why: 'w' };
  const both = { ...fix, test: GOOD, command: ['sh', 't.sh'] };
  expect(judge(fix)).toHaveProperty('value');
  expect(judge(both, true)).toHaveProperty('value');
  for (const wrong of [{ patch: GOOD }, { why: 'w' }, { patch: 1, why: 'w' }, GOOD, both])
    expect(judge(wrong)).toHaveProperty('problem');
  for (const wrong of [fix, { ...both, command: 'sh t.sh' }, { ...fix, test: GOOD }])
    expect(judge(wrong, true)).toHaveProperty('problem');
});

it.each([
  ['no patch', { patch: ' \n' }, 'there is no patch'],
  ['a large patch', { patch: 'x'.repeat(65 * 1024) }, 'the patch is larger than 64 KiB'],
  ['no test', { test: '' }, 'there is no regression test'],
  ['a large test', { test: 'x'.repeat(65 * 1024) }, 'the regression test is larger than 64 KiB'],
  ['no program', { command: ['', 'x'] }, 'the command that runs the regression test: it names no program'],
  ['a long command', { command: ['sh', 'x'.repeat(9000)] }, /is longer than 8000 characters$/],
  ['many words', { command: Array<string>(101).fill('x') }, /more than 100 words$/],
  ['a NUL', { command: ['sh', '\0'] }, /holds a NUL$/],
])('with %s is not tried', (_, change, problem) => {
  const fix = { patch: GOOD, why: 'w', test: GOOD, command: ['sh', 't.sh'], ...change };
  expect(fixProblem(fix, true, true)).toMatch(problem);
  expect(fixProblem({ ...fix, patch: GOOD, test: GOOD, command: ['sh'] }, true, true)).toBe(null);
});

describe('what a tester leaves', () => {
  const tested: Tested = { summary: 's', commands: [['sh', 't.sh']], findings: [] };
  const judge = async (change: () => void, said: Partial<Tested> = {}, full = true) => {
    const dir = mkdtempSync(join(repo, '.git', 'run-'));
    change();
    gitIn(repo, 'add', '-A');
    gitIn(repo, 'commit', '-q', '--allow-empty', '-m', 'tests');
    const work = { worktree: repo, start } as Work;
    await keepTests(dir, work, gitIn(repo, 'rev-parse', 'HEAD').trim(), false);
    const tree = gitIn(repo, 'rev-parse', 'HEAD^{tree}').trim();
    gitIn(repo, 'reset', '-q', '--hard', start);
    const by = { dir, worktree: repo, commit: start, protect: ['safe/**'], full, made };
    return { tree, ...(await testsCommit({ ...tested, ...said }, by)) };
  };
  const write = (name: string, content: string | Buffer) => () => {
    mkdirSync(join(repo, name, '..'), { recursive: true });
    writeFileSync(join(repo, name), content);
  };
  it('becomes the very same tree on top of what it tested, whatever the bytes', async () => {
    const found = await judge(write('sub/t.sh', Buffer.from('caf\xe9\r\nno end', 'latin1')));
    if (!('commit' in found)) throw new Error(JSON.stringify(found));
    expect(found.files).toEqual(['sub/t.sh']);
    expect(gitIn(repo, 'rev-parse', `${found.commit}^{tree}`).trim()).toBe(found.tree);
    expect(gitIn(repo, 'rev-parse', `${found.commit}^`).trim()).toBe(start);
    expect(gitIn(repo, 'rev-parse', 'HEAD').trim()).toBe(start);
  });
  it('may be commands alone, or tests alone', async () => {
    expect(await judge(() => {})).toMatchObject({ commit: start, files: [] });
    expect(await judge(write('t.sh', 'x\n'), { commands: [] })).toMatchObject({ files: ['t.sh'] });
    expect(await judge(write('t.sh', 'x\n'), { commands: [] }, false)).toMatchObject({ files: ['t.sh'] });
  });
  it.each<[string, () => void, Partial<Tested>, RegExp]>([
    ['nothing', () => {}, { commands: [] }, /^the tester ran nothing$/],
    ['a protected file', write('safe/x', 'x'), {}, /^it changes protected files: safe\/x$/],
    ['a file less', () => rmSync(join(repo, 'a.txt')), {}, /^it removes a.txt$/],
    ['a binary file', write('b', Buffer.from([0, 1])), {}, /^b is binary$/],
    ['a link', () => symlinkSync('/etc/passwd', join(repo, 'l')), {}, /^l is no plain file$/],
    ['a program', () => program('p.sh'), {}, /^it changes the mode of p.sh$/],
    ['a large file', write('t.txt', 'line\n'.repeat(60_000)), {}, /^its change was not kept/],
    ['many commands', () => {}, { commands: Array<string[]>(11).fill(['true']) }, /^commands: 11 are more than 10$/],
    ['no program', () => {}, { commands: [['true'], []] }, /^commands: of number 2, it names no program$/],
  ])('with %s is no evidence', async (_, change, said, problem) => {
    const found = await judge(change, said);
    expect('problem' in found && found.problem).toMatch(problem);
  });
  it('of an agent that may run no commands names none', async () => {
    expect(await judge(() => {}, {}, false)).toMatchObject({
      problem: 'commands: your agent may run none, so name none',
    });
  });
});

it('of an agent that may run no commands brings no test', () => {
  const fix = { patch: GOOD, why: 'w', test: GOOD, command: ['sh', 't.sh'] };
  expect(fixProblem(fix, true, false)).toContain('may have none run');
  expect(fixProblem(fix, false, false)).toBe(null);
});

function relink(name: string, to: string): void {
  rmSync(join(repo, name));
  symlinkSync(to, join(repo, name));
}
function program(name: string): void {
  writeFileSync(join(repo, name), 'echo\n');
  chmodSync(join(repo, name), 0o755);
}
function submodule(): void {
  const dir = join(repo, 'mod');
  mkdirSync(dir);
  makeRepo(dir);
}

describe('an answer', () => {
  const judge = (text: string, with_test = false) => judgeFix(text, undefined, with_test);
  it('is JSON, or the diff alone, or a fenced one in prose', () => {
    expect(judge(JSON.stringify({ patch: GOOD, why: 'w' }))).toEqual({ value: { patch: GOOD, why: 'w' } });
    expect(judge(JSON.stringify({ patch: GOOD, notes: 'n' }))).toMatchObject({ value: { patch: GOOD, why: '' } });
    for (const text of [GOOD, `Here it is.\n\n\`\`\`diff\n${GOOD}\`\`\`\n\nThat mends it.`, `So:\n${GOOD}`])
      expect(judge(text), text).toEqual({ value: { patch: GOOD, why: '' } });
    const git = `diff --git a/a.txt b/a.txt\n${GOOD}`;
    expect(judge(`${git}\n\n`)).toEqual({ value: { patch: git, why: '' } });
  });
  it('is none when it is prose, and with a test it must be JSON', () => {
    for (const text of ['', 'I mended it.', '--- a line\nand more', '```diff\n```'])
      expect(judge(text), text).toHaveProperty('problem');
    expect(judge(GOOD, true)).toHaveProperty('problem');
  });
});

it('what is tried in the own tree of a repository is taken out of it also when that was cut off half way', async () => {
  const workspace = new Workspace(tempDir());
  const events = new Events();
  const warnings: string[] = [];
  events.on((event) => event.event === 'warning' && warnings.push(event.message));
  const ctx = { workspace, settings: settingsSchema.parse({ durability: 'fast' }), events };
  const own = makeRepo();
  const put = (text: string) => {
    for (const name of ['a.txt', 'b.txt']) writeFileSync(join(own, name), text);
  };
  put('one\n');
  gitIn(own, 'add', '-A');
  gitIn(own, 'commit', '-qm', 'files');
  const open = await openTree(own);
  // The work, a test on top of it, and the patch on top of both: all change the same files.
  const [captured, from, to] = await ['work', 'test', 'patch'].reduce<Promise<string[]>>(async (before, id) => {
    const commits = await before;
    put(id);
    return [...commits, (await captureTree(open, { id, attempt: 1, ...made }))!.commit];
  }, Promise.resolve([]));
  const place = { kind: 'tree', repo: own, worktree: own, branch: null, base: open.head, start: open.head } as const;
  writeWork(ctx, 't', { ...place, setup_done: true, open, captured: captured!, trying: { from: from!, to: to! } });
  const task = { id: 't', state: { commit: captured } } as Task;
  // A git that writes one of the files, and then no more.
  const bin = tempDir();
  const path = process.env['PATH']!;
  const real = execFileSync('sh', ['-c', 'command -v git'], { encoding: 'utf8' }).trim();
  const short = `case "$*" in *checkout-index*) ${real} checkout-index -f -- a.txt; exit 1;; esac`;
  writeFileSync(join(bin, 'git'), `#!/bin/sh\n${short}\nexec ${real} "$@"\n`, { mode: 0o755 });
  process.env['PATH'] = `${bin}:${path}`;
  try {
    await expect(takeOff(ctx, task)).rejects.toThrow();
  } finally {
    process.env['PATH'] = path;
  }
  const files = () => ['a.txt', 'b.txt'].map((name) => readFileSync(join(own, name), 'utf8'));
  expect(files()).toEqual(['work', 'patch']);
  await takeOff(ctx, task);
  expect(files()).toEqual(['work', 'work']);
  expect(warnings).toEqual([]);
  expect(readWork(workspace, 't')?.trying).toBeUndefined();
  for (const dir of [own, bin, workspace.root]) rmSync(dir, { recursive: true });
});
