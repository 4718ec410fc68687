import {
  appendFileSync,
  closeSync,
  copyFileSync,
  existsSync,
  linkSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { readLock } from '../../daemon/queue/files/lock.ts';
import { shellTask, until, workspaces } from '../helpers/workspace.ts';

const make = workspaces();
const workspace = (settings = 'agent: shell\nretry: {initial: 100ms}\nconcurrency: 4\n') => make(settings);
const any = (script = 'true', matter = '') => shellTask(script, `expect: any\n${matter}`);

describe('dropped files', () => {
  it('are taken once and whole: written slowly, copied, linked in, renamed in, saved by an editor', async () => {
    const ws = workspace();
    await ws.start();
    const dir = ws.path('queues/incoming');
    const big = `${any('echo whole')}\n${'<!-- filler -->\n'.repeat(50_000)}`;
    ws.file('big.md', big);
    copyFileSync(ws.path('big.md'), `${dir}/copied.md`);
    const aside = ws.file('aside.md', any('echo renamed'));
    await sleep(20);
    renameSync(aside, `${dir}/renamed.md`);
    linkSync(ws.file('link-source.md', any('echo linked')), `${dir}/linked.md`);
    writeFileSync(`${dir}/.edited.md.swp`, 'an editor at work');
    writeFileSync(`${dir}/edited.md`, any('echo first'));
    const slow = openSync(`${dir}/slow.md`, 'w');
    writeSync(slow, any('echo half').slice(0, 30));
    await sleep(200);
    writeFileSync(`${dir}/edited.md`, any('echo second'));
    await ws.reaches('renamed', 'done');
    await sleep(3500);
    // Quiet for long, and still open for writing by us: not whole.
    expect(ws.where('slow')).toBe('incoming');
    writeSync(slow, any('echo slow and whole').slice(30));
    closeSync(slow);
    for (const id of ['copied', 'linked', 'edited', 'slow']) await ws.reaches(id, 'done');
    expect(ws.show('edited').result).toBe('second');
    expect(ws.show('copied').result).toBe('whole');
    expect(ws.show('slow').result).toBe('slow and whole');
    expect(existsSync(`${dir}/.edited.md.swp`)).toBe(true);
  });

  it('are waited for while they grow by small writes', async () => {
    const ws = workspace();
    await ws.start();
    const path = ws.path('queues/incoming/drip.md');
    const text = any('echo all of it');
    for (let at = 0; at < text.length; at += 20) {
      appendFileSync(path, text.slice(at, at + 20));
      await sleep(300);
    }
    await ws.reaches('drip', 'done');
    expect(ws.show('drip').result).toBe('all of it');
  });

  it('get another name when theirs is taken, and an explicit id that is taken is refused', async () => {
    const ws = workspace();
    ws.drop('same', any('echo one'));
    ws.drain();
    ws.file('queues/incoming/same.md', any('echo two'));
    ws.file('queues/incoming/other.md', any('true', 'id: same\n'));
    expect(ws.drain().code).toBe(1);
    expect(ws.show('same').result).toBe('one');
    expect(ws.show('same-2').result).toBe('two');
    expect(ws.show('other')).toMatchObject({
      queue: 'failed',
      outcome: 'refused',
      reason: 'id: "same" is taken by a task in done/: choose another',
    });
  });

  it('are refused with the reason when they are bad, and never delay the others', () => {
    const ws = workspace();
    const dir = ws.path('queues/incoming');
    const bad: Record<string, [string | Uint8Array, RegExp]> = {
      'bad-yaml': ['---\na: [\n---\nx', /line \d+: bad YAML/],
      js: ['---js\nprocess.exit(9)\n---\nx', /not YAML/],
      value: ['---\npriority: P7\n---\nx', /priority: "P7" is not allowed: one of P0.*\(line 2\)/],
      role: ['---\nrole: nobody\n---\nx', /role: "nobody" does not exist.*\(line 2\)/],
      agent: ['---\nagent: nobody\n---\nx', /agent: "nobody" does not exist/],
      project: ['---\nproject: nothing\n---\nx', /project: "nothing" does not exist/],
      repo: ['---\nrepo: /does/not/exist\n---\nx', /repo: .* does not exist/],
      empty: ['---\ntitle: x\n---\n', /body is empty/],
      utf8: [Buffer.from([0x23, 0x20, 0xff, 0xfe]), /UTF-8/],
      nul: ['a\0b', /NUL/],
      large: ['x'.repeat(1024 * 1024 + 1), /1 MiB/],
      escape: ['---\nid: ../../../etc/passwd\n---\nx', /^id: /],
    };
    for (const [name, [content]] of Object.entries(bad)) writeFileSync(`${dir}/${name}.md`, content);
    writeFileSync(`${dir}/-rf.md`, 'x');
    writeFileSync(`${dir}/a b.md`, 'x');
    symlinkSync('/etc/passwd', `${dir}/link.md`);
    mkdirSync(`${dir}/folder.md`);
    writeFileSync(`${dir}/notes.txt`, 'left alone');
    ws.drop('good', any('echo fine'));
    expect(ws.drain().code).toBe(1);
    expect(ws.show('good').queue).toBe('done');
    for (const [name, [content, reason]] of Object.entries(bad)) {
      const task = ws.show(name);
      expect(task).toMatchObject({ queue: 'failed', outcome: 'refused' });
      expect(task.reason).toMatch(reason);
      expect(ws.run(['why', name]).stdout).toMatch(/^refused: /);
      expect(readFileSync(ws.path(`queues/failed/${name}.md`)).includes(Buffer.from(content).subarray(-2))).toBe(true);
      expect(readFileSync(ws.path(`queues/failed/${name}.md`), 'latin1')).toMatch(/^ {2}reason: /m);
    }
    expect(ws.show('link').reason).toMatch(/symbolic link/);
    expect(ws.show('a b').reason).toMatch(/not allowed/);
    expect(readFileSync('/etc/passwd', 'utf8')).not.toContain('towpath');
    expect(existsSync(`${dir}/folder.md`)).toBe(true);
    expect(existsSync(`${dir}/notes.txt`)).toBe(true);
  });

  it('may not bring a state of their own', () => {
    const ws = workspace();
    ws.drop(
      'sly',
      '---\nexpect: any\nagent: shell\ntowpath:\n  attempts: 2\n  created_at: "1999-01-01T00:00:00.000Z"\n  worktree: /etc\n  branch: main\n  resolved: {event: pre_task, decision: skip}\n---\n```sh\npwd\n```\n',
    );
    ws.hook('pre_task', '#!/bin/sh\necho ran > "$TOWPATH_WORKSPACE/ran"\n');
    expect(ws.drain().code).toBe(0);
    expect(ws.show('sly')).toMatchObject({
      attempts: 1,
      branch: 'towpath/sly',
      result: ws.path('.worktrees/task-sly'),
      created_at: expect.stringMatching(/^20[2-9]/),
    });
    expect(existsSync(ws.path('ran'))).toBe(true);
  });
});

describe('files moved by hand', () => {
  it('mean the same as the commands', async () => {
    const ws = workspace('agent: shell\nreview: human\nretry: {initial: 100ms}\n');
    ws.drop('a', shellTask('echo $TOWPATH_ATTEMPT >> a'));
    ws.drop('b', shellTask('echo b > b'));
    ws.drop('c', shellTask('sleep 100'));
    ws.drop('after', shellTask('cat a', 'depends_on: [a]\nexpect: any\nreview: none\n'));
    await ws.start();
    await ws.reaches('a', 'provisional');
    await ws.reaches('b', 'provisional');
    await ws.reaches('c', 'claimed');
    const mv = (id: string, from: string, to: string) =>
      renameSync(ws.path('queues', from, `${id}.md`), ws.path('queues', to, `${id}.md`));
    await until(() => ws.show('a').reason?.includes('waits for review') ?? false, 'a waits for review');
    mv('a', 'provisional', 'done');
    await ws.reaches('after', 'done');
    await until(() => !existsSync(ws.path('.worktrees/task-a')), 'the worktree of a is removed');
    expect(ws.show('a')).toMatchObject({ queue: 'done', outcome: 'ok' });
    mv('b', 'provisional', 'failed');
    await until(() => ws.show('b').outcome === 'cancelled', 'b is cancelled');
    mv('b', 'failed', 'incoming');
    await ws.reaches('b', 'provisional');
    const works = (id: string) =>
      until(() => {
        const lock = readLock(ws.path(`queues/claimed/${id}.lock.json`));
        return lock !== null && lock !== 'unreadable' && lock.agent !== null;
      }, `${id} works`);
    await works('c');
    mv('c', 'claimed', 'failed');
    await until(() => ws.show('c').outcome === 'cancelled', 'c is cancelled');
    expect(ws.show('c')).toMatchObject({ queue: 'failed', reason: 'moved to failed/ by hand' });
    ws.run(['retry', 'c']);
    await works('c');
    mv('c', 'claimed', 'blocked');
    await until(() => ws.show('c').reason?.includes('towpath resume c') ?? false, 'c is paused');
    expect(ws.run(['resume', 'c']).code).toBe(0);
    await works('c');
    const steps = (id: string) =>
      ws
        .run(['events', '--task', id, '--json'])
        .stdout.trim()
        .split('\n')
        .map((line) => JSON.parse(line) as { event: string; from: string; to: string })
        .filter(({ event, from, to }) => event === 'transition' && from !== to)
        .map(({ from, to }) => `${from} ${to}`);
    const taken = 'incoming claimed';
    const again = ['provisional failed', 'failed incoming', taken, 'claimed provisional'];
    await until(() => steps('b').length === 6 && steps('c').length === 7, 'all steps are told');
    expect(steps('b')).toEqual([taken, 'claimed provisional', ...again]);
    expect(steps('c')).toEqual([
      ...[taken, 'claimed failed', 'failed incoming', taken, 'claimed blocked', 'blocked incoming', taken],
    ]);
  });

  it('also while no daemon runs: accept, reject, retry, cancel', () => {
    const ws = workspace('agent: shell\nreview: human\nretry: {initial: 100ms}\n');
    const mv = (id: string, from: string, to: string) =>
      renameSync(ws.path('queues', from, `${id}.md`), ws.path('queues', to, `${id}.md`));
    ws.drop('minor', shellTask('echo m > m', 'complexity: minor\n'));
    ws.drop('again', shellTask('echo $TOWPATH_ATTEMPT >> n'));
    ws.drop('fails', shellTask('echo no >&2; exit 1', 'max_attempts: 1\n'));
    ws.drop('stop', shellTask('echo s > s'));
    ws.drain();
    mv('minor', 'provisional', 'done');
    mv('again', 'provisional', 'incoming');
    mv('fails', 'failed', 'incoming');
    mv('stop', 'provisional', 'failed');
    ws.drain();
    expect(ws.show('minor')).toMatchObject({ queue: 'done', outcome: 'ok', reason: null });
    expect(ws.git('show', 'main:m')).toBe('m\n');
    expect(ws.show('again')).toMatchObject({ queue: 'provisional', attempts: 2, feedback: [{ from: 'human' }] });
    expect(ws.show('fails')).toMatchObject({ queue: 'failed', attempts: 1, feedback: [{}, {}] });
    expect(ws.show('stop')).toMatchObject({
      queue: 'failed',
      outcome: 'cancelled',
      reason: 'moved to failed/ by hand',
    });
  });

  it('a task that is removed while its agent runs is not brought back', async () => {
    const ws = workspace();
    ws.drop('gone', any('sleep 1'));
    await ws.start();
    await ws.reaches('gone', 'claimed');
    rmSync(ws.path('queues/claimed/gone.md'));
    await until(() => !existsSync(ws.path('queues/claimed/gone.lock.json')), 'its lock is removed', 15_000);
    expect(ws.where('gone')).toBeNull();
  });

  it('keeps what a person wrote into a task while its agent ran', async () => {
    const ws = workspace();
    ws.drop('edit', any('sleep 1.5'));
    await ws.start();
    await ws.reaches('edit', 'claimed');
    const path = ws.path('queues/claimed/edit.md');
    writeFileSync(path, readFileSync(path, 'utf8').replace('# A task', '# A task\n\nA note of mine.'));
    await ws.reaches('edit', 'done');
    expect(ws.show('edit').body).toContain('A note of mine.');
  });
});

describe('the folders', () => {
  it('may be removed and made again while the daemon runs', async () => {
    const ws = workspace();
    await ws.start();
    rmSync(ws.path('queues/incoming'), { recursive: true });
    await sleep(300);
    mkdirSync(ws.path('queues/incoming'), { recursive: true });
    await sleep(300);
    ws.drop('after', any());
    await ws.reaches('after', 'done');
    rmSync(ws.path('queues/done'), { recursive: true });
    ws.drop('more', any());
    await ws.reaches('more', 'done');
  });

  it('are read again for what the events missed: thousands of files at once', async () => {
    const ws = workspace('agents:\n  noop: {command: ["true"]}\nagent: noop\nconcurrency: 4\ndurability: fast\n');
    await ws.start();
    const many = 20_000;
    const past = new Date(Date.now() - 60_000);
    for (let n = 0; n < many; n++) {
      const path = ws.path(`queues/incoming/t${n}.md`);
      // The queue of inotify holds 16,384 events: the last of these files is told by none.
      writeFileSync(
        path,
        n === many - 1 ? '---\nexpect: any\ncomplexity: minor\n---\nx\n' : '---\nnot_before: 2099-01-01\n---\nx\n',
      );
      utimesSync(path, past, past);
    }
    await ws.reaches(`t${many - 1}`, 'done', 60_000);
    const incoming = () => ws.json<{ counts: { incoming: number } }>(['status']).counts.incoming;
    await until(() => incoming() === many - 1, 'all are counted', 30_000);
  }, 120_000);
});

it('why tells of a lock that stands in the way', () => {
  const ws = workspace();
  ws.drop('held', any());
  writeFileSync(ws.path('queues/claimed/held.lock.json'), '{');
  expect(ws.run(['why', 'held']).stdout).toContain('held.lock.json cannot be read, so it counts as held');
  const who = { host: 'here', boot_id: 'b', pid: 7, started: '1' };
  const at = '2026-01-01T00:00:00Z';
  const lock = { version: 1, task: 'held', attempt: 1, epoch: 1, phase: 'execute', owner: who, agent: null };
  const rest = { repo: null, worktree: null, branch: null, claimed_at: at, heartbeat_at: at };
  writeFileSync(ws.path('queues/claimed/held.lock.json'), JSON.stringify({ ...lock, ...rest }));
  expect(ws.run(['why', 'held']).stdout).toBe(
    'it is claimed by here (pid 7) by queues/claimed/held.lock.json, and no daemon runs: "towpath start" looks closer\n',
  );
});

it('enqueue takes nothing that this workspace can never run, without a daemon too', () => {
  const ws = workspace();
  const wrong = {
    role: 'role: nobody\n',
    project: 'project: nix\n',
    pattern: 'agent: pattern\npattern: cleanup\ninputs: {whitespace: maybe}\n',
  };
  for (const [name, matter] of Object.entries(wrong)) {
    ws.file(`${name}.md`, `---\n${matter}---\n# T\n\nDo.\n`);
    expect(ws.run(['enqueue', `${name}.md`]), name).toMatchObject({ code: 3, stdout: '' });
  }
  expect(ws.json(['list'])).toEqual([]);
});
