// Nothing of a key is ever written down: planted markers are looked for in every file and in every command line.
import {
  chmodSync,
  existsSync,
  globSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { type TestWorkspace, until, workspaces } from '../helpers/workspace.ts';

const make = workspaces();
const MARKS = {
  environment: 'MARK-env-5b1f0c77',
  file: 'MARK-file-91ac03de',
  credential: 'MARK-cred-77de1a20',
  foreign: 'MARK-foreign-00aa11bb',
};
/** It tells its keys to everybody: on stdout and stderr, as an answer, as a question, in its worktree. */
const LEAK = `#!/bin/sh
env > "$TOWPATH_WORKSPACE/seen-$TOWPATH_TASK_ID"
echo "stderr says $ENV_KEY $FILE_KEY $CRED_TOKEN" >&2
printf '{"type":"agent_thought","content":"the keys are %s %s %s"}\n' "$ENV_KEY" "$FILE_KEY" "$CRED_TOKEN"
echo "plain $FILE_KEY$FILE_KEY"
while [ -f "$TOWPATH_WORKSPACE/slow" ]; do sleep 0.05; done
echo x > x.txt
case "$TOWPATH_TASK_ID" in
  asks) printf '{"type":"question","content":"is %s right?"}\n' "$FILE_KEY";;
  fails) echo "last words $CRED_TOKEN" >&2; exit 1;;
  *) printf '{"type":"result","success":true,"output":"used %s","outputs":{"key":"%s"}}\n' "$ENV_KEY" "$FILE_KEY";;
esac
`;
const SETTINGS = `agent: leaky
concurrency: 4
retry: {max_attempts: 2, initial: 100ms}
agents: {leaky: {command: ./leaky, env: [ENV_KEY, FILE_KEY, CRED_TOKEN]}}
env: [CHECK_TOKEN]
secrets:
  FILE_KEY: {file: keys/file-key}
  CRED_TOKEN: {credential: my-token}
  CHECK_TOKEN: {env: ENV_KEY}
`;

function setUp(): { ws: TestWorkspace; env: Record<string, string> } {
  const ws = make(SETTINGS);
  ws.file('leaky', LEAK, 0o755);
  ws.file('keys/file-key', `${MARKS.file}\n`, 0o600);
  ws.file('credentials/my-token', MARKS.credential, 0o400);
  ws.file('.gitignore', 'keys/\ncredentials/\nseen-*\n');
  ws.hook('pre_task', '#!/bin/sh\necho "hook: $CHECK_TOKEN"\n');
  const env = { ENV_KEY: MARKS.environment, CREDENTIALS_DIRECTORY: ws.path('credentials'), OTHER_TOKEN: MARKS.foreign };
  return { ws, env };
}
/** Every file of the workspace that Towpath writes, and which marks it holds. */
function leaks(ws: TestWorkspace): string[] {
  const theirs = /^(keys|credentials|seen-|\.git\/|\.worktrees\/)/;
  return globSync('**', { cwd: ws.root, exclude: (name) => name === '.git' })
    .concat(
      readdirSync(ws.path('.towpath'), { recursive: true, encoding: 'utf8' }).map((name) => join('.towpath', name)),
    )
    .filter((name) => !theirs.test(name) && statSync(ws.path(name), { throwIfNoEntry: false })?.isFile())
    .flatMap((name) => {
      const bytes = readFileSync(ws.path(name));
      return Object.entries(MARKS).flatMap(([kind, mark]) => (bytes.includes(mark) ? [`${name}: ${kind}`] : []));
    });
}
const commandLines = (): string =>
  readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map((pid) => {
      try {
        return readFileSync(`/proc/${pid}/cmdline`, 'utf8');
      } catch {
        return '';
      }
    })
    .join('\n');

it('no file, no event and no command line holds a key, whatever the agent, its hooks and its checks print', async () => {
  const { ws, env } = setUp();
  ws.file('slow', '');
  ws.drop('good', '---\nchecks: [\'echo "check: $CHECK_TOKEN"; false\']\nmax_attempts: 2\n---\nDo it.\n');
  ws.drop('asks', 'Ask.\n');
  ws.drop('fails', 'Fail.\n');
  await ws.start([], env);
  await until(
    () => existsSync(ws.path('seen-good')) && existsSync(ws.path('seen-fails')),
    'they run',
    20_000,
    () => ws.output,
  );
  const seen = readFileSync(ws.path('seen-good'), 'utf8');
  for (const [name, mark] of [
    ['ENV_KEY', MARKS.environment],
    ['FILE_KEY', MARKS.file],
    ['CRED_TOKEN', MARKS.credential],
  ])
    expect(seen).toContain(`${name}=${mark}\n`);
  expect(seen).not.toContain(MARKS.foreign);
  const running = commandLines();
  for (const mark of Object.values(MARKS)) expect(running).not.toContain(mark);
  rmSync(ws.path('slow'));
  for (const [id, queue] of [
    ['good', 'failed'],
    ['asks', 'blocked'],
    ['fails', 'failed'],
  ] as const)
    await until(
      () => existsSync(ws.path('queues', queue, `${id}.md`)),
      `${id} reaches ${queue}`,
      20_000,
      () => ws.output,
    );
  expect(leaks(ws)).toEqual([]);
  expect(ws.output + ws.run(['logs', 'good']).stdout + ws.run(['events', '--json']).stdout).not.toMatch(/MARK-/);
  expect(ws.show('asks').reason ?? '').toContain('[FILE_KEY]');
  expect(readFileSync(ws.path('.towpath/runs/good/1/stdout'), 'utf8')).toContain('*'.repeat(MARKS.file.length * 2));
  const checks = readFileSync(ws.path('.towpath/runs/good/1/checks.json'), 'utf8');
  expect(checks).toContain('check: [');
});

it('a key that others may read, or that is missing, holds the task before anything begins, and doctor says so', async () => {
  const { ws, env } = setUp();
  chmodSync(ws.path('keys/file-key'), 0o644);
  ws.drop('one', 'Do it.\n');
  expect(ws.run(['start', '--drain'], { env }).code).toBe(1);
  expect(ws.show('one')).toMatchObject({ queue: 'blocked', attempts: 0 });
  expect(ws.show('one').reason).toContain('secrets.FILE_KEY:');
  expect(ws.show('one').reason).toContain('may be read by others (mode 0644): chmod 600');
  expect(existsSync(ws.path('seen-one'))).toBe(false);
  const doctor = ws.run(['doctor']).stdout;
  expect(doctor).toContain('may be read by others');
  chmodSync(ws.path('keys/file-key'), 0o600);
  ws.run(['retry', 'one']);
  ws.run(['start', '--drain'], { env });
  expect(ws.show('one').queue).toBe('done');
});

it('towpath.yaml itself is no place for a secret', () => {
  const ws = make('secrets: {A_KEY: plain-text}\n');
  expect(ws.run(['status']).stderr).toContain('a secret does not belong into towpath.yaml');
  mkdirSync(ws.path('d'));
  writeFileSync(ws.path('towpath.yaml'), 'secrets: {A_KEY: {file: d}}\nagents: {b: {command: ./b, env: [A_KEY]}}\n');
  expect(ws.run(['doctor']).stdout).toContain('is no small file');
});
