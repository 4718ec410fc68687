// Pull requests: how the user's programs are called and read, and what the text says.
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { pullBody } from '../../daemon/gate/pull/body.ts';
import { fillIn, readStatus, runProgram, urlIn } from '../../daemon/gate/pull/program.ts';
import { Workspace } from '../../daemon/paths.ts';
import type { Task } from '../../daemon/queue/port.ts';
import { settingsSchema } from '../../daemon/settings.ts';

const places = { id: 't', branch: 'towpath/t', base: 'main', title: '', remote: 'origin', body_file: '/b' };

it('puts a title in as one word, whatever it holds, and never looks through it again', () => {
  fc.assert(
    fc.property(fc.string(), (text) => {
      const title = `${text}{branch} $& $1`;
      expect(fillIn(['x', '{title}', '--title={title}!'], { ...places, title })).toEqual([
        'x',
        title,
        `--title=${title}!`,
      ]);
    }),
  );
  expect(fillIn(['{branch}:{base}', '{other}', '{ id }'], places)).toEqual(['towpath/t:main', '{other}', '{ id }']);
});

it('reads how a request stands, and takes nothing else for it', () => {
  expect(readStatus('{"state":"MERGED","url":"https://x/1","mergedAt":"2026"}')).toEqual({
    state: 'MERGED',
    url: 'https://x/1',
  });
  expect(readStatus('{"state":"NONE"}\n')).toEqual({ state: 'NONE', url: null });
  expect(readStatus('[{"state":"OPEN","url":"https://x/2"},{"state":"CLOSED"}]')).toEqual({
    state: 'OPEN',
    url: 'https://x/2',
  });
  expect(readStatus('[]')).toEqual({ state: 'NONE', url: null });
  expect(readStatus('{"state":"closed"}')).toEqual({ state: 'CLOSED', url: null });
  for (const text of ['', 'OPEN', 'null', '{}', '{"state":"DRAFT"}', '{"state":1}'])
    expect(readStatus(text), text).toBe(null);
});

it('takes the first address that is printed', () => {
  expect(urlIn('Creating\nhttps://git.example/pulls/7 is open, see http://x')).toBe('https://git.example/pulls/7');
  expect(urlIn('"http://x/y"')).toBe('http://x/y');
  expect(urlIn('git@example.org:a/b')).toBe(null);
});

it('tells task, result, reviews and checks, each only when there is one', () => {
  const task = { id: 't', body: 'Do it.\n', state: { result: 'Done.' } } as unknown as Task;
  const check = {
    command: 'npm\ntest',
    code: 0,
    ok: true,
    output: '',
    tree: 'a'.repeat(40),
    at: '',
    duration_ms: 1234,
  };
  expect(pullBody(task, 'The reviewer accepts it: fine', [check])).toBe(
    'Do it.\n\n## What was done\n\nDone.\n\n## Review\n\nThe reviewer accepts it: fine\n\n' +
      '## Checks\n\n- `npm test` passed on tree aaaaaaaaaa, 1.2 s\n\nTowpath-Task: t\n',
  );
  expect(pullBody({ ...task, state: {} }, '', [])).toBe('Do it.\n\nTowpath-Task: t\n');
});

it('tells what may pass from what a person must put right, by exit codes and by the fixed lines of gh', async () => {
  const ctx = { settings: settingsSchema.parse({}), workspace: new Workspace('/usr') };
  const told = (code: number, stderr: string) =>
    runProgram(ctx, ['sh', '-c', 'printf "%s" "$2" >&2; exit "$1"', 'sh', String(code), stderr], {
      cwd: '/',
      places,
    });
  const passing = [
    [75, 'come back later'],
    [1, 'HTTP 502: 502 Bad Gateway (https://x/api/graphql)'],
    [1, 'HTTP 429: slow down (https://x)'],
    [1, 'error connecting to api.github.com\ncheck your internet connection or https://githubstatus.com'],
    [1, 'Post "https://x/api/graphql": dial tcp 127.0.0.1:1: connect: connection refused'],
    [1, 'pull request create failed: Post "https://x/api/graphql": EOF'],
  ] as const;
  for (const [code, text] of passing) expect(await told(code, text), text).toMatchObject({ passes: true });
  const lasting = [
    [1, 'HTTP 401: Bad credentials (https://x/api/graphql)\nTry authenticating with:  gh auth login'],
    [1, 'HTTP 404: Not Found (https://x)'],
    [4, 'To get started with GitHub CLI, please run:  gh auth login'],
    [1, 'pull request create failed: GraphQL: No commits between main and x (createPullRequest)'],
    [1, 'it says: HTTP 502: but that is its own text'],
    [1, ''],
  ] as const;
  for (const [code, text] of lasting) expect(await told(code, text), text).toMatchObject({ passes: false });
  expect(await told(1, 'a.\n\nb\nc\nd\ne')).toEqual({ problem: 'sh exited with 1: a; b; …; d; e', passes: false });
  for (const argv of [['/no/such'], ['sh', '-c', 'no-such-program'], ['sh', '-c', 'kill -9 $$']])
    expect(await runProgram(ctx, argv, { cwd: '/', places })).toMatchObject({ passes: false, mute: true });
  expect(await runProgram(ctx, ['bin/env', 'echo', './bin', '{id}'], { cwd: '/tmp', places })).toEqual({
    stdout: `/usr/bin ${places.id}\n`,
  });
});
