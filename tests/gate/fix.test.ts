// Patches: what is let through, the exact tree that comes of it, the same patch known again, and the way back.
import { chmodSync, mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { judgeAnswer } from '../../daemon/task/answer.ts';
import { FIX_SCHEMA, patchHash } from '../../daemon/task/fix.ts';
import { moveTo, patchCommit } from '../../daemon/worktree/patch.ts';
import { gitIn, makeRepo } from '../helpers/workspace.ts';

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

it('comes by its schema', () => {
  const judge = (value: unknown) => judgeAnswer(JSON.stringify(value), FIX_SCHEMA);
  expect(judge({ patch: GOOD, why: 'w' })).toHaveProperty('value');
  for (const wrong of [{ patch: GOOD }, { why: 'w' }, { patch: 1, why: 'w' }, GOOD])
    expect(judge(wrong)).toHaveProperty('problem');
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
