// on_accept: pr: a bare remote on the disk, and a program in the place of gh that keeps what it is told in files.
import { existsSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { gitIn, shellTask, type TestWorkspace, tempDir, until, workspaces } from '../helpers/workspace.ts';

const workspace = workspaces();

/** `create` notes its words and prints an address; `view` tells the state in the file `state`. */
const GH = `#!/bin/sh
here=$(dirname "$0")
case "$1" in
  create)
    [ -e "$here/refuse" ] && { cat "$here/refuse" >&2; exit 1; }
    shift; for word in "$@"; do printf '%s\\n' "$word"; done >> "$here/words"
    cp "$3" "$here/body"; echo OPEN > "$here/state"; echo created >> "$here/created"
    if [ -e "$here/hang" ]; then rm "$here/hang"; sleep 300; fi
    echo "Creating pull request"; echo "https://git.example/pulls/7 is open";;
  view)
    [ -e "$here/state" ] || { echo "no pull requests found" >&2; exit 1; }
    printf '{"state":"%s","url":"https://git.example/pulls/7"}' "$(cat "$here/state")";;
esac
`;

function make(more = ''): { ws: TestWorkspace; gh: string; remote: string } {
  const gh = tempDir('towpath-gh-');
  writeFileSync(join(gh, 'gh'), GH, { mode: 0o755 });
  const words = `[${gh}/gh, create, "--title={title}", --body-file, "{body_file}", --head, "{branch}", --base, "{base}"]`;
  const pr = `pr: {command: ${words}, status: [${gh}/gh, view, "{branch}"], every: 300ms}`;
  const ws = workspace(`agent: shell\non_accept: pr\nretry: {initial: 100ms}\nchecks: ["true"]\n${pr}\n${more}`);
  const remote = join(gh, 'remote.git');
  gitIn(gh, 'init', '-q', '--bare', remote);
  ws.git('remote', 'add', 'origin', remote);
  ws.git('push', '-q', 'origin', 'main');
  return { ws, gh, remote };
}
const read = (path: string) => (existsSync(path) ? readFileSync(path, 'utf8') : '');
const task = (script: string, more = '') =>
  shellTask(script, more).replace('# A task', '# Say $(touch /tmp/no) "hello"\n\nWhat is wanted.');

describe('a pull request', () => {
  it('is pushed and opened once, shown, and done when it is merged', () => {
    const { ws, gh, remote } = make();
    ws.drop('t', task('echo hello > t'));
    expect(ws.drain().code).toBe(0);
    const waiting = ws.show('t');
    const url = 'https://git.example/pulls/7';
    expect(waiting).toMatchObject({
      queue: 'provisional',
      pr: url,
      reason: `waits for its pull request: ${url}`,
      branch: 'towpath/t',
    });
    expect(ws.json<{ pr: string }[]>(['list'])[0]?.pr).toBe(url);
    expect(ws.run(['show', 't']).stdout).toContain(url);
    expect(gitIn(remote, 'rev-parse', 'towpath/t').trim()).toBe(waiting.commit);
    expect(read(join(gh, 'words')).split('\n').slice(0, 2)).toEqual([
      '--title=Say $(touch /tmp/no) "hello"',
      '--body-file',
    ]);
    expect(read(join(gh, 'words')).trim().split('\n').slice(3)).toEqual(['--head', 'towpath/t', '--base', 'main']);
    expect(read(join(gh, 'body'))).toMatch(
      /What is wanted\.[\s\S]*## Checks\n\n- `true` passed on tree [\s\S]*Towpath-Task: t\n/,
    );
    expect(statSync(ws.path('.towpath/runs/t/1/pull-request.md')).mode & 0o777).toBe(0o600);
    expect(ws.drain().code).toBe(0);
    expect(read(join(gh, 'created'))).toBe('created\n');
    writeFileSync(join(gh, 'state'), 'MERGED');
    expect(ws.drain().code).toBe(0);
    expect(ws.show('t')).toMatchObject({ queue: 'done', pr: url, worktree: null, reason: null });
  });

  it('that is closed waits for a person; the next attempt goes to the same branch, also when it was rewritten', async () => {
    const { ws, gh, remote } = make();
    ws.drop('t', task('echo "$TOWPATH_ATTEMPT" > t; [ "$TOWPATH_ATTEMPT" = 1 ] || git reset -q --soft main'));
    await ws.start();
    await until(() => ws.show('t').pr !== null, 'it is opened', 30_000);
    const first = ws.show('t').commit;
    writeFileSync(join(gh, 'state'), 'CLOSED');
    await ws.reaches('t', 'blocked', 30_000);
    expect(ws.show('t')).toMatchObject({
      outcome: 'rejected',
      reason: expect.stringMatching(/was closed and not merged: https/),
      feedback: [{ from: 'pr' }],
    });
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
    const { ws, gh, remote } = make('secrets: {FORGE_TOKEN: {env: FORGE_TOKEN}}\n');
    const env = { FORGE_TOKEN: 'abcdefghijklmnop' };
    writeFileSync(join(gh, 'refuse'), 'trying\nHTTP 401: bad token abcdefghijklmnop\n');
    ws.drop('t', task('echo hello > t'));
    expect(ws.drain([], env).code).toBe(1);
    expect(ws.show('t')).toMatchObject({
      queue: 'blocked',
      attempts: 1,
      pr: null,
      reason: expect.stringMatching(
        /^no pull request could be opened: \S+gh exited with 1: trying; HTTP 401: bad token \[FORGE_TOKEN\]: put it right; then "towpath accept t"$/,
      ),
    });
    rmSync(join(gh, 'refuse'));
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
    expect(ws.show('t')).toMatchObject({ queue: 'provisional', attempts: 1, pr: 'https://git.example/pulls/7' });
  });

  it('is opened once, though the daemon was killed when it was there and had not said so', async () => {
    const { ws, gh } = make();
    writeFileSync(join(gh, 'hang'), '');
    ws.drop('t', task('echo hello > t'));
    const daemon = await ws.start();
    await until(() => existsSync(join(gh, 'created')), 'it is being opened', 30_000);
    daemon.kill('SIGKILL');
    expect(ws.drain().code).toBe(0);
    expect(ws.show('t')).toMatchObject({ queue: 'provisional', pr: 'https://git.example/pulls/7' });
    expect(read(join(gh, 'created'))).toBe('created\n');
  });
});
