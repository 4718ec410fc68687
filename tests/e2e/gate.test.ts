import { describe, expect, it } from 'vitest';
import { shellTask, until, workspaces } from '../helpers/workspace.ts';

const workspace = workspaces();

describe('review by a person', () => {
  it('waits, and accept and reject say where it goes, without a daemon', () => {
    const ws = workspace('agent: shell\nreview: human\nretry: {initial: 100ms}\n');
    ws.drop('t', shellTask('echo $TOWPATH_ATTEMPT >> f; cp "$TOWPATH_PROMPT_FILE" p'));
    expect(ws.drain().code).toBe(0);
    expect(ws.show('t')).toMatchObject({ queue: 'provisional', reason: expect.stringContaining('towpath accept t') });
    expect(ws.run(['reject', 't', '-m', 'wrong colour']).code).toBe(0);
    ws.drain();
    expect(ws.git('show', 'towpath/t:p')).toContain('wrong colour');
    expect(ws.git('show', 'towpath/t:f')).toBe('1\n2\n');
    expect(ws.show('t')).toMatchObject({ queue: 'provisional', attempts: 2 });
    expect(ws.run(['accept', 't']).code).toBe(0);
    expect(ws.show('t')).toMatchObject({ queue: 'done', outcome: 'ok', worktree: null, reason: null });
    expect(ws.run(['accept', 't'])).toMatchObject({ code: 1, stderr: expect.stringContaining('"t" is in done/') });
    expect(ws.run(['accept', 'nobody']).code).toBe(4);
  });

  it('works while the daemon runs, and on a minor task', async () => {
    const ws = workspace('agent: shell\nreview: human\n');
    ws.drop('m', shellTask('echo m > m', 'complexity: minor\n'));
    await ws.start();
    await ws.reaches('m', 'provisional');
    await until(() => ws.show('m').reason?.includes('waits for review') ?? false, 'm waits for review');
    expect(ws.git('status', '--porcelain', '-uno')).toBe('');
    expect(ws.git('log', '--format=%s').trim().split('\n')).toHaveLength(1);
    expect(ws.run(['accept', 'm']).code).toBe(0);
    expect(ws.git('show', 'HEAD:m')).toBe('m\n');
    expect(ws.where('m')).toBe('done');
  });

  it('ends with the attempts', () => {
    const ws = workspace('agent: shell\nreview: human\nretry: {initial: 100ms, max_attempts: 1}\n');
    ws.drop('t', shellTask('echo > f'));
    ws.drain();
    ws.run(['reject', 't', '-m', 'no']);
    expect(ws.show('t')).toMatchObject({ queue: 'failed', outcome: 'rejected' });
    ws.run(['retry', 't']);
    expect(ws.show('t')).toMatchObject({ queue: 'incoming', attempts: 0 });
  });
});

describe('protected files', () => {
  it('turn a change back, also a rename, a dot file and a deletion', () => {
    const ws = workspace('agent: shell\nprotect: [.ci/**, "*.cfg"]\nretry: {initial: 100ms, max_attempts: 1}\n');
    ws.file('.ci/run', 'x');
    ws.file('sub/a.cfg', 'x');
    ws.git('add', '-A');
    ws.git('commit', '-qm', 'more');
    ws.drop('edit', shellTask('echo y > .ci/run'));
    ws.drop('move', shellTask('git mv sub/a.cfg sub/a.txt'));
    ws.drop('fine', shellTask('echo > other'));
    ws.drain();
    expect(ws.show('edit')).toMatchObject({
      queue: 'failed',
      outcome: 'rejected',
      reason: expect.stringContaining('.ci/run'),
    });
    expect(ws.show('move').outcome).toBe('rejected');
    expect(ws.show('fine').queue).toBe('done');
  });
});

describe('checks', () => {
  it('come from the workspace too, as lines or as lists, and all of them run', () => {
    const ws = workspace(
      'agent: shell\nretry: {initial: 100ms, max_attempts: 1}\nchecks: ["test -e a && test -e b", [test, -e, "c d"]]\n',
    );
    ws.drop('good', shellTask('touch a b "c d"'));
    ws.drop('bad', shellTask('touch a'));
    ws.drain();
    expect(ws.show('good').queue).toBe('done');
    expect(ws.show('bad').reason).toContain('`test -e a && test -e b` exited with 1; `test -e c d` exited with 1');
  });

  it('that an agent writes into the repository count for nothing', () => {
    const ws = workspace('agent: shell\nretry: {initial: 100ms, max_attempts: 1}\nchecks: ["false"]\n');
    ws.drop('sly', shellTask('echo "checks: []" > towpath.yaml'));
    ws.drain();
    expect(ws.show('sly').outcome).toBe('check_failed');
  });

  it('that do not end are ended', () => {
    const ws = workspace();
    ws.drop('t', shellTask('echo > f', 'checks: [sleep 300]\ntimeout: 1s\nmax_attempts: 1\n'));
    ws.drain();
    expect(ws.show('t')).toMatchObject({
      queue: 'failed',
      outcome: 'check_failed',
      reason: expect.stringContaining('did not end'),
    });
  });

  it('stop early when the same diff comes twice', () => {
    const ws = workspace();
    ws.drop('t', shellTask('echo same > f', 'max_attempts: 5\nchecks: ["head -c 6 /dev/urandom | base64; exit 1"]\n'));
    ws.drain();
    expect(ws.show('t')).toMatchObject({
      queue: 'failed',
      attempts: 2,
      reason: expect.stringContaining('same diff twice'),
    });
  });
});

it('a check whose program is not there has failed with code 127, and says so', () => {
  const ws = workspace('agent: shell\n');
  ws.drop('t', shellTask('echo > f', 'checks: [[no-such-program-here]]\nmax_attempts: 1\n'));
  expect(ws.drain().code).toBe(1);
  expect(ws.show('t').reason).toContain('`no-such-program-here` exited with 127');
  expect(ws.show('t').feedback[0]!.message).toContain('cannot start no-such-program-here');
});
