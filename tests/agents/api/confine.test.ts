// No path that a model writes leads out of the worktree: whatever its text, and whatever links lie there.
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, realpathSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join, sep } from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Worktree } from '../../../daemon/agents/api/tools/confine.ts';
import { editTool, readTool, writeTool } from '../../../daemon/agents/api/tools/files.ts';
import { listTool, searchTool } from '../../../daemon/agents/api/tools/search.ts';
import { tempDir } from '../../helpers/workspace.ts';

let outside: string;
let root: string;
let tree: Worktree;
beforeAll(() => {
  outside = tempDir();
  root = join(outside, 'tree');
  mkdirSync(join(root, 'sub', 'deep'), { recursive: true });
  mkdirSync(join(root, '.git'));
  mkdirSync(join(outside, 'tree-too'));
  writeFileSync(join(outside, 'secret'), 'secret\n');
  writeFileSync(join(root, 'sub', 'file'), 'inside\n');
  const links: Record<string, string> = {
    'to-file': '../secret',
    'to-folder': '..',
    absolute: outside,
    dangling: '../not-there',
    'to-sub': 'sub',
    'to-itself': 'to-itself',
    'to-git': '.git',
    'sub/up': '../..',
    'sub/chain': '../to-folder',
  };
  for (const [name, to] of Object.entries(links)) symlinkSync(to, join(root, name));
  tree = new Worktree(root);
});
afterAll(() => rmSync(outside, { recursive: true }));

/** Links are not followed. */
const all = (): string => execFileSync('find', [outside], { encoding: 'utf8' });

/** Where something that is there, or its nearest folder that is, really lies. */
function placeOf(path: string): string {
  for (let at = path; ; at = dirname(at)) if (existsSync(at)) return realpathSync(at);
}

test('any text leads inside or is refused, and nothing of git is written', () => {
  const names = ['..', '.', '', '.git', 'sub', 'deep', 'file', 'new', 'to-file', 'to-folder', 'absolute', 'dangling'];
  const more = ['to-sub', 'to-itself', 'to-git', 'up', 'chain', 'tree', 'tree-too', 'secret', ' ', '~', '.GIT'];
  const part = fc.oneof({ weight: 6, arbitrary: fc.constantFrom(...names, ...more) }, fc.string({ maxLength: 4 }));
  const below = fc.array(part, { minLength: 1, maxLength: 7 }).map((parts) => parts.join('/'));
  const path = fc.oneof(
    below,
    below.map((it) => `/${it}`),
    below.map((it) => `${root}/${it}`),
  );
  let inside = 0;
  const run = fc.property(path, fc.boolean(), (text, write) => {
    let real: string;
    try {
      real = write ? tree.writable(text) : tree.readable(text);
    } catch (thrown) {
      expect((thrown as Error).name).toBe('Refusal');
      return;
    }
    inside += 1;
    expect(`${placeOf(real)}${sep}`.startsWith(`${root}${sep}`)).toBe(true);
    expect(`${real}${sep}`.startsWith(`${root}${sep}`)).toBe(true);
    if (write) expect(real.toLowerCase().split(sep)).not.toContain('.git');
  });
  fc.assert(run, { numRuns: 3000 });
  expect(inside).toBeGreaterThan(100);
});

describe('the tools', () => {
  const outsides = [
    '../secret',
    'to-file',
    'to-folder/secret',
    'to-folder/new',
    'absolute/new',
    'dangling',
    'sub/up/new',
  ];
  test.each([
    ...outsides,
    'sub/chain/new',
    '/etc/hostname',
    '../tree-too/new',
    'to-git/config',
    '.git/config',
    'to-itself',
  ])('do not write %s', async (path) => {
    const before = all();
    expect((await writeTool(tree).run({ path, content: 'x' })).failed).toBe(true);
    expect((await editTool(tree).run({ path, old: 'secret', new: 'x' })).failed).toBe(true);
    expect(all()).toEqual(before);
    expect(readFileSync(join(outside, 'secret'), 'utf8')).toBe('secret\n');
  });

  test.each(['../secret', 'to-file', 'to-folder/secret', 'absolute/secret', '/etc/hostname', 'sub/up/secret'])(
    'do not read %s',
    async (path) => {
      for (const done of [await readTool(tree).run({ path }), await searchTool(tree).run({ pattern: '.', path })])
        expect(done).toMatchObject({ failed: true, text: expect.stringMatching(/outside/) });
    },
  );

  test('do not look behind links by themselves, and a link that stays inside is no hindrance', async () => {
    expect(await searchTool(tree).run({ pattern: 'secret|inside' })).toEqual({
      text: 'sub/file:1: inside',
      failed: false,
    });
    expect(await listTool(tree).run({})).toEqual({ text: 'sub/file', failed: false });
    expect((await listTool(tree).run({ path: 'to-folder' })).failed).toBe(true);
    expect(await readTool(tree).run({ path: 'to-sub/file' })).toEqual({ text: '1\tinside\n', failed: false });
    expect((await writeTool(tree).run({ path: 'to-sub/new/one', content: 'x' })).failed).toBe(false);
    expect(readFileSync(join(root, 'sub', 'new', 'one'), 'utf8')).toBe('x');
  });
});
