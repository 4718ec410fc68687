// Pushing a branch: what a remote may answer, in which words that is told, and that nothing waits for ever or for a person.
import { readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import { type AddressInfo, createServer as createSocket } from 'node:net';
import { join } from 'node:path';
import { afterEach, expect, test } from 'vitest';
import { push } from '../../daemon/worktree/push.ts';
import { until } from '../helpers/workspace.ts';
import { commit, folder, hook, problem, repository, sh, write } from './helper.ts';

const servers: { close(): unknown }[] = [];
afterEach(() => {
  for (const one of servers.splice(0)) one.close();
});

/** A repository with work on a branch, and a bare one that is its origin. */
function pair(): { repo: string; remote: string; work: string } {
  const repo = repository();
  const remote = join(folder(), 'remote.git');
  sh(repo, 'init', '-q', '--bare', remote);
  sh(repo, 'remote', 'add', 'origin', remote);
  sh(repo, 'checkout', '-q', '-b', 'towpath/t');
  const work = commit(repo, { 'c.txt': '1\n' });
  return { repo, remote, work };
}
const offer = (repo: string, sha: string, more: Partial<Parameters<typeof push>[1]> = {}) =>
  push(repo, { remote: 'origin', branch: 'towpath/t', commit: sha, ours: [], ...more });
const at = (remote: string) => sh(remote, 'rev-parse', 'towpath/t');

test('a branch is brought there; its own earlier work is replaced, and never that of others', async () => {
  const { repo, remote, work } = pair();
  await offer(repo, work);
  await offer(repo, work);
  expect(at(remote)).toBe(work);
  sh(repo, 'reset', '-q', '--hard', 'main');
  const other = commit(repo, { 'c.txt': '2\n' });
  const refused = await problem(offer(repo, other), 'git_failed');
  expect(refused.line).toBe('towpath/t cannot be pushed to origin: [rejected] (non-fast-forward): put it right there');
  expect(at(remote)).toBe(work);
  await offer(repo, other, { ours: [work] });
  expect(at(remote)).toBe(other);
});

test('what the remote says is told, with the name and password of its address left out', async () => {
  const { repo, remote, work } = pair();
  hook(repo, 'pre-push', 'exit 1');
  const refuse = '#!/bin/sh\necho "GH006: Protected branch"\necho "ask https://me:secret@x.example"\nexit 1\n';
  writeFileSync(join(remote, 'hooks/pre-receive'), refuse, { mode: 0o755 });
  expect((await problem(offer(repo, work), 'git_failed')).line).toBe(
    'towpath/t cannot be pushed to origin: [remote rejected] (pre-receive hook declined): GH006: Protected branch; ask https://x.example: put it right there',
  );
});

test('a remote that is not there is told at once; one that is away may come back', async () => {
  const { repo, remote, work } = pair();
  const none = await problem(offer(repo, work, { remote: 'upstream' }), 'git_failed');
  expect(none.line).toBe(
    `there is no remote "upstream" in ${repo}: add it (git remote add upstream ADDRESS), or set pr.remote`,
  );
  rmSync(remote, { recursive: true });
  const away = await problem(offer(repo, work), 'unreachable');
  expect(away.line).toMatch(/^origin cannot be read: fatal: '.*remote\.git' does not appear to be a git repository$/);
  sh(repo, 'remote', 'set-url', 'origin', 'ssh://127.0.0.1:1/x');
  expect((await problem(offer(repo, work), 'unreachable')).line).toMatch(
    /^origin cannot be read: (ssh: .*; fatal: Could not read from remote repository\.|.*ssh.*)$/,
  );
});

test('where it is pushed to another address than it is fetched from, that one is asked', async () => {
  const { repo, remote, work } = pair();
  sh(repo, 'remote', 'set-url', '--push', 'origin', remote);
  sh(repo, 'remote', 'set-url', 'origin', '/nowhere');
  await offer(repo, work);
  await offer(repo, work);
  expect(at(remote)).toBe(work);
  expect(sh(repo, 'rev-parse', 'refs/remotes/origin/towpath/t')).toBe(work);
});

test('a password of the address reaches the server, and no command line', async () => {
  const { repo, work } = pair();
  const seen: (string | undefined)[] = [];
  const server: Server = createServer(({ headers }, response) => {
    seen.push(headers.authorization);
    if (process.platform === 'linux') seen.push(...speaking('gehe').map((pid) => `in the command line of ${pid}`));
    response.writeHead(403);
    response.end();
  });
  servers.push(server);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  const address = `http://me:gehe%40im@127.0.0.1:${port}/o/r.git`;
  sh(repo, 'remote', 'set-url', '--push', 'origin', address);
  const basic = `Basic ${Buffer.from('me:gehe@im').toString('base64')}`;
  const offered = async (remote: string) =>
    (await problem(offer(repo, work, { remote, env: { no_proxy: '127.0.0.1' } }), 'git_failed')).line;
  expect(await offered('origin')).toMatch(/returned error: 403/);
  sh(repo, 'remote', 'add', 'other', address);
  expect(await offered('other')).toMatch(/returned error: 403/);
  // A rule of the settings may have put it there, for what is fetched and for what is pushed.
  const rule = ['config', `url.http://me:gehe%40im@127.0.0.1:${port}/.insteadOf`, `http://127.0.0.1:${port}/`];
  sh(repo, 'remote', 'add', 'ruled', `http://127.0.0.1:${port}/o/r.git`);
  sh(repo, ...rule);
  expect(await offered('ruled')).toMatch(/returned error: 403/);
  sh(repo, ...rule.map((word) => word.replace('.insteadOf', '.pushInsteadOf')));
  expect(await offered('ruled')).toMatch(/returned error: 403/);
  expect(seen).toEqual([basic, basic, basic, basic]);
});

test('an HTTP server that wants a password, refuses or is down: nobody is asked, and only the last may pass', async () => {
  const { repo, work } = pair();
  let code = 401;
  const server: Server = createServer((_, response) => {
    response.writeHead(code, { 'www-authenticate': 'Basic realm="x"' });
    response.end();
  });
  servers.push(server);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  sh(repo, 'remote', 'set-url', 'origin', `http://127.0.0.1:${port}/o/r.git`);
  const env = { no_proxy: '127.0.0.1' };
  const told = async (kind: 'git_failed' | 'unreachable') => (await problem(offer(repo, work, { env }), kind)).line;
  expect(await told('git_failed')).toMatch(
    /^origin cannot be read: fatal: could not read Username for '.*': terminal prompts disabled: give git a key or a credential helper/,
  );
  code = 403;
  expect(await told('git_failed')).toMatch(/returned error: 403: give git a key/);
  code = 404;
  expect(await told('git_failed')).toMatch(/repository 'http:.*' not found: give git a key/);
  for (code of [502, 429]) expect(await told('unreachable')).toMatch(new RegExp(`returned error: ${code}$`));
});

test('one that says nothing is let go of when it is called off, with all that git had started', async () => {
  const { repo, work } = pair();
  const server = createSocket();
  servers.push(server);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  const met = new Promise((resolve) => server.once('connection', resolve));
  sh(repo, 'remote', 'set-url', 'origin', `http://127.0.0.1:${port}/o/r.git`);
  const off = new AbortController();
  const gone = offer(repo, work, { signal: off.signal, env: { no_proxy: '127.0.0.1' } }).catch(
    (thrown: Error) => thrown,
  );
  await met;
  off.abort();
  expect(((await gone) as Error).message).toMatch(/called off/);
  if (process.platform === 'linux')
    await until(() => speaking(`127.0.0.1:${port}`).length === 0, 'git and its helper are gone');
});

/** Processes that have a text in their command line. */
const speaking = (text: string): string[] =>
  readdirSync('/proc').filter((pid) => {
    try {
      return /^\d+$/.test(pid) && readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes(text);
    } catch {
      return false;
    }
  });

test('large files of git-lfs go before the branch; where they cannot, the branch stays', async () => {
  const { repo, remote } = pair();
  const bin = folder();
  // It notes what it was told, and fails while it is told to.
  const lfs =
    '#!/bin/sh\ncd "$(dirname "$0")"\n{ echo "$@"; cat; } >> said\n[ ! -e fail ] || { echo "LFS: no room" >&2; exit 2; }\n';
  writeFileSync(join(bin, 'git-lfs'), lfs, { mode: 0o755 });
  const before = process.env['PATH'];
  process.env['PATH'] = `${bin}:${before}`;
  try {
    sh(repo, 'config', 'filter.lfs.clean', 'cat');
    await offer(repo, sh(repo, 'rev-parse', 'HEAD'));
    expect(readdirSync(bin)).not.toContain('said');
    const work = commit(repo, { 'sub/.gitattributes': '*.bin filter=lfs\n' });
    write(bin, { fail: '' });
    expect((await problem(offer(repo, work), 'unreachable')).line).toMatch(/cannot be pushed to origin: LFS: no room$/);
    expect(at(remote)).not.toBe(work);
    rmSync(join(bin, 'fail'));
    await offer(repo, work);
    expect(at(remote)).toBe(work);
    expect(readFileSync(join(bin, 'said'), 'utf8')).toContain(
      `pre-push origin\n${work} ${work} refs/heads/towpath/t ${sh(repo, 'rev-parse', 'HEAD~1')}\n`,
    );
  } finally {
    process.env['PATH'] = before;
  }
});
