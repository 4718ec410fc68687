// on_accept: pr: a bare remote on the disk, and a program in the place of gh that keeps what it is told in files.
import { existsSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { gitIn, shellTask, type TestWorkspace, tempDir, until, workspaces } from '../helpers/workspace.ts';

const workspace = workspaces();

/**
 * In the place of gh 2.23, as that was seen to answer the words that Towpath gives it by default: requests are kept in the file
 * `state`; what lies in `fails` is its end, with the exit code in the first line.
 */
const GH = `#!/bin/sh
here=$(dirname "$0")
fails() { tail -n +2 "$here/fails" >&2; exit "$(head -n 1 "$here/fails")"; }
url=https://git.example/o/r/pull/7
if [ "$1 $2 $3 $5 $7 $8" = "pr list --head --base --state all" ]; then
  [ "$9" = --json ] && [ "\${10}" = state,url,isCrossRepository ] && [ "\${11}" = --jq ] || { echo "unknown flag: $9" >&2; exit 1; }
  [ -e "$here/fails" ] && fails
  if [ -e "$here/state" ]; then printf '{"isCrossRepository":false,"state":"%s","url":"%s"}\n' "$(cat "$here/state")" $url; else echo '{"state":"NONE"}'; fi
elif [ "$1 $2 $3 $5 $7 $9" = "pr create --head --base --title --body-file" ]; then
  [ -e "$here/fails" ] && fails
  [ -e "$here/fails-once" ] && { mv "$here/fails-once" "$here/fails"; fails; }
  if [ "$(cat "$here/state" 2>/dev/null)" = OPEN ]; then printf 'a pull request for branch "%s" into branch "%s" already exists:\n%s\n' "$4" "$6" $url >&2; exit 1; fi
  for word in "$@"; do printf '%s\n' "$word"; done >> "$here/words"
  cp "\${10}" "$here/body"; echo OPEN > "$here/state"; echo created >> "$here/created"
  if [ -e "$here/hang" ]; then rm "$here/hang"; sleep 300; fi
  if [ -e "$here/lost" ]; then rm "$here/lost"; echo 'Post "https://git.example/api/graphql": EOF' >&2; exit 1; fi
  echo $url
else echo "unknown command "$*" for gh" >&2; exit 1; fi
`;

function make(more = ''): { ws: TestWorkspace; gh: string; remote: string; env: Record<string, string> } {
  const gh = tempDir('towpath-gh-');
  writeFileSync(join(gh, 'gh'), GH, { mode: 0o755 });
  const ws = workspace(
    `agent: shell\non_accept: pr\nretry: {initial: 100ms}\nchecks: ["true"]\npr: {every: 300ms}\n${more}`,
  );
  const remote = join(gh, 'remote.git');
  gitIn(gh, 'init', '-q', '--bare', remote);
  ws.git('remote', 'add', 'origin', remote);
  ws.git('push', '-q', 'origin', 'main');
  return { ws, gh, remote, env: { PATH: `${gh}:${process.env['PATH']}` } };
}
const read = (path: string) => (existsSync(path) ? readFileSync(path, 'utf8') : '');
const task = (script: string, more = '') =>
  shellTask(script, more).replace('# A task', '# Say $(touch /tmp/no) "hello"\n\nWhat is wanted.');

describe('a pull request', () => {
  it('is pushed and opened once, shown, and done when it is merged', () => {
    const { ws, gh, remote, env } = make();
    ws.drop('t', task('echo hello > t'));
    expect(ws.drain([], env).code).toBe(0);
    const waiting = ws.show('t');
    const url = 'https://git.example/o/r/pull/7';
    expect(waiting).toMatchObject({
      queue: 'provisional',
      pr: url,
      reason: `waits for its pull request: ${url}`,
      branch: 'towpath/t',
    });
    expect(ws.json<{ pr: string }[]>(['list'])[0]?.pr).toBe(url);
    expect(ws.run(['show', 't']).stdout).toContain(url);
    expect(gitIn(remote, 'rev-parse', 'towpath/t').trim()).toBe(waiting.commit);
    expect(read(join(gh, 'words')).trim().split('\n').slice(2)).toEqual([
      ...['--head', 'towpath/t', '--base', 'main', '--title', 'Say $(touch /tmp/no) "hello"'],
      ...['--body-file', ws.path('.towpath/runs/t/1/pull-request.md')],
    ]);
    expect(read(join(gh, 'body'))).toMatch(
      /What is wanted\.[\s\S]*## Checks\n\n- `true` passed on tree [\s\S]*Towpath-Task: t\n/,
    );
    expect(statSync(ws.path('.towpath/runs/t/1/pull-request.md')).mode & 0o777).toBe(0o600);
    expect(ws.drain([], env).code).toBe(0);
    expect(read(join(gh, 'created'))).toBe('created\n');
    writeFileSync(join(gh, 'state'), 'MERGED');
    expect(ws.drain([], env).code).toBe(0);
    expect(ws.show('t')).toMatchObject({ queue: 'done', pr: url, worktree: null, reason: null });
  });

  it('that is closed waits for a person; the next attempt goes to the same branch, also when it was rewritten', async () => {
    const { ws, gh, remote, env } = make();
    ws.drop('t', task('echo "$TOWPATH_ATTEMPT" > t; [ "$TOWPATH_ATTEMPT" = 1 ] || git reset -q --soft main'));
    await ws.start([], env);
    await until(() => ws.show('t').pr !== null, 'it is opened', 30_000);
    const first = ws.show('t').commit;
    writeFileSync(join(gh, 'state'), 'CLOSED');
    await ws.reaches('t', 'blocked', 30_000);
    expect(ws.show('t')).toMatchObject({
      outcome: 'rejected',
      reason: expect.stringMatching(/was closed and not merged: https/),
      feedback: [{ from: 'pr' }],
    });
    expect(ws.json<{ next: string[] }>(['show', 't']).next[0]).toBe('towpath retry t');
    // Opened again on the server, it is waited for as before.
    writeFileSync(join(gh, 'state'), 'OPEN');
    ws.run(['accept', 't']);
    await until(() => ws.show('t').reason?.startsWith('accepted; waits for its pull request') === true, 'it waits');
    writeFileSync(join(gh, 'state'), 'CLOSED');
    await ws.reaches('t', 'blocked', 30_000);
    expect(read(join(gh, 'created'))).toBe('created\n');
    ws.run(['retry', 't']);
    await until(() => read(join(gh, 'created')) === 'created\ncreated\n', 'a second one is opened', 30_000);
    await until(() => ws.show('t').reason?.startsWith('waits for its pull request') === true, 'it waits again', 30_000);
    const second = gitIn(remote, 'rev-parse', 'towpath/t').trim();
    expect(second).toBe(ws.show('t').commit);
    expect(second).not.toBe(first);
    expect(gitIn(remote, 'rev-list', '--count', 'main..towpath/t').trim()).toBe('1');
    writeFileSync(join(gh, 'state'), 'MERGED');
    await ws.reaches('t', 'done', 30_000);
  });

  it('that cannot be opened says why, without secrets, and is tried again by accept', () => {
    const { ws, gh, remote, env: path } = make('secrets: {FORGE_TOKEN: {env: FORGE_TOKEN}}\n');
    const env = { ...path, FORGE_TOKEN: 'abcdefghijklmnop' };
    writeFileSync(
      join(gh, 'fails'),
      '1\nHTTP 401: bad token abcdefghijklmnop (https://x/graphql)\nTry authenticating with:  gh auth login\n',
    );
    ws.drop('t', task('echo hello > t'));
    expect(ws.drain([], env).code).toBe(1);
    expect(ws.show('t')).toMatchObject({
      ...{ queue: 'blocked', attempts: 1, pr: null },
      reason:
        'no pull request could be opened: gh exited with 1: HTTP 401: bad token [FORGE_TOKEN] (https://x/graphql); ' +
        'Try authenticating with:  gh auth login: put it right; then "towpath accept t"',
    });
    rmSync(join(gh, 'fails'));
    // It does not say whether there is one: none is opened.
    const settings = read(ws.path('towpath.yaml'));
    for (const [said, told] of [
      ['echo all is well', 'exited with 0 and printed no JSON with a state'],
      ['true', 'exited with 0 and printed nothing'],
      ['no-such-program', 'exited with 127'],
    ]) {
      ws.file('towpath.yaml', settings.replace('pr: {', `pr: {status: [sh, -c, '${said}'], `));
      ws.run(['accept', 't']);
      expect(ws.drain([], env).code).toBe(1);
      expect(ws.show('t')).toMatchObject({ queue: 'blocked', reason: expect.stringContaining(`sh ${told}`) });
    }
    ws.file('towpath.yaml', settings);
    expect(existsSync(join(gh, 'created'))).toBe(false);
    // A stranger's branch of that name is never written over.
    gitIn(remote, 'update-ref', '-d', 'refs/heads/towpath/t');
    const stranger = ws.git('commit-tree', 'main^{tree}', '-m', 'stranger').trim();
    ws.git('push', '-q', 'origin', `${stranger}:refs/heads/towpath/t`);
    ws.run(['accept', 't']);
    expect(ws.drain([], env).code).toBe(1);
    expect(ws.show('t').reason).toMatch(/towpath\/t cannot be pushed to origin: .*rejected/);
    expect(gitIn(remote, 'rev-parse', 'towpath/t').trim()).toBe(stranger);
    ws.git('push', '-q', 'origin', ':refs/heads/towpath/t');
    ws.run(['accept', 't']);
    expect(ws.drain([], env).code).toBe(0);
    expect(ws.show('t')).toMatchObject({ queue: 'provisional', attempts: 1, pr: 'https://git.example/o/r/pull/7' });
  });

  it('goes on by itself once a server or a remote that was away is back; a drain does not wait for it for ever', async () => {
    const { ws, gh, remote, env } = make();
    renameSync(remote, `${remote}-away`);
    ws.drop('t', task('echo hello > t'));
    await ws.start([], env);
    await until(
      () => ws.show('t').reason?.startsWith('no pull request could be opened') === true,
      'the remote is away',
    );
    expect(ws.show('t')).toMatchObject({
      queue: 'provisional',
      reason: expect.stringMatching(/origin cannot be read: fatal: .* it is tried again by itself$/),
    });
    writeFileSync(join(gh, 'fails'), '1\nPost "https://git.example/api/graphql": EOF\n');
    renameSync(`${remote}-away`, remote);
    await until(() => ws.show('t').reason?.includes('api/graphql') === true, 'the server is away', 30_000);
    // It takes the request, and its answer is lost.
    writeFileSync(join(gh, 'lost'), '');
    rmSync(join(gh, 'fails'));
    await until(() => ws.show('t').pr !== null, 'it is opened', 30_000);
    expect(ws.show('t').reason).toBe('waits for its pull request: https://git.example/o/r/pull/7');
    expect(read(join(gh, 'created'))).toBe('created\n');
    ws.run(['stop']);
    rmSync(join(gh, 'state'));
    rmSync(remote, { recursive: true });
    ws.file('towpath.yaml', `${read(ws.path('towpath.yaml')).replace('initial: 100ms', 'initial: 5ms, max: 20ms')}`);
    ws.drop('u', task('echo hello > u'));
    expect(ws.drain([], env).code).toBe(1);
    expect(ws.show('u')).toMatchObject({ queue: 'provisional', outcome: 'ok', attempts: 1 });
  });

  it('is not taken for an earlier one of its branch that was merged', async () => {
    const { ws, gh, env } = make();
    writeFileSync(join(gh, 'state'), 'MERGED');
    writeFileSync(join(gh, 'fails-once'), '1\nHTTP 502: Bad Gateway (https://git.example/api/graphql)\n');
    ws.drop('t', task('echo hello > t'));
    await ws.start([], env);
    await until(() => ws.show('t').reason?.includes('tried again by itself') ?? false, 'it waits', 20_000);
    rmSync(join(gh, 'fails'));
    await until(() => read(join(gh, 'created')) !== '' || ws.where('t') === 'done', 'it is opened', 20_000);
    expect([read(join(gh, 'created')), ws.where('t')]).toEqual(['created\n', 'provisional']);
    writeFileSync(join(gh, 'state'), 'MERGED');
    await ws.reaches('t', 'done', 20_000);
  });

  it('is opened once, though the daemon was killed when it was there and had not said so', async () => {
    const { ws, gh, env } = make();
    writeFileSync(join(gh, 'hang'), '');
    ws.drop('t', task('echo hello > t'));
    const daemon = await ws.start([], env);
    await until(() => existsSync(join(gh, 'created')), 'it is being opened', 30_000);
    daemon.kill('SIGKILL');
    expect(ws.drain([], env).code).toBe(0);
    expect(ws.show('t')).toMatchObject({ queue: 'provisional', pr: 'https://git.example/o/r/pull/7' });
    expect(read(join(gh, 'created'))).toBe('created\n');
  });
});
